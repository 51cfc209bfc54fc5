# SPDX-License-Identifier: BSD-3-Clause
"""The network on tiles gives what it gives in one pass."""

import numpy as np
import pytest
import torch
from _networks import small_extractor, small_network
from _persistence import saved
from _photographs import photographs
from sklearn.base import clone
from torch import nn

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.engines.network import TorchNetwork
from skpatch.features import tiling
from skpatch.features.tiling import plan_tiles, tiled_maps

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = photographs((96, 144), (96, 144), (96, 144))


@pytest.fixture
def narrow(monkeypatch):
    """A margin above the 13 pixels that `small_network` sees, so that tiles can be small."""
    monkeypatch.setattr(tiling, "MARGIN", 16)


def errors(found, expected):
    """Difference of each patch, relative to its norm."""
    return np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("embedding_dim", [None, 20])
@pytest.mark.parametrize("tile_size", [48, 64, 90, 96, 130])
def test_same_features_above_the_receptive_field(embedding_dim, tile_size):
    whole = small_extractor(image_size=96, embedding_dim=embedding_dim).fit(IMAGES)
    tiled = clone(whole).set_params(tile_size=tile_size).fit(IMAGES)
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
    monkeypatch.setattr(tiling, "MARGIN", 176)
    exact = clone(whole).set_params(tile_size=368).fit(images)
    assert errors(exact.transform(images), expected).max() < 1e-5


@pytest.mark.parametrize(
    ("length", "tile"), [(288, 288), (304, 288), (320, 288), (1000, 272), (4000, 1024), (1536, 512)]
)
def test_tiles_cover_every_row_once(length, tile):
    """Away from the edges of a tile that are not edges of the image."""

    def network(pixels):
        rows = pixels[:, :1]
        first, last = rows.min(), rows.max()
        before = rows - first if first > 0 else rows + torch.inf
        behind = last + 1 - rows if last < length - 1 else rows + torch.inf
        return {"rows": rows, "before": before, "behind": behind}

    rows = torch.arange(float(length)).reshape(1, 1, -1, 1).expand(1, 3, -1, 2)
    found = tiled_maps(network, rows, (tile, 2), tiling.MARGIN)
    assert torch.equal(found["rows"], rows[:, :1])
    assert found["before"].min() >= tiling.MARGIN
    assert found["behind"].min() >= tiling.MARGIN


@pytest.fixture
def passes(monkeypatch):
    """Shapes (n, 3, H, W) of what `small_network` is given, no images while it is fitted."""
    shapes = []
    forward = nn.Conv2d.forward

    def spy(self, x):
        if self.in_channels == 3:
            shapes.append(tuple(x.shape))
        return forward(self, x)

    monkeypatch.setattr(nn.Conv2d, "forward", spy)
    return shapes


def test_no_pass_is_larger_than_a_tile(passes, monkeypatch):
    extractor = small_extractor(image_size=(416, 560), tile_size=400, batch_size=3).fit(IMAGES)
    # Two tiles of 400 pixels would cover 416, and three 560; so do tiles of 336 and 368.
    assert passes[-1] == (0, 3, 336, 368)
    assert not any(n_images for n_images, *_ in passes)
    given, call = [], TorchNetwork.__call__

    def spy(self, pixels):
        given.append(tuple(pixels.shape))
        return call(self, pixels)

    monkeypatch.setattr(TorchNetwork, "__call__", spy)
    extractor.transform(IMAGES)
    assert given == [(3, 3, 336, 368)] * 2 * 3


def test_a_small_image_is_one_tile():
    # It need not consist of whole strides.
    whole = small_extractor(image_size=(90, 131)).fit(IMAGES)
    tiled = clone(whole).set_params(tile_size=272).fit(IMAGES)
    np.testing.assert_array_equal(tiled.transform(IMAGES), whole.transform(IMAGES))


def test_maps_keep_the_number_type():
    def network(pixels):
        return {"layer": pixels[..., ::2, ::2].to(torch.bfloat16)}

    pixels = torch.arange(3 * 320 * 400.0).reshape(1, 3, 320, 400)
    found = tiled_maps(network, pixels, (288, 304), tiling.MARGIN)["layer"]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, network(pixels)["layer"])


@pytest.mark.usefixtures("narrow")
def test_saved_pipeline_has_tiles(tmp_path, passes):
    extractor = small_extractor(image_size=96, tile_size=70)
    model = make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(IMAGES)
    loaded = saved(model, tmp_path, backbone=small_network())
    passes.clear()
    np.testing.assert_array_equal(loaded[0].transform(IMAGES), model[0].transform(IMAGES))
    assert {shape[2:] for shape in passes} == {(64, 64)}


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
        small_extractor(**{"image_size": (400, 560), **parameters}).fit(IMAGES)


def test_a_network_that_does_not_pad_is_refused():
    def shapes_at(size):
        return [(8, size[0] // 8 - 2, size[1] // 8 - 2)]

    with pytest.raises(ValueError, match=r"for an input of \(320, 320\), this one gives .*38, 38"):
        plan_tiles(shapes_at, (224, 224), (640, 640), 320)
