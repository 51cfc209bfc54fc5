# SPDX-License-Identifier: BSD-3-Clause
"""What scores mean: thresholds that hold what they say, from training images and labelled ones."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binomtest

import skpatch
from skpatch import SoftPatchDetector, make_pipeline
from skpatch.detector.calibration import expected_false_alarms, score_threshold
from skpatch.metrics.labelled import measured


def textures(n, seed=0, size=6, n_features=6):
    """Images of patches about a few kinds, as textures are."""
    rng = np.random.RandomState(seed)
    kinds = 4 * np.random.RandomState(99).normal(size=(30, n_features))
    patches = kinds[rng.randint(30, size=(n, size, size))]
    return (patches + rng.normal(size=patches.shape)).astype(np.float32)


def fit(patches, **parameters):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The threshold was learned")
        return SoftPatchDetector(random_state=0, discriminator=None, **parameters).fit(patches)


@pytest.fixture(scope="module")
def model():
    return fit(textures(60))


class TestThreshold:
    def test_ranks_by_hand(self):
        scores = -np.arange(39.0, 0, -1)
        for share, lowest in {0.05: 2, 0.1: 4}.items():
            threshold = score_threshold(scores, share)
            assert threshold == pytest.approx(scores[lowest - 1], rel=1.1e-3)
            assert (scores < threshold).sum() == lowest
        # 1 % cannot be promised; the lowest is the best there is.
        assert score_threshold(scores, 0.01) == pytest.approx(scores[0], rel=1.1e-3)

    @pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.3, 0.5])
    def test_outliers_are_those_of_a_low_p_value(self, model, share):
        new = textures(50, seed=1)
        new[:10] += 1
        is_outlier = model.score_samples(new) < model.threshold_for(share)
        assert_array_equal(is_outlier, model.predict_pvalue(new) <= share)

    def test_it_is_that_of_contamination(self, model):
        expected = fit(textures(60), contamination=0.1).offset_
        assert model.threshold_for(0.1) == expected

    @pytest.mark.parametrize("contamination", [0, -1, 0.6, 2, "foo"])
    def test_a_later_one_is_checked(self, contamination, tmp_path):
        found = fit(textures(40)).set_params(contamination=contamination)
        with pytest.raises(ValueError, match="The 'contamination' parameter of SoftPatchDetector"):
            found.predict(textures(2, seed=1))
        with pytest.raises(ValueError, match="The 'contamination' parameter of SoftPatchDetector"):
            skpatch.save(found, tmp_path / "model.skpatch")

    def test_what_cannot_be_promised(self, model):
        with pytest.warns(UserWarning, match=r"60 images cannot promise 1\.00% .* It takes 99"):
            threshold = model.threshold_for()
        assert threshold == pytest.approx(model.calibration_scores_[0], rel=1.1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.threshold_for(1 / 61)

    @pytest.mark.parametrize("share", [0, 1, -0.1, "auto", None])
    def test_a_share_is_asked_for(self, model, share):
        with pytest.raises(ValueError, match="false_alarms must be a share"):
            model.threshold_for(share)

    @pytest.mark.parametrize(("n_images", "deviations"), [(10, 6), (15, 4), (20, 3), (80, 3)])
    def test_auto_trusts_the_spread_of_few_less(self, n_images, deviations):
        scores = np.sort(-10 + np.linspace(-1, 1, n_images))
        scores[: n_images // 5] = -99
        spread = 1.4826 * np.median(np.abs(scores - np.median(scores)))
        expected = np.median(scores) - deviations * spread
        assert score_threshold(scores, "auto") == pytest.approx(expected)
        # Not less than one in twenty.
        assert score_threshold(-np.arange(99.0, 0, -1), "auto") == pytest.approx(-95, rel=1.1e-3)

    def test_expected_false_alarms(self):
        scores = np.arange(19.0)
        usual, high = expected_false_alarms(scores, scores[0] + 0.1)
        assert usual == 1 / 20
        # The lowest of 19 is below so large a share in one of twenty draws.
        assert_allclose((1 - high) ** 19, 0.05)

    def test_few_images_are_told(self):
        with pytest.warns(UserWarning, match="from 15 training images. Expect 6% .* up to 18%"):
            SoftPatchDetector(random_state=0, contamination=0.05).fit(textures(15))


class TestCalibrate:
    def test_normal_images_join_the_scores(self):
        found = fit(textures(60))
        new = textures(30, seed=1)
        new[20:] += 3
        labels = np.arange(30) >= 20
        scores = found.score_samples(new)
        report = found.calibrate(new, labels)
        assert len(found.calibration_scores_) == 80
        assert np.isin(scores[:20], found.calibration_scores_).all()
        assert report.threshold == found.offset_
        assert report.missed.value == np.mean(found.predict(new[20:]) == 1)
        assert report.false_alarms.value == np.mean(found.predict(new[:20]) == -1)
        # Twice the same is known once.
        assert found.calibrate(new, labels) == report
        assert len(found.calibration_scores_) == 80

    def test_intervals(self):
        scores, is_defective = np.r_[np.arange(10.0), np.arange(5.0)], np.arange(15) >= 10
        report = measured(2, scores, is_defective)
        expected = binomtest(2, 10).proportion_ci(method="exact")
        assert_allclose(report.false_alarms, [0.2, expected.low, expected.high])
        expected = binomtest(3, 5).proportion_ci(method="exact")
        assert_allclose(report.missed, [0.6, expected.low, expected.high])
        assert measured(-1, scores, is_defective).false_alarms[:2] == (0, 0)
        assert measured(9, scores, is_defective).missed[:2] == (0, 0)
        assert "missed 60.0% (" in str(report)

    def test_without_defective_images(self):
        report = fit(textures(60)).calibrate(textures(5, seed=1), [0] * 5)
        assert np.isnan(report.missed).all()
        assert str(report).endswith("missed unknown, without such images")

    def test_a_share_that_cannot_be_promised(self):
        found = fit(textures(60)).set_params(contamination=0.01)
        with pytest.warns(UserWarning, match="65 images cannot promise 1.00% of false alarms"):
            found.calibrate(textures(6, seed=1), [0] * 5 + [1])

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([0, 1], "y has shape"),
            ([0, 1, 2], "y must be 0 for normal"),
            ([1, 1, 1], "no normal image"),
            (["ok", "nok", "ok"], "has 'ok'; pass such as `np.asarray.y. == 'ok'`"),
        ],
    )
    def test_labels_are_checked(self, model, labels, message):
        before = model.calibration_scores_
        with pytest.raises(ValueError, match=message):
            model.calibrate(textures(3, seed=1), labels)
        assert_array_equal(model.calibration_scores_, before)

    def test_training_images_are_refused(self, model):
        mixed = np.concatenate([textures(1, seed=1), textures(60)[7:8]])
        with pytest.raises(ValueError, match="Image 1 is one that the model was trained on"):
            model.calibrate(mixed, [0, 0])

    def test_it_is_saved(self, tmp_path):
        found = fit(textures(60))
        found.calibrate(textures(10, seed=1), [0] * 10)
        skpatch.save(found, tmp_path / "model.skpatch")
        assert skpatch.load(tmp_path / "model.skpatch").offset_ == found.offset_

    def test_of_a_pipeline(self):
        images = np.random.RandomState(0).randint(255, size=(14, 32, 32, 3)).astype(np.uint8)
        extractor = skpatch.PatchFeatureExtractor(image_size=32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline = make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(images[:8])
            report = pipeline.calibrate(images[8:], [0, 0, 0, 0, 1, 1])
            assert len(pipeline[-1].calibration_scores_) == 12
            assert pipeline.threshold_for(0.1) == pipeline[-1].threshold_for(0.1)
        assert report.threshold == pipeline[-1].offset_
