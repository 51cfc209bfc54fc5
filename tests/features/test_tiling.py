# SPDX-License-Identifier: BSD-3-Clause
"""The network on tiles gives what it gives in one pass."""

import numpy as np
import pytest
import torch
from _networks import small_network
from _persistence import saved
from _photographs import photographs
from sklearn.base import clone
from torch import nn

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.features import tiling as _tiling
from skpatch.features.tiling import plan_tiles, tiled_maps

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = photographs((96, 144), (96, 144), (96, 144))


@pytest.fixture
def narrow(monkeypatch):
    """A margin above the 13 pixels that `small_network` sees, so that tiles can be small."""
    monkeypatch.setattr(_tiling, "_MARGIN", 16)


def small_extractor(**parameters):
    layers = ["layer2", "layer3"]
    return PatchFeatureExtractor(
        backbone=small_network(), layers=layers, image_size=96, **parameters
    )


def errors(found, expected):
    """Difference of each patch, relative to its norm."""
    return np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("embedding_dim", [None, 20])
@pytest.mark.parametrize("tile_size", [48, 64, 90, 96, 130])
def test_same_features_above_the_receptive_field(embedding_dim, tile_size):
    whole = small_extractor(embedding_dim=embedding_dim).fit(IMAGES)
    tiled = small_extractor(embedding_dim=embedding_dim, tile_size=tile_size).fit(IMAGES)
    assert tiled.grid_size_ == whole.grid_size_ == (12, 18)
    assert tiled.get_feature_names_out().tolist() == whole.get_feature_names_out().tolist()
    np.testing.assert_allclose(tiled.transform(IMAGES), whole.transform(IMAGES), atol=1e-5)


def test_the_default_network(monkeypatch):
    """Its padding is uneven, and it sees 170 pixels far."""
    images = photographs((400, 400))
    whole = PatchFeatureExtractor(image_size=400).fit(images)
    expected = whole.transform(images)
    tiled = clone(whole).set_params(tile_size=336).fit(images)
    gaps = errors(tiled.transform(images), expected)[0]
    assert 0 < gaps.max() < 0.01
    assert gaps[:5, :5].max() < 1e-5
    monkeypatch.setattr(_tiling, "_MARGIN", 176)
    exact = clone(whole).set_params(tile_size=368).fit(images)
    assert errors(exact.transform(images), expected).max() < 1e-5


@pytest.mark.parametrize(
    ("length", "tile"), [(288, 288), (304, 288), (320, 288), (1000, 272), (4000, 1024), (1536, 512)]
)
def test_tiles_cover_every_row_once(length, tile):
    spans = _tiling._spans(length, tile)
    rows = np.concatenate([np.arange(first, last) for _, first, last in spans])
    np.testing.assert_array_equal(rows, np.arange(length))
    for start, first, last in spans:
        assert 0 <= start <= length - tile
        assert first == 0 or first - start >= _tiling._MARGIN
        assert last == length or start + tile - last >= _tiling._MARGIN


def test_no_pass_is_larger_than_a_tile(monkeypatch):
    sizes = []
    forward = nn.Conv2d.forward

    def spy(self, x):
        if self.in_channels == 3:
            sizes.append(tuple(x.shape))
        return forward(self, x)

    monkeypatch.setattr(nn.Conv2d, "forward", spy)
    extractor = small_extractor(tile_size=400).set_params(image_size=(416, 560), batch_size=3)
    extractor.fit(IMAGES)
    # Two tiles of 400 pixels would cover 416, and three 560; so do tiles of 336 and 368.
    assert max(sizes) == (1, 3, 336, 368)
    sizes.clear()
    extractor.transform(IMAGES)
    assert sizes == [(3, 3, 336, 368)] * 2 * 3


def test_a_small_image_is_one_tile():
    # It need not consist of whole strides.
    whole = small_extractor().set_params(image_size=(90, 131)).fit(IMAGES)
    tiled = clone(whole).set_params(tile_size=272).fit(IMAGES)
    np.testing.assert_array_equal(tiled.transform(IMAGES), whole.transform(IMAGES))


def test_maps_keep_the_number_type():
    def network(pixels):
        return {"layer": pixels[..., ::2, ::2].to(torch.bfloat16)}

    pixels = torch.arange(3 * 320 * 400.0).reshape(1, 3, 320, 400)
    found = tiled_maps(network, pixels, (288, 304))["layer"]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, network(pixels)["layer"])


@pytest.mark.usefixtures("narrow")
def test_saved_pipeline_has_tiles(tmp_path):
    extractor = small_extractor(tile_size=70)
    model = make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(IMAGES)
    loaded = saved(model, tmp_path, backbone=small_network())
    assert loaded[0]._tile == (64, 64)
    np.testing.assert_array_equal(loaded[0].transform(IMAGES), model[0].transform(IMAGES))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tile_size": 271}, "tile_size=271 must be at least 272: tiles overlap by 256 pixels"),
        ({"tile_size": 287, "layers": "layer4"}, "tile_size=287 must be at least 288"),
        ({"tile_size": 300, "image_size": (401, 560)}, r"\(401, 560\), must consist of multiples"),
        ({"tile_size": 0}, "'tile_size' parameter"),
    ],
)
def test_bad_tiles(parameters, message):
    with pytest.raises(ValueError, match=message):
        small_extractor().set_params(**{"image_size": (400, 560), **parameters}).fit(IMAGES)


def test_a_network_that_does_not_pad_is_refused():
    def shapes_at(size):
        return [(8, size[0] // 8 - 2, size[1] // 8 - 2)]

    with pytest.raises(ValueError, match=r"for an input of \(320, 320\), this one gives .*38, 38"):
        plan_tiles(shapes_at, (640, 640), 320)
