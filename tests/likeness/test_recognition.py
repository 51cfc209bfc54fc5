# SPDX-License-Identifier: BSD-3-Clause
"""Training images are recognised when they are scored, and compared with the others only."""

import numpy as np
import pytest

from skpatch import SoftPatchDetector, load, save


@pytest.fixture(scope="module")
def features():
    """Sixty images with a defect in the first six, of which each is the only one of its kind."""
    rng = np.random.RandomState(0)
    features = rng.normal(size=(80, 8, 8, 12)) / np.arange(1, 13)
    for image in range(6):
        row, column = rng.randint(8, size=2)
        features[image, row, column] += 1.5 * rng.normal(size=12)
    return features.astype(np.float32)


def test_training_images_score_as_in_training(features):
    detector = SoftPatchDetector(coreset_size=0.3, worst_patches=2, random_state=0)
    detector.fit(features[:60])
    np.testing.assert_allclose(
        detector.score_samples(features[:60]), detector.training_scores_, rtol=1e-6
    )
    # The others, and the order, make no difference.
    mixed = features[::-7]
    np.testing.assert_array_equal(
        detector.score_samples(mixed), detector.score_samples(features)[::-7]
    )


def test_maps_and_matches_are_those_of_the_other_images(features):
    detector = SoftPatchDetector(coreset_size=0.3, random_state=0).fit(features[:60])
    own = np.arange(60)[:, None, None]
    assert (detector.match(features[:60])[..., 0] != own).all()
    worst = detector.predict_map(features[:60]).max(axis=(1, 2))
    np.testing.assert_allclose(-worst, detector.training_scores_, rtol=1e-6)


def test_features_that_differ_in_the_last_digits_are_recognized(features):
    detector = SoftPatchDetector(coreset_size=0.3, random_state=0).fit(features[:60])
    noise = np.random.RandomState(1).normal(scale=1e-3, size=features[:60].shape)
    found = detector.score_samples((features[:60] + noise).astype(np.float32))
    np.testing.assert_allclose(found, detector.training_scores_, rtol=0.05)
    flattered = SoftPatchDetector(discriminator=None, coreset_size=0.3, random_state=0)
    flattered.fit(features[:60])
    assert (flattered.score_samples(features[:6]) > 0.2 * flattered.training_scores_[:6]).any()


def test_copies_are_recognised_as_their_image(features):
    detector = SoftPatchDetector(coreset_size=1.0, soft_weights=False, random_state=0)
    with pytest.warns(UserWarning, match="image 60 of image 30"):
        detector.fit(np.concatenate([features[:60], features[30:31]]))
    expected = np.full(2, detector.training_scores_[30])
    saved_again = features[30] + 0.1 * features[70]
    found = detector.score_samples(np.stack([features[30], saved_again]))
    np.testing.assert_allclose(found, expected, rtol=0.2)


def test_a_shift_of_all_features_changes_nothing(features):
    shifted = features + np.float32(64)
    scores = [
        SoftPatchDetector(coreset_size=0.3, random_state=0).fit(some[:60]).score_samples(some)
        for some in (features, shifted)
    ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-3)


def test_after_saving_adding_and_forgetting(features, tmp_path):
    detector = SoftPatchDetector(coreset_size=0.3, random_state=0).fit(features[:40])
    save(detector, tmp_path / "model.skpatch")
    loaded = load(tmp_path / "model.skpatch")
    np.testing.assert_array_equal(
        loaded.score_samples(features[:40]), detector.score_samples(features[:40])
    )
    detector.partial_fit(features[40:60])
    np.testing.assert_allclose(
        detector.score_samples(features[40:60]), detector.training_scores_[40:], rtol=1e-6
    )
    detector.forget([0])
    assert np.isfinite(detector.score_samples(features[:1])).all()


def test_the_only_source_of_memory_patches_keeps_them(features):
    detector = SoftPatchDetector(coreset_size=1, random_state=0).fit(features[:10])
    assert np.isfinite(detector.score_samples(features[:10])).all()
