# SPDX-License-Identifier: BSD-3-Clause
"""Images that have changed are told of; images that have not are not."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from skpatch.detector.calibration import conformal_pvalues
from skpatch.serving.drift import LEVEL, WINDOW, Drift


def stream(n_normal, scores, seed=0):
    """p-values of new scores, by uniform ones of that many normal images."""
    calibration = np.sort(np.random.RandomState(seed).random_sample(n_normal))
    return conformal_pvalues(calibration, scores)


def alarms(drift, pvalues):
    """Numbers of the images with which an alarm begins."""
    return [i for i, pvalue in enumerate(pvalues) if drift.add(f"image {i}", pvalue)]


@pytest.mark.parametrize("n_normal", [50, 200])
def test_unchanged_images_give_no_alarm(n_normal):
    drift = Drift(n_normal)
    scores = np.random.RandomState(1).random_sample(1000)
    assert alarms(drift, stream(n_normal, scores)) == []
    assert drift.is_changed is False
    assert drift.words is None


def test_few_normal_images_are_no_change():
    # Their p-values are far from uniform, by chance: nine of ten are below a half.
    calibration = np.linspace(0.09, 1, 10)
    pvalues = conformal_pvalues(calibration, np.random.RandomState(0).random_sample(300) ** 1.5)
    assert alarms(Drift(10), pvalues) == []


def test_changed_images_give_one_alarm():
    random = np.random.RandomState(2)
    scores = np.r_[random.random_sample(150), random.random_sample(150) ** 4]
    drift = Drift(200)
    (first,) = alarms(drift, stream(200, scores))
    assert 150 < first < 150 + WINDOW
    assert (drift.state, drift.is_changed) == ("yes", True)
    assert drift.words.endswith("Look at these: image 299, image 298, image 297")


def test_images_that_look_less_unusual_give_no_alarm():
    scores = np.random.RandomState(2).random_sample(500) ** 0.3
    assert alarms(Drift(200), stream(200, scores)) == []


def test_an_alarm_ends():
    random = np.random.RandomState(3)
    scores = np.r_[random.random_sample(100) ** 8, random.random_sample(150)]
    drift = Drift(200)
    assert alarms(drift, stream(200, scores)) == [WINDOW - 1]
    assert drift.state == "no"


def test_a_few_defects_give_no_alarm():
    random = np.random.RandomState(4)
    scores = random.random_sample(1000)
    scores[random.random_sample(1000) < 0.05] = -1
    assert alarms(Drift(200), stream(200, scores)) == []


def test_the_distance_is_that_of_scipy():
    pvalues = stream(60, np.random.RandomState(5).random_sample(WINDOW) ** 2)
    drift = Drift(60)
    alarms(drift, np.round(pvalues, 6))
    all_pvalues = np.arange(1, 62) / 61
    expected = ks_2samp(pvalues, all_pvalues, alternative="greater", method="asymp")
    assert drift.distance == pytest.approx(expected.statistic)
    assert (expected.pvalue < LEVEL) == drift.is_changed


def test_nothing_is_said_of_few():
    drift = Drift(200)
    assert alarms(drift, [0.005] * (WINDOW - 1)) == []
    assert (drift.state, drift.distance) == (None, None)


def test_an_alarm_lasts_over_a_restart():
    random = np.random.RandomState(3)
    # Fewer low ones than an alarm takes to begin, and more than let it end.
    pvalues = stream(200, np.r_[random.random_sample(60) ** 8, random.random_sample(100)])
    drift, others = Drift(200), []
    for number, pvalue in enumerate(pvalues):
        drift.add(f"image {number}", pvalue)
        after, without = Drift(200), Drift(200)
        after.recall(drift.recent, bool(drift.is_changed))
        without.recall(drift.recent, False)
        assert (after.state, after.distance, after.words) == (
            drift.state,
            drift.distance,
            drift.words,
        )
        others.append(without.state != drift.state)
    assert any(others)


def test_pvalues_of_a_model_of_more_images():
    drift = Drift(50)
    drift.recall([("image", 1 / 1001)] * WINDOW, False)
    assert drift.is_changed
