# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from _references import textures
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score

from skpatch import ExactNeighbors, SoftPatchDetector
from skpatch.detector.calibration import calibration_scores, conformal_pvalues, score_threshold
from skpatch.discriminators.jury import Jury
from skpatch.discriminators.support import (
    distance_ratios,
    measure_support,
    suspicion_cut,
)


def support_of(patches, rows):
    points = patches.reshape(-1, patches.shape[-1])[rows]
    jury = Jury(points).joined_by(patches, np.arange(len(patches)))
    return measure_support(
        jury.project(points), rows // patches[0, ..., 0].size, jury, len(patches)
    )


def test_distances_are_those_to_the_nearest_patch_of_a_trusted_other_image():
    patches = textures(20, [3])
    rows = np.arange(0, patches[..., 0].size, 5)
    support = support_of(patches, rows)
    points = patches.reshape(-1, 12)
    image = np.arange(len(points)) // 36
    distances = cdist(points[rows], points)
    distances[image[rows][:, None] == image] = np.inf
    distances[:, ~support.is_trusted[image]] = np.inf
    # Coordinates are float16.
    np.testing.assert_allclose(support.distances, distances.min(axis=1), rtol=5e-3)
    nearest = support.places @ [36, 1]
    assert np.mean(nearest == distances.argmin(axis=1)) > 0.95
    ratios = distance_ratios(points[rows], points[nearest], support.distances)
    expected = np.linalg.norm(points[rows] - points[nearest], axis=1)
    np.testing.assert_allclose(ratios * support.distances, expected, rtol=1e-6)


@pytest.mark.parametrize("trusted", [[], [4], [4, 9], range(3, 20)])
def test_few_trusted_images_are_found_behind_many_others(trusted):
    """The nearest patches of all images are mostly those of others."""
    patches = textures(20)
    rows = np.arange(0, patches[..., 0].size, 7)
    points = patches.reshape(-1, 12)
    image = np.arange(len(points)) // 36
    is_trusted = np.isin(np.arange(20), trusted)
    jury = Jury(points[rows]).joined_by(patches, np.arange(len(patches)))
    asking = jury.project(points[rows])
    everyone = jury.nearest(asking, image[rows], np.ones(20, bool))
    found, places = jury.nearest_trusted(everyone, asking, image[rows], is_trusted)
    distances = cdist(points[rows], points)
    distances[image[rows][:, None] == image] = np.inf
    # Where only the own image is trusted, the others give support.
    asked = np.tile(is_trusted[image], (len(rows), 1))
    asked[~(asked & np.isfinite(distances)).any(axis=1)] = True
    distances[~asked] = np.inf
    np.testing.assert_allclose(found, distances.min(axis=1), rtol=5e-3)
    assert np.mean(places @ [36, 1] == distances.argmin(axis=1)) > 0.95


def test_along_the_principal_axes_distances_are_smaller():
    rng = np.random.RandomState(0)
    patches = (textures(20) @ rng.normal(size=(12, 100))).astype(np.float32)
    patches += rng.normal(scale=0.1, size=patches.shape).astype(np.float32)
    rows = np.arange(0, patches[..., 0].size, 5)
    support = support_of(patches, rows)
    points = patches.reshape(-1, patches.shape[-1])
    witnesses = points[support.places @ [36, 1]]
    ratio = 1 / distance_ratios(points[rows], witnesses, support.distances)
    assert ratio.min() > 0.8
    assert ratio.max() < 1.0001


def test_defective_images_are_not_trusted():
    defects = range(6)
    detector = SoftPatchDetector(random_state=0).fit(textures(60, defects))
    assert not detector.trusted_images_[:6].any()
    assert detector.trusted_images_[6:].mean() > 0.9


@pytest.mark.parametrize("n_noisy", [0, 6, 20])
def test_as_many_memory_patches_are_dropped_as_images_are_far_beyond_the_usual(n_noisy):
    train = textures(100, range(n_noisy), strength=12)
    detector = SoftPatchDetector(random_state=0).fit(train)
    judged = np.isfinite(detector.noise_scores_)
    dropped = np.mean(detector.noise_scores_[judged] > 1)
    assert dropped == pytest.approx(n_noisy / 100, abs=0.05)
    assert len(detector.calibration_scores_) == pytest.approx(100 - n_noisy, abs=5)


def test_position_does_not_matter():
    patches = textures(40, range(4))
    detector = SoftPatchDetector(coreset_size=1.0, random_state=0)
    straight = detector.fit(patches).trusted_images_
    rolled = np.stack([np.roll(image, shift, (0, 1)) for shift, image in enumerate(patches)])
    np.testing.assert_array_equal(detector.fit(rolled).trusted_images_, straight)


def test_resembling_defects_do_not_support_each_other():
    """Each has a copy in another image, which is not trusted because of a second defect."""
    patches = textures(60)
    rng = np.random.RandomState(1)
    patches[:2, 1, 1] = rng.normal(size=12) * 4
    for image in range(2):
        patches[image, 4, 4] = rng.normal(size=12) * 4
    rows = np.arange(patches[..., 0].size)
    support = support_of(patches, rows)
    assert not support.is_trusted[:2].any()
    # The copies are 0 from each other, but far from all patches of trusted images.
    assert (support.distances.reshape(60, 6, 6)[:2, 1, 1] > support.limit).all()


@pytest.mark.parametrize("noise_ratio", [0.1, 0.4])
def test_overlap(noise_ratio):
    """Defects that were in the training set are found there all the same."""
    n_noisy = round(60 * noise_ratio)
    train = textures(60, range(n_noisy))
    truth = np.repeat([1, 0], [n_noisy, 40])
    test = np.concatenate([train[:n_noisy], textures(40, seed=9)])
    aurocs = [
        roc_auc_score(
            truth, -SoftPatchDetector(**parameters, random_state=0).fit(train).score_samples(test)
        )
        for parameters in ({}, {"discriminator": None}, {"soft_weights": False})
    ]
    assert aurocs[0] > 0.95
    assert aurocs[1] < 0.5
    assert aurocs[2] > 0.8


def test_share_of_dropped_memory_patches():
    detector = SoftPatchDetector(noise_threshold=0.25, random_state=0).fit(textures(60, range(6)))
    judged = np.isfinite(detector.noise_scores_)
    assert judged.sum() == int(0.1 * judged.size)
    assert (~detector.kept_).sum() == pytest.approx(0.25 * judged.sum(), abs=1)
    np.testing.assert_array_equal(detector.kept_[judged], detector.noise_scores_[judged] <= 1)
    assert detector.kept_[~judged].all()
    assert detector.kept_[tuple(detector.memory_source_.T)].all()


def test_scores_are_reach_distances():
    detector = SoftPatchDetector(random_state=0).fit(textures(60, range(6)))
    test = textures(10, seed=4)
    distances = cdist(test.reshape(-1, 12), detector.memory_bank_)
    expected = np.maximum(distances, detector.memory_reaches_).min(axis=1).reshape(10, 6, 6)
    np.testing.assert_allclose(detector.predict_map(test), expected, rtol=1e-6)
    detector.set_params(soft_weights=False).fit(textures(60, range(6)))
    assert not detector.memory_reaches_.any()


def test_a_search_that_knows_no_reaches():
    class Plain(BaseEstimator):
        def fit(self, X):
            self.search_ = ExactNeighbors().fit(X)
            return self

        def kneighbors(self, *arguments):
            return self.search_.kneighbors(*arguments)

    detector = SoftPatchDetector(neighbors=Plain(), random_state=0)
    with pytest.raises(ValueError, match="has no parameter `reaches` of fit"):
        detector.fit(textures(20))
    found = detector.set_params(soft_weights=False).fit(textures(20)).score_samples(textures(5))
    exact = SoftPatchDetector(neighbors="exact", soft_weights=False, random_state=0)
    np.testing.assert_array_equal(found, exact.fit(textures(20)).score_samples(textures(5)))


def test_few_images_are_all_trusted():
    detector = SoftPatchDetector(random_state=0).fit(textures(4, [0]))
    assert detector.trusted_images_.all()
    assert detector.kept_.all()


def test_a_single_memory_patch():
    """It has no principal axes."""
    patches = np.tile(textures(20), 6)
    detector = SoftPatchDetector(coreset_size=1, random_state=0).fit(patches)
    assert detector.memory_bank_.shape == (1, 72)
    assert np.isfinite(detector.score_samples(patches)).all()


def test_copies_of_an_image_are_trusted():
    patches = np.concatenate([textures(20)] * 2)
    with pytest.warns(UserWarning, match="20 of 40 training images are copies"):
        detector = SoftPatchDetector(random_state=0).fit(patches)
    assert detector.trusted_images_.all()
    assert detector.kept_.mean() > 0.99


def test_more_images_than_the_jury(monkeypatch):
    monkeypatch.setattr("skpatch.discriminators.jury._JURY", 20)
    detector = SoftPatchDetector(random_state=0).fit(textures(60, range(6)))
    assert not detector.trusted_images_[:6].any()
    assert detector.trusted_images_[6:].mean() > 0.8


def test_cut_of_log_normal_scores():
    scores = np.exp(np.random.RandomState(0).normal(1, 0.2, 20_000))
    cut = suspicion_cut(scores, 1.75)
    assert np.mean(scores > cut) == pytest.approx(0.04, abs=0.01)
    # Contamination far away moves it a little only.
    dirty = np.concatenate([scores, np.full(8000, 20.0)])
    assert np.mean(scores > suspicion_cut(dirty, 1.75)) < 0.06


class TestCalibration:
    def test_as_many_scores_as_should_be_normal(self):
        scores = np.array([-5.0, -9, -1, -2, -3, np.nan, -4, -6, -7, -8])
        found = calibration_scores(scores, 0.25)
        np.testing.assert_array_equal(found, [-7, -6, -5, -4, -3, -2, -1])
        np.testing.assert_array_equal(calibration_scores(scores, 0.0), np.sort(scores)[:-1])

    def test_pvalues_by_hand(self):
        calibration = np.array([-4.0, -3, -2, -1])
        found = conformal_pvalues(calibration, np.array([-5.0, -3, -2.5, 0]))
        np.testing.assert_allclose(found, [1 / 5, 3 / 5, 3 / 5, 5 / 5])

    def test_pvalues_of_new_normal_images(self):
        detector = SoftPatchDetector(random_state=0).fit(textures(150, range(15)))
        pvalues = detector.predict_pvalue(textures(150, seed=1))
        for level in (0.05, 0.1, 0.25, 0.5):
            assert np.mean(pvalues <= level) < level + 0.05
        # For training images the bank is a little sparser, so new ones look a little better.
        assert np.mean(pvalues <= 0.5) > 0.25
        defects = textures(150, range(150), seed=2)
        assert np.median(detector.predict_pvalue(defects)) < 0.05

    def test_contamination_after_fit(self):
        train = textures(60, range(6))
        changed = SoftPatchDetector(random_state=0).fit(train).set_params(contamination=0.2)
        fitted = SoftPatchDetector(contamination=0.2, random_state=0).fit(train)
        assert changed.offset_ == fitted.offset_
        expected = np.percentile(fitted.calibration_scores_, 20)
        assert fitted.offset_ == pytest.approx(expected)

    def test_nothing_to_calibrate_with(self):
        assert np.isnan(score_threshold(np.array([]), 0.1))
