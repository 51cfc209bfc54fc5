# SPDX-License-Identifier: BSD-3-Clause
"""Images that pass the network at several sizes."""

import pickle

import numpy as np
import pytest
import torch
from _networks import small_extractor, small_network
from _persistence import parts, saved, write
from _photographs import photographs
from sklearn.base import clone
from torch.nn import functional

from skpatch import PatchFeatureExtractor, SoftPatchDetector, load, make_pipeline, save
from skpatch.engines import choosing
from skpatch.features import tiling
from skpatch.persistence.summary import summarize

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = photographs((96, 160), (96, 160), (96, 160))


@pytest.fixture(scope="module")
def single():
    return small_extractor(image_size=(96, 160), n_scales=1).fit(IMAGES)


@pytest.fixture(scope="module")
def double():
    return small_extractor(image_size=(96, 160), n_scales=2).fit(IMAGES)


@pytest.mark.parametrize("n_scales", [1, 2, 3])
def test_maps_are_means_over_the_scales(single, n_scales):
    extractor = clone(single).set_params(n_scales=n_scales).fit(IMAGES)
    found = extractor.transform(IMAGES)
    with torch.inference_mode():
        pixels = torch.tensor(np.stack(IMAGES)).permute(0, 3, 1, 2) / 255
        seen = (pixels - torch.tensor(single._mean).view(3, 1, 1)) / torch.tensor(single._std).view(
            3, 1, 1
        )
        sums = dict.fromkeys(single.layers_, 0)
        for _ in range(n_scales):
            for layer, values in single.model_(seen).items():
                size = {"layer2": (12, 20), "layer3": (6, 10)}[layer]
                sums[layer] = sums[layer] + functional.interpolate(values, size, mode="bilinear")
            seen = functional.avg_pool2d(seen, 2)
        expected = single._embedding([sums[layer] / n_scales for layer in single.layers_])
    assert found.shape == (3, 12, 20, 24)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert extractor.n_scales_ == n_scales


def test_the_default_network_is_called_twice():
    images = photographs((256, 256), (256, 256))
    extractor = PatchFeatureExtractor(image_size=256).fit(images)
    assert extractor.n_scales_ == 2
    found = extractor.transform(images)
    plain = clone(extractor).set_params(n_scales=1).fit(images)
    half = PatchFeatureExtractor(image_size=128, patch_size=1).fit(images)
    assert not np.allclose(found, plain.transform(images), atol=0.1)
    # The mean of the full and the half scale lies between both.
    coarse = half.transform(images).repeat(2, axis=1).repeat(2, axis=2)
    to_coarse, apart = (np.linalg.norm(one - coarse) for one in (found, plain.transform(images)))
    assert to_coarse < 0.8 * apart
    assert extractor.n_features_out_ == plain.n_features_out_


@pytest.mark.parametrize(
    ("parameters", "n_scales", "size"),
    [
        ({}, 2, (256, 416)),
        ({"image_size": 224}, 2, (224, 384)),
        ({"image_size": 240}, 2, (256, 384)),
        ({"image_size": (232, 300)}, 2, (232, 300)),
        ({"image_size": 208}, 1, (208, 352)),
        ({"image_size": 208, "n_scales": 2}, 2, (192, 352)),
        ({"image_size": 224, "n_scales": 1}, 1, (224, 368)),
        ({"image_size": 448, "n_scales": 3}, 3, (448, 768)),
        ({"resize": 256, "crop": 224}, 1, (224, 224)),
        ({"image_size": 448, "tile_size": 304}, 1, (448, 752)),
    ],
)
def test_what_auto_chooses(parameters, n_scales, size):
    extractor = small_extractor(**parameters).fit(photographs((300, 500)))
    assert (extractor.n_scales_, extractor.image_size_) == (n_scales, size)
    assert extractor.transform(photographs((300, 500))).shape[1:3] == extractor.grid_size_


def test_a_network_for_one_size_sees_it_once():
    class OneSize(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = small_network()
            self.position = torch.nn.Parameter(torch.zeros(1, 3, 224, 224))

        def forward(self, x):
            return self.network(x + self.position)

    layers = ["network.layer2", "network.layer3"]
    extractor = PatchFeatureExtractor(backbone=OneSize(), layers=layers)
    extractor.fit(photographs((300, 300)))
    assert (extractor.n_scales_, extractor.image_size_) == (1, (224, 224))


def test_too_many_scales():
    with pytest.raises(ValueError, match="n_scales=9 halves images down to 0 x 2 pixels"):
        small_extractor(image_size=(96, 300), n_scales=9).fit(IMAGES)
    with pytest.raises(ValueError, match="'n_scales' parameter"):
        small_extractor(n_scales=0).fit(IMAGES)


def test_weights_are_shared(single, double):
    assert double.model_.state_dict().keys() == single.model_.state_dict().keys()


def test_copies_give_the_same(double, tmp_path):
    features = double.transform(IMAGES)
    for other in (pickle.loads(pickle.dumps(double)), clone(double).fit(IMAGES)):
        np.testing.assert_array_equal(other.transform(IMAGES), features)
    detector = SoftPatchDetector(discriminator=None, random_state=0)
    model = make_pipeline(clone(double), detector).fit(IMAGES)
    loaded = saved(model, tmp_path, backbone=double.backbone)
    assert loaded[0].n_scales_ == 2
    np.testing.assert_array_equal(loaded.score_samples(IMAGES), model.score_samples(IMAGES))


def test_models_that_do_not_say_it_have_one_scale(tmp_path):
    """Those saved before there were several."""
    images = photographs((224, 224), (224, 224), (224, 224))
    extractor = small_extractor(image_size=224, n_scales=1)
    model = make_pipeline(extractor, SoftPatchDetector(discriminator=None, random_state=0))
    expected = model.fit(images).score_samples(images)
    path = tmp_path / "model.skpatch"
    save(model, path)
    header, body, _ = parts(path.read_bytes())
    del header["content"]["model"]["extractor"]["n_scales_"]
    write(path, header, body)
    loaded = load(path, backbone=extractor.backbone)
    np.testing.assert_array_equal(loaded.score_samples(images), expected)
    header["content"]["model"]["extractor"]["n_scales_"] = 40
    write(path, header, body)
    with pytest.raises(ValueError, match="have no 40 scales"):
        load(path, backbone=extractor.backbone)
    with pytest.raises(ValueError, match="have no 40 scales"):
        summarize(path)


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_other_engines(engine, double, tmp_path):
    for package in choosing.ENGINES[engine]:
        pytest.importorskip(package)
    expected = double.transform(IMAGES)
    other = clone(double).set_params(engine=engine).fit(IMAGES)
    np.testing.assert_allclose(other.transform(IMAGES), expected, atol=1e-4)


@pytest.mark.parametrize("tile_size", [160, 192, 256])
def test_tiles(tile_size, monkeypatch):
    """With a margin of two cells of the coarsest map, above the 13 pixels that the network sees."""
    monkeypatch.setattr(tiling, "MARGIN", 32)
    images = photographs((256, 320), (256, 320))
    whole = small_extractor(image_size=(256, 320), n_scales=2).fit(images)
    tiled = clone(whole).set_params(tile_size=tile_size).fit(images)
    assert tiled._tile != tiled.image_size_
    np.testing.assert_allclose(tiled.transform(images), whole.transform(images), atol=1e-5)
