# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints of many kinds, and networks in wrappers: what the layers in use need is taken."""

import re

import pytest
import torch
import torchvision
from _networks import small_network
from _photographs import IMAGES
from torch import nn

from skpatch import PatchFeatureExtractor

# What torch says of scripts, by whichever name of its own.
SCRIPTING = ["ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"]
pytestmark = pytest.mark.usefixtures("one_thread")


def features(backbone, **parameters):
    parameters = {"layers": ["layer2", "layer3"], "image_size": 64, **parameters}
    return PatchFeatureExtractor(backbone=backbone, **parameters).fit_transform(IMAGES)


def other_network(**changes):
    """The small network with other weights, and some other stages."""
    network = small_network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    for name, stage in changes.items():
        setattr(network, name, stage)
    return network


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


def prefixed(prefix, network=None):
    state = (other_network() if network is None else network).state_dict()
    return {prefix + name: value for name, value in state.items()}


def without(state, *starts):
    return {name: value for name, value in state.items() if not name.startswith(starts)}


# Nothing in these files is left over but what the network has, unused.
WITHOUT_A_WORD = {
    "no classifier": lambda: without(prefixed(""), "fc"),
    "used layers only": lambda: without(prefixed(""), "fc", "layer4"),
    "module.": lambda: prefixed("module."),
    "model.": lambda: prefixed("model."),
    "backbone.": lambda: prefixed("backbone."),
    "module.encoder_q.": lambda: prefixed("module.encoder_q."),
    "_orig_mod.": lambda: prefixed("_orig_mod."),
    "module._orig_mod.": lambda: prefixed("module._orig_mod."),
    "state_dict": lambda: {"state_dict": prefixed(""), "epoch": 3},
    "model": lambda: {"model": prefixed(""), "best": 0.9},
    "teacher": lambda: {"teacher": prefixed("backbone.")},
    "nested": lambda: {"model": {"state_dict": prefixed("module.")}, "args": {"lr": 0.1}},
    "Lightning": lambda: {
        "epoch": 1,
        "pytorch-lightning_version": "2.0",
        "hyper_parameters": {"lr": 0.1},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
        "state_dict": prefixed("model.net."),
    },
    "old batch norms": lambda: {
        name: value for name, value in prefixed("").items() if "num_batches" not in name
    },
    "half precision": lambda: {
        name: value.to(torch.float16) if value.is_floating_point() else value
        for name, value in prefixed("").items()
    },
}


@pytest.mark.parametrize("kind", WITHOUT_A_WORD)
def test_what_the_layers_in_use_need_is_taken(path, kind):
    torch.save(WITHOUT_A_WORD[kind](), path)
    expected = torch.from_numpy(features(other_network()))
    tolerance = 1e-2 if kind == "half precision" else 0
    found = torch.from_numpy(features(small_network(), weights=path))
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


WITH_A_WORD = {
    r"fc \(2\)": lambda: prefixed("", other_network(fc=nn.Linear(16, 3))),
    r"Used are those below 'module\.'.* module\.head \(2\)": lambda: {
        **prefixed("module."),
        "module.head.weight": torch.zeros(3, 16),
        "module.head.bias": torch.zeros(3),
    },
    r"below 'module\.encoder_q\.'.* module\.encoder_k \(15\), queue \(1\)": lambda: {
        **prefixed("module.encoder_q."),
        **prefixed("module.encoder_k.", small_network()),
        "queue": torch.zeros(4),
    },
    r"below 'teacher\.module\.'.* student \(15\), optimizer \(1\)": lambda: {
        "student": prefixed("module.", small_network()),
        "teacher": prefixed("module."),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
    },
    r"below 'student\.'.*teacher \(2\)": lambda: {
        "teacher": {"stem.weight": torch.zeros(9, 3, 3, 3), "stem.bias": torch.zeros(9)},
        "student": prefixed(""),
    },
}


@pytest.mark.parametrize("told", WITH_A_WORD)
def test_what_is_ignored_is_told(path, told):
    torch.save(WITH_A_WORD[told](), path)
    with pytest.warns(UserWarning, match=rf"weights='.*weights\.pth' has tensors for .*{told}"):
        found = features(small_network(), weights=path)
    assert (found == features(other_network())).all()


def test_a_network_fine_tuned_on_other_classes(path):
    torch.manual_seed(0)
    from torchvision.models import resnet18

    torch.save(resnet18(num_classes=5).state_dict(), path)
    with pytest.warns(UserWarning, match=r"weights\.pth' .*fc \(2\)"):
        features("resnet18", weights=path)
    torch.save({f"module.{k}": v for k, v in without(torch.load(path), "fc").items()}, path)
    features("resnet18", weights=path)


def more_layers(name):
    """Tensors of resnet18, and those of one more layer at a place of it."""
    state = torchvision.models.resnet18().state_dict()
    return {**state, f"{name}.weight": torch.zeros(3), f"{name}.bias": torch.zeros(3)}


@pytest.mark.parametrize(
    "state",
    [
        lambda: torchvision.models.resnet34().state_dict(),
        lambda: more_layers("layer2.2.conv1"),
        lambda: more_layers("layer1.1.squeeze"),
        lambda: {f"net.{name}": value for name, value in more_layers("layer3.5.0").items()},
    ],
    ids=["ResNet-34", "a block", "a part of a block", "below a prefix"],
)
def test_a_deeper_network_is_refused(path, state):
    """Without its additional layers the features would be those of no network."""
    torch.save(state(), path)
    with pytest.raises(ValueError, match=r"weights\.pth'.*has layer\d\.\d.*a deeper one;"):
        features("resnet18", weights=path)


def test_layers_behind_those_in_use_change_nothing(path):
    torch.save(more_layers("layer4.2.conv1"), path)
    with pytest.warns(UserWarning, match=r"Ignored.*layer4"):
        features("resnet18", weights=path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["stem.weight", "layer2.0.bias", "layer2.1.running_var"])
def test_numbers_that_no_network_has(path, value, name):
    state = prefixed("")
    state[name].view(-1)[-1] = value
    torch.save(state, path)
    with pytest.raises(ValueError, match=rf"weights\.pth' is damaged.*{re.escape(name)}"):
        features(small_network(), weights=path)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda: without(prefixed(""), "layer3"), r"it lacks layer3\.0\.weight, layer3\.0\.bias,"),
        (lambda: without(prefixed("model."), "model.stem.bias"), r"it lacks stem\.bias, .*'model"),
        (
            lambda: prefixed("", other_network(stem=nn.Conv2d(1, 4, 3, 4, 1))),
            r"stem\.weight of shape \(4, 1, 3, 3\).*, which is \(4, 3, 3, 3\)",
        ),
        (
            lambda: {**prefixed(""), "stem.bias": torch.zeros(4, dtype=torch.int8)},
            r"stem\.bias of shape \(4,\) and type torch\.int8, which is .* torch\.float32",
        ),
        (
            lambda: nn.Linear(2, 2).state_dict(),
            r"lacks stem\.weight, .* and \d+ more, .*has weight, bias; 0 of",
        ),
    ],
)
def test_needed_tensors_that_lack_or_differ_are_named(path, state, message):
    torch.save(state(), path)
    with pytest.raises(ValueError, match=rf"weights\.pth' does not fit the backbone: .*{message}"):
        features(small_network(), weights=path)


def test_a_dictionary_in_itself_ends(path):
    state = prefixed("")
    state["again"] = state
    torch.save(state, path)
    with pytest.warns(UserWarning, match="again"):
        features(small_network(), weights=path)


@pytest.mark.parametrize(
    "save",
    [
        lambda path: torch.save(small_network(), path),
        lambda path: torch.save({"state_dict": prefixed(""), "rng": object}, path),
        lambda path: torch.jit.script(small_network()).save(str(path)),
    ],
    ids=["whole module", "other objects", "scripted module"],
)
@pytest.mark.filterwarnings(*SCRIPTING)
def test_files_that_hold_more_than_tensors_are_refused(path, save):
    save(path)
    with pytest.raises(ValueError, match=r"weights_only=True.*save_file\(module\.state") as error:
        features(small_network(), weights=path)
    # torch's own text has it.
    assert not re.search("False|safe_globals|Re-running", str(error.value))


# Networks in wrappers


WRAPPED = {
    "compiled": torch.compile,
    "parallel": nn.DataParallel,
    "averaged": torch.optim.swa_utils.AveragedModel,
    "compiled and parallel": lambda network: nn.DataParallel(torch.compile(network)),
    "parallel and compiled": lambda network: torch.compile(nn.DataParallel(network)),
}


@pytest.mark.filterwarnings(r"ignore:.*ignored.* n_averaged \(1\)\.:UserWarning")
@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped_networks_are_unwrapped(name, path):
    expected = features(small_network())
    assert (features(WRAPPED[name](small_network())) == expected).all()
    torch.save(WRAPPED[name](other_network()).state_dict(), path)
    wrapped = WRAPPED[name](small_network())
    found = features(wrapped, weights=path)
    assert (found == features(other_network())).all()
    assert (features(wrapped) == expected).all()


class Wrapper(nn.Module):
    """A network with a network in it, and with constants that no state dict has."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.register_buffer("shift", torch.ones(1, 3, 1, 1), persistent=False)

    def forward(self, x):
        return self.network(x + self.shift * torch.tensor(2.0))


@pytest.mark.parametrize("name", ["compiled", "parallel", "parallel and compiled"])
def test_wrapped_parts_are_unwrapped(name):
    layers = ["network.layer2", "network.layer3"]
    expected = features(Wrapper(small_network()), layers=layers)
    backbone = Wrapper(WRAPPED[name](small_network()))
    assert (features(backbone, layers=layers) == expected).all()
    in_parts = small_network()
    in_parts.layer3 = WRAPPED[name](in_parts.layer3)
    assert (features(in_parts) == features(small_network())).all()
    # The caller's stay as they were.
    assert type(backbone.network) is type(WRAPPED[name](small_network()))


def test_constants_of_a_network_are_not_asked_of_a_file(path):
    torch.save(Wrapper(other_network()).state_dict(), path)
    layers = ["network.layer2", "network.layer3"]
    found = features(Wrapper(small_network()), weights=path, layers=layers)
    assert (found == features(Wrapper(other_network()), layers=layers)).all()


@pytest.mark.filterwarnings(*SCRIPTING, "ignore::torch.jit.TracerWarning")
def test_scripted_modules_are_refused():
    network, image = small_network(), torch.zeros(1, 3, 64, 64)
    inside = other_network(layer3=torch.jit.script(small_network().layer3))
    for backbone in (torch.jit.script(network), torch.jit.trace(network, image), inside):
        with pytest.raises(ValueError, match=r"scripted or traced module .*that it was made from"):
            features(backbone)
