# SPDX-License-Identifier: BSD-3-Clause
"""A fused network gives the maps of the network that it was made from."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from skpatch.engines import fusing
from skpatch.engines.fusing import can_pack, fuse, pack
from skpatch.engines.padding import SameConv2d
from skpatch.networks.backbones import build_backbone
from skpatch.networks.layers import TracedNetwork

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        not can_pack(torch.device("cpu"), torch.float32), reason="torch has no oneDNN here"
    ),
]

SIZE = (64, 96)


def images(n=2):
    torch.manual_seed(3)
    return torch.randn(n, 3, *SIZE).to(memory_format=torch.channels_last)


def with_statistics(module):
    """The module in evaluation mode, whose batch norms change what they are given."""
    torch.manual_seed(5)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None:
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                nn.init.normal_(part.weight, 1, 0.3)
                nn.init.normal_(part.bias)
    return module.eval().requires_grad_(False)


def kinds(model):
    """How many modules of each kind a network calls."""
    called = [
        model.get_submodule(node.target) for node in model.graph.nodes if node.op == "call_module"
    ]
    names = [type(module).__name__ for module in called]
    return {name: names.count(name) for name in names}


@torch.inference_mode()
def assert_same_maps(model, tolerance=1e-5):
    """Fuse a network and compare its maps with those of the original."""
    x = images()
    expected = {name: value.clone() for name, value in model(x).items()}
    fused = fuse(model, SIZE)
    in_steps = fused(x)
    pack(fused)
    for found in (in_steps, fused(x), fused(x)):
        assert list(found) == list(expected)
        for name, value in found.items():
            assert value.shape == expected[name].shape
            error = (value - expected[name]).abs().max() / expected[name].abs().max()
            assert error < tolerance, name
    # The original is what it was, and still runs.
    for name, value in model(x).items():
        assert torch.equal(value, expected[name])
    return fused


def taps(module, layers):
    module = with_statistics(module)
    return TracedNetwork(module, module).taps(layers)


def named_taps(backbone, layers):
    built = build_backbone(backbone, None, 0)
    model = TracedNetwork(backbone, built.module).taps(layers)
    built.load(model)
    return with_statistics(model)


# Networks of torchvision


def test_default_network():
    module = build_backbone("efficientnet_lite0", "default", 0).module
    model = TracedNetwork("efficientnet_lite0", module).taps(["features.3", "features.5"])
    fused = assert_same_maps(model)
    # Batch norms, activations, sums and paddings are all in the convolutions.
    assert set(kinds(fused)) == {"_FusedConv2d"}
    assert not [node for node in fused.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize(
    ("backbone", "layers", "left"),
    [
        ("resnet18", ["layer2", "layer3"], {"MaxPool2d"}),
        ("mobilenet_v2", ["features.6", "features.13"], set()),
        ("shufflenet_v2_x0_5", ["stage2", "stage3"], {"MaxPool2d"}),
        ("squeezenet1_1", ["features.4", "features.7"], {"MaxPool2d"}),
    ],
)
def test_networks_of_convolutions(backbone, layers, left):
    fused = assert_same_maps(named_taps(backbone, layers))
    assert set(kinds(fused)) == {"_FusedConv2d", *left}


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [
        ("mobilenet_v3_small", ["features.3", "features.8"]),
        ("regnet_y_400mf", ["trunk_output.block2", "trunk_output.block3"]),
        ("convnext_tiny", ["features.1", "features.3"]),
        ("densenet121", ["features.denseblock1", "features.transition2"]),
        ("googlenet", ["inception3a", "inception4a"]),
    ],
)
@pytest.mark.slow
def test_networks_with_other_modules(backbone, layers):
    assert "BatchNorm2d" not in kinds(assert_same_maps(named_taps(backbone, layers))) or (
        # A DenseNet's come before its convolutions.
        backbone == "densenet121"
    )


# Networks of one's own


class Sums(nn.Module):
    """Sums of every kind behind a convolution."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.narrow = nn.Conv2d(4, 1, 1)
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.first(x)
        if self.kind == "changes the branch":
            y = x
            y += self.second(x)
            return self.last(x)
        if self.kind == "changes the result":
            y = self.second(x)
            y += x
            return self.last(y) + x
        if self.kind == "number":
            return self.last(self.second(x) + 1)
        if self.kind == "factor":
            return self.last(torch.add(self.second(x), x, alpha=2))
        if self.kind == "twice":
            y = self.second(x)
            return self.last(y + y)
        if self.kind == "broadcast":
            return self.last(x + self.narrow(x))
        if self.kind == "other activation":
            return self.last(functional.silu(x + self.second(x)))
        y = self.second(x)
        x.relu_()
        return self.last(y + x)


@pytest.mark.parametrize(
    "kind",
    [
        "changes the branch",
        "changes the result",
        "number",
        "factor",
        "twice",
        "broadcast",
        "other activation",
        "changed between",
    ],
)
def test_sums(kind):
    torch.manual_seed(0)
    assert_same_maps(taps(Sums(kind), ["last"]))


def test_layers_within_what_is_fused():
    # The convolution's map is used itself, and the activation changes that of the norm in place.
    steps = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)
    )
    fused = assert_same_maps(taps(steps, ["0", "1", "2", "3"]))
    assert kinds(fused) == {"_FusedConv2d": 2, "BatchNorm2d": 1, "ReLU": 1}


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.Hardswish(), nn.GELU(), nn.GELU(approximate="tanh")],
    ids=str,
)
def test_activations(activation):
    torch.manual_seed(0)
    steps = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), activation)
    assert kinds(assert_same_maps(taps(steps, ["2"]))) == {"_FusedConv2d": 1}


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(3, 6, 3, padding="same"),
        nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"),
        SameConv2d(3, 6, 3, 2, dilation=2),
        parametrizations.weight_norm(nn.Conv2d(3, 6, 3)),
    ],
    ids=["same", "reflect", "dilated", "weight_norm"],
)
def test_convolutions_that_stay(convolution):
    steps = nn.Sequential(convolution, nn.BatchNorm2d(6), nn.ReLU())
    fused = assert_same_maps(taps(steps, ["2"]))
    assert "_FusedConv2d" not in kinds(fused)


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(3, 6, (3, 1), (1, 2), (2, 0), bias=False),
        nn.Conv2d(3, 6, 3, groups=3, dilation=2),
        SameConv2d(3, 6, (5, 2), 2),
    ],
    ids=["oblong", "groups", "uneven"],
)
def test_convolutions_of_other_shapes(convolution):
    steps = nn.Sequential(convolution, nn.BatchNorm2d(6), nn.Dropout(), nn.ReLU())
    assert kinds(assert_same_maps(taps(steps, ["3"]))) == {"_FusedConv2d": 1}


def test_norms_of_the_batch_itself_stay():
    steps = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    assert kinds(assert_same_maps(taps(steps, ["1"]))) == {"_FusedConv2d": 1, "BatchNorm2d": 1}


def test_modules_that_are_called_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.Conv2d(3, 4, 1)
            self.shared = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
            self.last = nn.Identity()

        def forward(self, x):
            return self.last(self.shared(self.shared(self.wide(x))))

    assert kinds(assert_same_maps(taps(Twice(), ["last"]))) == {"_FusedConv2d": 3}


def test_hooks_are_called():
    seen = []
    model = taps(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), ["2"])
    model.get_submodule("1").register_forward_hook(lambda *_: seen.append(1))
    fused = fuse(model, SIZE)
    seen.clear()
    fused(images())
    assert seen == [1]


def test_a_sequence_within_a_sequence():
    block = torchvision.ops.Conv2dNormActivation(3, 4, 3)
    assert kinds(assert_same_maps(taps(nn.Sequential(block), ["0"]))) == {"_FusedConv2d": 1}


# Number types


def test_bfloat16_joins_weights_before_it_rounds():
    model = named_taps("resnet18", ["layer2"])
    before = copy.deepcopy(model.state_dict())
    x = images()
    expected = model(x)["layer2"]
    fused = fuse(model, SIZE).bfloat16()
    pack(fused)
    found = fused(x.bfloat16())["layer2"]
    assert found.dtype == torch.bfloat16
    plain = copy.deepcopy(model).bfloat16()(x.bfloat16())["layer2"]
    error, of_plain = ((one - expected).norm() / expected.norm() for one in (found, plain))
    assert 0 < error < min(0.05, 1.2 * of_plain)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(("device", "dtype"), [("meta", torch.float32), ("cpu", torch.float16)])
def test_what_there_are_no_operators_for(device, dtype):
    assert not can_pack(torch.device(device), dtype)


def test_processors_without_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not can_pack(torch.device("cpu"), torch.bfloat16)
    assert can_pack(torch.device("cpu"), torch.float32)


def test_without_onednn(monkeypatch):
    monkeypatch.setattr(fusing.torch.backends.mkldnn, "is_available", lambda: False)
    assert not can_pack(torch.device("cpu"), torch.float32)
