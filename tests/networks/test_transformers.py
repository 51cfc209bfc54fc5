# SPDX-License-Identifier: BSD-3-Clause
"""Tokens and channels-last maps become maps (n, c, h, w): torchvision's networks."""

import pickle

import numpy as np
import pytest
import torch
import torchvision
from _photographs import photographs
from torch import nn
from torchvision.models.vision_transformer import interpolate_embeddings

from skpatch import PatchFeatureExtractor
from skpatch.engines.choosing import ENGINES
from skpatch.networks.backbones import build_backbone
from skpatch.networks.grids import as_map, map_shape
from skpatch.networks.layers import TracedNetwork

pytestmark = pytest.mark.usefixtures("one_thread")


def vision_transformer(size=64):
    """ViT of four blocks, patches of 16 pixels and a class token, with random weights."""
    torch.manual_seed(0)
    module = torchvision.models.VisionTransformer(size, 16, 4, 2, 8, 16)
    nn.init.normal_(module.class_token)
    nn.init.normal_(module.encoder.pos_embedding)
    return module.eval()


def images(*size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def as_grid(tokens, height, width, first=1):
    """Map of tokens, by loops."""
    found = torch.empty(len(tokens), tokens.shape[2], height, width)
    for row in range(height):
        for column in range(width):
            found[:, :, row, column] = tokens[:, first + row * width + column]
    return found


# Grids


@pytest.mark.parametrize(
    ("n_tokens", "size", "n_prefix", "grid"),
    [
        (196, (224, 224), None, (14, 14)),
        (197, (224, 224), None, (14, 14)),
        (201, (224, 224), None, (14, 14)),
        (261, (224, 224), None, (16, 16)),
        (261, (224, 224), 5, (16, 16)),
        # Before the class token is put there.
        (256, (224, 224), 5, (16, 16)),
        (257, (224, 224), 5, None),
        (1 + 14 * 20, (224, 320), None, (14, 20)),
        (1 + 23 * 31, (322, 434), None, (23, 31)),
        # Sizes that are no multiples of 16.
        (1 + 14 * 14, (230, 230), None, None),
        # More than any network has before its patches.
        (196 + 17, (224, 224), None, None),
    ],
)
def test_grid_of_tokens(n_tokens, size, n_prefix, grid):
    assert map_shape((2, n_tokens, 8), size, n_prefix) == (grid and (8, *grid))


def test_tokens_in_their_places():
    tokens = torch.arange(2 * (5 + 6) * 3.0).reshape(2, 11, 3)
    found = as_map(tokens, torch.zeros(2, 3, 20, 30), 5)
    torch.testing.assert_close(found, as_grid(tokens, 2, 3, 5))


@pytest.mark.parametrize("shape", [(2, 10), (2, 7, 8, 8), (2, 213, 8)])
def test_other_values_stay(shape):
    values = torch.zeros(shape)
    assert as_map(values, torch.zeros(2, 3, 224, 224), None) is values


# torchvision


def test_vision_transformer():
    module = vision_transformer()
    network = TracedNetwork(module, build_backbone(module, "default", 0).module)
    layers = network.default_layers()
    # At a half and at three quarters of the four.
    assert layers == ("encoder.layers.encoder_layer_1", "encoder.layers.encoder_layer_2")
    taps = network.taps((*layers, "encoder.ln"))
    assert network.map_shapes(taps, (64, 64)) == [(8, 4, 4)] * 3
    pixels = images(64, 64)
    with torch.inference_mode():
        tokens = torch.cat([module.class_token.expand(2, -1, -1), module._process_input(pixels)], 1)
        tokens = tokens + module.encoder.pos_embedding
        expected = []
        for block in module.encoder.layers:
            tokens = block(tokens)
            expected.append(as_grid(tokens, 4, 4))
        found = taps(pixels)
        torch.testing.assert_close(found[layers[0]], expected[1])
        torch.testing.assert_close(found[layers[1]], expected[2])
        torch.testing.assert_close(found["encoder.ln"], as_grid(module.encoder.ln(tokens), 4, 4))


def test_position_embeddings_are_resampled_as_torchvision_does():
    module, larger = vision_transformer(64), vision_transformer(96)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    larger.load_state_dict(interpolate_embeddings(96, 16, state))
    layers = ["encoder.layers"]
    network, other = (TracedNetwork(one, one).taps(layers) for one in (module, larger))
    pixels = images(96, 96)
    with torch.inference_mode():
        expected = other(pixels)["encoder.layers"]
        torch.testing.assert_close(network(pixels)["encoder.layers"], expected)
        assert network(images(64, 112))["encoder.layers"].shape == (2, 8, 4, 7)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_swin_transformers_are_turned(version):
    torch.manual_seed(0)
    parts = {
        "v1": {},
        "v2": {
            "block": torchvision.models.swin_transformer.SwinTransformerBlockV2,
            "downsample_layer": torchvision.models.swin_transformer.PatchMergingV2,
        },
    }
    module = torchvision.models.SwinTransformer(
        [4, 4], 8, [1, 1, 1, 1], [1, 1, 1, 1], [7, 7], **parts[version]
    ).eval()
    network = TracedNetwork(module, module)
    assert network.default_layers() == ("features.3", "features.5")
    taps = network.taps(("features.3", "features.5"))
    assert network.map_shapes(taps, (64, 96)) == [(16, 8, 12), (32, 4, 6)]
    assert not network.gives_tokens(taps, (64, 96))
    with torch.inference_mode():
        third = module.features[:4](images(64, 96))
        found = taps(images(64, 96))
        torch.testing.assert_close(found["features.3"], third.permute(0, 3, 1, 2))
        fifth = module.features[4:6](third)
        torch.testing.assert_close(found["features.5"], fifth.permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("name", "layers", "n_channels", "stride"),
    [
        ("vit_b_32", ("encoder.layers.encoder_layer_5", "encoder.layers.encoder_layer_8"), 768, 32),
        ("swin_t", ("features.3", "features.5"), 192, 8),
        ("swin_v2_t", ("features.3", "features.5"), 192, 8),
    ],
)
def test_default_layers_by_name(name, layers, n_channels, stride):
    network = TracedNetwork(name, build_backbone(name, None, 0).module)
    assert network.default_layers() == layers
    taps = network.taps(layers[:1])
    assert network.map_shapes(taps, (224, 320)) == [(n_channels, 224 // stride, 320 // stride)]


def test_a_network_for_one_size_has_that_size():
    """MaxViT seems to take any, as long as no image is there."""
    torch.manual_seed(0)
    module = torchvision.models.MaxVit((224, 224), 4, 7, [4, 4, 4, 4], [1, 1, 1, 1], 4, 0.0)
    extractor = PatchFeatureExtractor(backbone=module)
    assert extractor.fit(photographs((40, 60))).image_size_ == (224, 224)
    assert extractor.layers_ == ("blocks.1", "blocks.2")
    extractor.set_params(image_size=256)
    with pytest.raises(ValueError, match="MaxVit cannot process an image of 256 x 384 pixels"):
        extractor.fit(photographs((40, 60)))


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
@pytest.mark.parametrize("size", [(64, 64), (32, 80)])
def test_other_engines(size, engine):
    pytest.importorskip(ENGINES[engine][0])
    extractor = PatchFeatureExtractor(backbone=vision_transformer(), image_size=size)
    expected = extractor.fit_transform(photographs((40, 60)))
    extractor.set_params(engine=engine)
    np.testing.assert_allclose(
        extractor.transform(photographs((40, 60))), expected, rtol=1e-4, atol=1e-4
    )


def test_pickled():
    """Tracing again, which is what unpickling does, must not look into what fits sizes."""
    extractor = PatchFeatureExtractor(backbone=vision_transformer(), image_size=(64, 96))
    expected = extractor.fit_transform(photographs((40, 60)))
    again = pickle.loads(pickle.dumps(extractor))
    assert np.array_equal(again.transform(photographs((40, 60))), expected)


def test_a_network_for_one_other_size():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.within = vision_transformer(64)

        def forward(self, x):
            return self.within(x)

    extractor = PatchFeatureExtractor(backbone=Fixed(), image_size=(64, 64))
    with pytest.raises(ValueError, match=r"224 x 224 .* name that as image_size=\(height, width\)"):
        extractor.fit(photographs((40, 60)))
    extractor.set_params(layers="within.encoder.ln")
    assert extractor.fit(photographs((40, 60))).grid_size_ == (4, 4)


# Modules of one's own


class Tokens(nn.Module):
    """Patches of 14 pixels as tokens (n, t, c), after as many others as are asked for."""

    def __init__(self, n_others):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 6, 14, 14)
        self.others = nn.Parameter(torch.randn(1, n_others, 6))
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.others.expand(x.shape[0], -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return x


@pytest.mark.parametrize("n_others", [0, 1, 5])
def test_sizes_are_multiples_of_the_patches(n_others):
    pictures = photographs((90, 120))
    extractor = PatchFeatureExtractor(backbone=Tokens(n_others), image_size=100).fit(pictures)
    assert extractor.image_size_ == (98, 140)
    assert extractor.grid_size_ == (7, 10)
    # Of the four blocks; and tokens are not pooled.
    assert extractor.layers_ == ("blocks.1", "blocks.2")
    features = extractor.transform(pictures)
    assert np.array_equal(extractor.set_params(patch_size=1).fit_transform(pictures), features)
    assert not np.array_equal(extractor.set_params(patch_size=3).fit_transform(pictures), features)
    extractor.set_params(image_size="auto").fit(pictures)
    assert extractor.image_size_ == (224, 294)


def test_tiles_are_multiples_of_the_patches():
    pictures = photographs((420, 420))
    module = Tokens(1)
    whole = PatchFeatureExtractor(backbone=module, image_size=420).fit(pictures)
    tiled = PatchFeatureExtractor(backbone=module, image_size=420, tile_size=350).fit(pictures)
    assert tiled._tile[0] % 14 == tiled._margin % 14 == 0
    assert tiled._tile[0] < 420
    # Each token of this network sees its own patch alone.
    np.testing.assert_allclose(
        tiled.transform(pictures), whole.transform(pictures), rtol=0, atol=1e-5
    )


def test_tokens_of_no_grid_are_refused_with_what_was_seen():
    extractor = PatchFeatureExtractor(backbone=Tokens(1), image_size=(100, 98), layers="blocks.3")
    with pytest.raises(ValueError, match=r"'blocks\.3' of Tokens gives \(n, 50, 6\)") as caught:
        extractor.fit(photographs((90, 90)))
    assert "100 x 98 pixels" in str(caught.value)
    assert "multiples of a patch's side" in str(caught.value)


def test_what_a_network_declares_counts():
    module = Tokens(5)
    module.num_register_tokens = 3
    with pytest.raises(ValueError, match="after the 4 others that the network says it has"):
        PatchFeatureExtractor(backbone=module, layers="blocks.3").fit(photographs((90, 90)))
    module.num_register_tokens = 4
    assert PatchFeatureExtractor(backbone=module).fit(photographs((90, 90))).grid_size_ == (16, 16)
