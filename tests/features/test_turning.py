# SPDX-License-Identifier: BSD-3-Clause
"""Turned and mirrored copies of training images, and detectors that learn from them."""

import numpy as np
import pytest
from _persistence import saved
from _references import map_without, textures
from sklearn.base import clone
from sklearn.pipeline import make_pipeline as sklearn_make_pipeline

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import make_contaminated_images

# How copies are made, and how a grid of one is brought back.
VIEWS = {
    "rotation": [
        (lambda a: a, lambda a: a),
        (lambda a: a[:, ::-1, ::-1], lambda a: a[:, ::-1, ::-1]),
        (lambda a: np.rot90(a, 1, (1, 2)), lambda a: np.rot90(a, 3, (1, 2))),
        (lambda a: np.rot90(a, 3, (1, 2)), lambda a: np.rot90(a, 1, (1, 2))),
    ],
    "flip": [
        (lambda a: a, lambda a: a),
        (lambda a: a[:, :, ::-1], lambda a: a[:, :, ::-1]),
        (lambda a: a[:, ::-1], lambda a: a[:, ::-1]),
        (lambda a: a[:, ::-1, ::-1], lambda a: a[:, ::-1, ::-1]),
    ],
}


@pytest.fixture(scope="module")
def images():
    return make_contaminated_images(n_normal=7, n_defective=0, image_size=64, random_state=0).images


@pytest.mark.parametrize("augment", VIEWS)
def test_patches_of_copies_are_at_the_places_they_come_from(augment, images):
    plain = PatchFeatureExtractor(image_size=64).fit(images)
    extractor = PatchFeatureExtractor(image_size=64, augment=augment)
    found = extractor.fit_transform(images)
    expected = [
        back(plain.transform(np.ascontiguousarray(turn(images)))) for turn, back in VIEWS[augment]
    ]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(extractor.transform(images), found[:, 0])


def test_elongated_images_are_not_turned_on_their_side(images):
    extractor = PatchFeatureExtractor(image_size=(64, 96), augment="rotation")
    assert extractor.fit_transform(images).shape == (7, 2, 8, 12, 152)


def test_what_is_outside_a_region_is_outside_in_copies(images, tmp_path):
    region = np.tri(64) > 0
    extractor = PatchFeatureExtractor(
        image_size=64, augment="flip", region=region, output=tmp_path / "features.npy"
    )
    found = extractor.fit_transform(images)
    assert isinstance(found, np.memmap)
    inspected = np.broadcast_to(extractor.inspected_, found.shape[:-1])
    np.testing.assert_array_equal(np.isnan(found), np.repeat(~inspected[..., None], 152, axis=-1))


def views(n_images=30, **kwargs):
    """Features (n, 3, 6, 6, 12) of which each view has textures of its own."""
    parts = [textures(n_images, seed=seed, **kwargs) for seed in range(3)]
    return np.stack(parts, axis=1)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_an_image_is_scored_without_its_copies(metric):
    features = views()
    # The copies of an image are what it would be like, but for them.
    features[:, 1] = features[:, 0] + np.float32(1e-3)
    detector = SoftPatchDetector(metric=metric, worst_patches=1, random_state=0).fit(features)
    if metric == "euclidean":
        worst = [map_without(detector, image[0], i).max() for i, image in enumerate(features)]
        np.testing.assert_allclose(detector.training_scores_, -np.array(worst), rtol=1e-4)
    plain = SoftPatchDetector(metric=metric, worst_patches=1, random_state=0).fit(features[:, 0])
    # With its copies in the bank it would score a thousandth.
    assert (detector.training_scores_ < 0.5 * plain.training_scores_.max()).all()
    np.testing.assert_allclose(
        detector.score_samples(features[:, 0]), detector.training_scores_, rtol=1e-6
    )


def test_copies_are_no_images():
    features = views()
    detector = SoftPatchDetector(random_state=0).fit(features)
    plain = SoftPatchDetector(random_state=0).fit(features[:, 0])
    assert len(detector.memory_bank_) == 3 * len(plain.memory_bank_)
    assert len(detector.calibration_scores_) == len(detector.training_scores_) == 30
    np.testing.assert_array_equal(detector.noise_scores_, plain.noise_scores_)
    assert detector.noise_finding_ == plain.noise_finding_
    # Each memory patch is a patch of one of the views, at the place that it says.
    images, rows, columns = detector.memory_source_.T
    gaps = np.abs(features[images, :, rows, columns] - detector.memory_bank_[:, np.newaxis])
    np.testing.assert_array_equal(gaps.max(axis=2).min(axis=1), 0)
    with pytest.warns(UserWarning, match="learned from 30 training images"):
        SoftPatchDetector(random_state=0).fit(features)


def test_what_is_noise_is_noise_in_copies():
    features = np.repeat(textures(40, defects=range(4))[:, np.newaxis], 3, axis=1)
    detector = SoftPatchDetector(discriminator="lof", noise_threshold=0.1, random_state=0)
    detector.fit(features)
    dropped = set(map(tuple, np.argwhere(~detector.kept_).tolist()))
    assert dropped
    assert dropped.isdisjoint(map(tuple, detector.memory_source_.tolist()))


def test_one_view_is_none():
    features = textures(30, defects=[0, 1])
    one = SoftPatchDetector(random_state=0).fit(features[:, np.newaxis])
    plain = SoftPatchDetector(random_state=0).fit(features)
    np.testing.assert_array_equal(one.memory_bank_, plain.memory_bank_)
    np.testing.assert_array_equal(one.training_scores_, plain.training_scores_)


def test_copies_do_not_fit_in_shards():
    detector = SoftPatchDetector(memory_limit="4M", coreset_size=20, random_state=0)
    with pytest.raises(ValueError, match="3 views of 300 images, which are learned from at once"):
        detector.fit(views(300))


def test_pipelines_learn_from_copies(images, tmp_path):
    extractor = PatchFeatureExtractor(image_size=64, augment="rotation")
    model = make_pipeline(extractor, SoftPatchDetector(random_state=0, memory_limit="2G"))
    scores = model.fit(images).score_samples(images)
    plain = clone(model).set_params(patchfeatureextractor__augment=None).fit(images)
    detector = model[-1]
    assert len(detector.memory_bank_) == int(0.1 * 4 * 7 * 64)
    assert len(plain[-1].memory_bank_) == int(0.1 * 7 * 64)
    np.testing.assert_allclose(scores, detector.training_scores_, rtol=1e-6)
    stock = sklearn_make_pipeline(*clone(model)).fit(images)
    np.testing.assert_array_equal(stock.score_samples(images), scores)
    np.testing.assert_array_equal(model.fit_predict(images), stock.predict(images))
    assert len(model.audit(images).ranking) == 7
    loaded = saved(model, tmp_path)
    assert loaded[0].augment == "rotation"
    np.testing.assert_array_equal(loaded.score_samples(images), scores)
