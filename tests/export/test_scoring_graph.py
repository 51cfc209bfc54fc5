# SPDX-License-Identifier: BSD-3-Clause
"""The module that is exported says what the pipeline says."""

import numpy as np
import pytest
import torch
from _networks import small_extractor
from _photographs import IMAGES, photographs

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.export.graph import ScoringGraph

pytestmark = pytest.mark.usefixtures("one_thread")

NEW = photographs((90, 61), (40, 50), (64, 64), seed=1)


def said(model, image):
    """Score, p-value, verdict and map of an image by a graph."""
    graph = ScoringGraph(model[0], model[1]).eval()
    with torch.inference_mode():
        return [value[0].numpy() for value in graph(torch.from_numpy(image)[None])]


def assert_same(model):
    threshold = -model[1].offset_
    for image in NEW:
        score, pvalue, is_anomalous, whole = said(model, image)
        expected = -model.score_samples([image])[0] / threshold
        assert score == pytest.approx(expected, rel=1e-4)
        assert pvalue == pytest.approx(model.predict_pvalue([image])[0], rel=1e-6)
        assert is_anomalous == (model.predict([image])[0] == -1)
        assert whole.shape == image.shape[:2]
        np.testing.assert_allclose(
            whole, model.predict_map([image])[0] / threshold, atol=1e-3 * expected
        )


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"n_neighbors": 3},
        {"metric": "sqeuclidean"},
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


def test_training_images_are_compared_with_themselves():
    detector = SoftPatchDetector(coreset_size=1.0, random_state=0)
    model = make_pipeline(small_extractor(image_size=64), detector).fit(IMAGES)
    assert said(model, IMAGES[0])[0] < 0.9 * model.inspect(IMAGES[:1]).scores[0]
