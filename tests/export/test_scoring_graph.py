# SPDX-License-Identifier: BSD-3-Clause
"""The module that is exported says what the pipeline says."""

import numpy as np
import pytest
import torch
from _networks import small_extractor
from _photographs import IMAGES, parts, photographs

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.detector.estimator import fitted_state
from skpatch.export import search
from skpatch.export.graph import ScoringGraph

pytestmark = pytest.mark.usefixtures("one_thread")

NEW = photographs((90, 61), (40, 50), (64, 64), seed=1)


@pytest.fixture
def small_blocks(monkeypatch):
    """Banks of few patches are searched as large ones are."""
    monkeypatch.setattr(search, "_BLOCK", 5)
    monkeypatch.setattr(search, "_LEADERS", 2)


def said(model, images, maps=True):
    """Scores, p-values, verdicts and perhaps maps of images of one size by a graph."""
    graph = ScoringGraph(model[0], model[1], maps).eval()
    with torch.inference_mode():
        return [values.numpy() for values in graph(torch.from_numpy(np.stack(images)))]


def assert_same(model):
    threshold = -model[1].offset_
    for image in NEW:
        score, pvalue, is_anomalous, whole = (one[0] for one in said(model, [image]))
        expected = -model.score_samples([image])[0] / threshold
        assert score == pytest.approx(expected, rel=1e-4)
        assert pvalue == pytest.approx(model.predict_pvalue([image])[0], rel=1e-6)
        assert is_anomalous == (model.predict([image])[0] == -1)
        assert whole.shape == image.shape[:2]
        np.testing.assert_allclose(
            whole, model.predict_map([image])[0] / threshold, atol=1e-3 * expected
        )
        assert_same_without_maps(model, [image])


def assert_same_without_maps(model, images):
    """Fewer comparisons, the same scores."""
    for one, expected in zip(said(model, images, maps=False), said(model, images), strict=False):
        np.testing.assert_allclose(one, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"n_neighbors": 3},
        {"metric": "sqeuclidean"},
        {"metric": "cosine"},
        {"discriminator": None},
        {"discriminator": "lof"},
        {"discriminator": "lof", "n_neighbors": 3, "metric": "sqeuclidean"},
        {"worst_patches": 3},
        {"coreset_size": 2, "n_neighbors": 5},
        {"coreset_size": 1.0, "n_neighbors": 300},
        {"contamination": 0.3},
    ],
    ids=str,
)
def test_detectors(parameters):
    detector = SoftPatchDetector(random_state=0, **parameters)
    assert_same(make_pipeline(small_extractor(image_size=64), detector).fit(IMAGES))


def test_reaches():
    model = make_pipeline(small_extractor(image_size=64), SoftPatchDetector(random_state=0))
    model.fit([*IMAGES, *photographs(*[(70, 80)] * 25, seed=3)])
    assert model[1].memory_reaches_.any()
    assert_same(model)


@pytest.mark.parametrize(
    "parameters", [{}, {"metric": "cosine", "projection_dim": 8}, {"n_neighbors": 3}], ids=str
)
def test_weights_by_place(small_blocks, parameters):
    detector = SoftPatchDetector(random_state=0, **parameters)
    model = make_pipeline(small_extractor(image_size=64), detector).fit(parts(40, seed=0))
    bank = fitted_state(detector).bank
    assert bank.usual is not None
    assert_same(model)
    spoiled = parts(2, seed=1)
    spoiled[1][20:30, 20:30] = 255
    assert_same_without_maps(model, spoiled)
    features = model[0].transform(spoiled)
    if "metric" in parameters:
        features /= np.linalg.norm(features, axis=-1, keepdims=True)
    weights = bank.usual.weights(features.reshape(2, -1, features.shape[-1]))
    assert weights[1].max() > 1.2 * weights[0].max()


@pytest.mark.parametrize(
    "parameters",
    [
        {"image_size": (40, 72)},
        {"image_size": 64, "patch_size": 5},
        {"image_size": 64, "embedding_dim": 10},
        {"resize": 64, "crop": 48},
        {"image_size": 64, "batch_size": 3, "engine": "openvino"},
    ],
    ids=str,
)
def test_extractors(parameters):
    if "engine" in parameters:
        pytest.importorskip("openvino")
    detector = SoftPatchDetector(random_state=0)
    assert_same(make_pipeline(small_extractor(**parameters), detector).fit(IMAGES))


def test_default_network():
    model = make_pipeline(PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0))
    assert_same(model.fit(IMAGES))


# Searching for the worst patches


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"worst_patches": 7},
        {"discriminator": "lof"},
        {"n_neighbors": 3, "metric": "sqeuclidean"},
        {"metric": "cosine"},
        {"n_neighbors": 30},
    ],
    ids=str,
)
def test_the_worst_patches_of_several_images(small_blocks, parameters):
    detector = SoftPatchDetector(random_state=0, **parameters)
    model = make_pipeline(small_extractor(image_size=64), detector).fit(IMAGES)
    # One that is unusual everywhere, one that is nowhere, and one that is at one place.
    normal, spoiled = IMAGES[0], IMAGES[1].copy()
    spoiled[20:30, 20:30] = 255 - spoiled[20:30, 20:30]
    assert_same_without_maps(model, [255 - normal, normal, spoiled])
    scores = -model[1].score_samples(model[0].transform([255 - normal, spoiled]))
    found = said(model, [255 - normal, spoiled], maps=False)[0]
    np.testing.assert_allclose(found, scores / -model[1].offset_, rtol=1e-4)


def test_patches_that_are_all_alike(small_blocks):
    model = make_pipeline(small_extractor(image_size=64), SoftPatchDetector(random_state=0))
    blank = np.zeros_like(IMAGES[0])
    assert_same_without_maps(model.fit(IMAGES), [blank, blank])


@pytest.mark.parametrize("far", [1e3, 1e5])
def test_an_image_far_from_all_others(far):
    """Products cancel where patches are large, so they are measured from where most are."""
    features = np.random.RandomState(0).normal(size=(30, 4, 4, 8)).astype(np.float32)
    features[7] += far
    bank = fitted_state(SoftPatchDetector(discriminator=None, random_state=0).fit(features)).bank
    new = np.random.RandomState(1).normal(size=(5, 16, 8)).astype(np.float32)
    expected = bank.score_patches(new[:, np.newaxis], None, None)[:, 0]
    with torch.inference_mode():
        found = search.BankSearch(bank)(torch.from_numpy(new)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_training_images_are_compared_with_themselves():
    detector = SoftPatchDetector(coreset_size=1.0, random_state=0)
    model = make_pipeline(small_extractor(image_size=64), detector).fit(IMAGES)
    assert said(model, IMAGES[:1])[0][0] < 0.9 * model.inspect(IMAGES[:1]).scores[0]
