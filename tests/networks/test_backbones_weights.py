# SPDX-License-Identifier: BSD-3-Clause
import pickle
import urllib.error

import pytest
import torch
from _networks import small_network, whole_network
from torch import nn

from skpatch.networks.backbones import build_backbone

pytestmark = pytest.mark.usefixtures("one_thread")


def same_state(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.mark.parametrize("name", ["efficientnet_lite0", "shufflenet_v2_x0_5"])
def test_random_weights_are_seeded_and_leave_the_generator_alone(name):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = whole_network(name, None, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    second, third = (whole_network(name, None, seed) for seed in (0, 1))
    assert same_state(first, second)
    assert not same_state(first, third)


def test_random_weights_leave_the_generators_of_gpus_alone(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", calls.append)
    whole_network("shufflenet_v2_x0_5", None, 0)
    assert calls == []


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "efficientnet_lite0"])
def test_weights_from_a_file(tmp_path, name, wrapped):
    source = whole_network(name, None, 3)
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": source.state_dict()} if wrapped else source.state_dict(), path)
    for given in (path, str(path)):
        assert same_state(whole_network(name, given, 0), source)


def test_weights_of_a_module_from_a_file(tmp_path):
    source, target = small_network(), small_network()
    with torch.no_grad():
        source.stem.weight.add_(1)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    built = whole_network(target, tmp_path / "weights.pth", 0)
    assert same_state(built, source)
    assert not same_state(target, source)


def test_densenet_files_with_old_names(tmp_path):
    # The files that torchvision offers, and that the message on a failed download names.
    source = whole_network("densenet121", None, 3)
    state = {}
    for name, value in source.state_dict().items():
        if "denselayer" in name and not name.endswith("num_batches_tracked"):
            for part in ("norm", "conv"):
                name = name.replace(f"{part}1.", f"{part}.1.").replace(f"{part}2.", f"{part}.2.")
            assert ".1." in name or ".2." in name
        state[name] = value
    torch.save(state, tmp_path / "densenet121.pth")
    built = whole_network("densenet121", tmp_path / "densenet121.pth", 0)
    assert same_state(built, source)


def test_googlenet_from_a_file_converts_its_input(tmp_path):
    # torchvision sets this for its own weights.
    module = whole_network("googlenet", None, 0)
    assert module.transform_input is True
    torch.save(module.state_dict(), tmp_path / "weights.pth")
    assert whole_network("googlenet", tmp_path / "weights.pth", 0).transform_input is True


class Harmful:
    executed = []

    def __reduce__(self):
        return (Harmful.executed.append, ("executed",))


def test_code_in_a_weights_file_is_refused(tmp_path):
    path = tmp_path / "harmful.pth"
    torch.save({"fc.weight": Harmful()}, path)
    with pytest.raises(ValueError, match=r"harmful\.pth.*weights_only=True"):
        whole_network(small_network(), path, 0)
    assert Harmful.executed == []
    with open(path, "wb") as file:
        pickle.dump(Harmful(), file)
    with pytest.raises(ValueError, match=r"harmful\.pth.*weights_only=True"):
        whole_network(small_network(), path, 0)
    assert Harmful.executed == []


@pytest.mark.parametrize("content", [b"", b"plain text", b"PK\x03\x04 no archive", b"\x80\x02."])
def test_file_that_holds_no_weights(tmp_path, content):
    path = tmp_path / "garbage.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"garbage\.pth.*not a file of plain tensors"):
        whole_network(small_network(), path, 0)


def test_missing_weights(tmp_path):
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(FileNotFoundError, match="is not a file") as caught:
            whole_network(small_network(), path, 0)
        assert repr(str(path)) in str(caught.value)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"a": 1}, torch.zeros(2)])
def test_file_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth' holds a .*not a state dict"):
        whole_network(small_network(), tmp_path / "other.pth", 0)


def test_weights_that_do_not_fit(tmp_path):
    torch.save(nn.Sequential(nn.Linear(2, 2)).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth' does not fit the backbone: it lacks stem"):
        whole_network(small_network(), tmp_path / "weights.pth", 0)


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route to host"), RuntimeError("invalid hash value")]
)
def test_failed_download_says_how_to_pass_a_file(tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(OSError, match=r'pass weights="path/to/resnet18-\w+\.pth"') as caught:
        whole_network("resnet18", "default", 0)
    assert "resnet18" in str(caught.value)
    assert "https://download.pytorch.org" in str(caught.value)
    assert caught.value.__cause__ is error


def test_statistics_of_torchvision_weights():
    built = build_backbone("resnet18", None, 0)
    assert built.mean == (0.485, 0.456, 0.406)
    assert built.std == (0.229, 0.224, 0.225)
