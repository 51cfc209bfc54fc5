# SPDX-License-Identifier: BSD-3-Clause
"""What scores mean: thresholds and p-values from those of training images (training_scores.py)."""

import numpy as np

__all__ = ["calibration_scores", "conformal_pvalues", "score_threshold", "training_pvalues"]


def calibration_scores(training_scores, noise_ratio, declared=False):
    """Scores of the training images that pass for normal, ascending.

    As many images as should be normal are taken, those with the highest scores. Taking those that
    look normal would leave out the worst of the normal ones, and new normal images would give more
    false alarms than they should.

    Parameters
    ----------
    training_scores : ndarray of shape (n,), float64
        High = normal; NaN where there is none.
    noise_ratio : float
        Share of the images, without those declared normal, that should not be normal.
    declared : bool or ndarray of shape (n,), bool
        Images that the user declared normal.

    Returns
    -------
    ndarray of shape (at most n,), float64
    """
    is_known = np.isfinite(training_scores)
    normal = training_scores[is_known & declared]
    others = np.sort(training_scores[is_known & np.logical_not(declared)])
    return np.sort(np.append(normal, others[int(noise_ratio * len(others)) :]))


def score_threshold(calibration, contamination):
    """Score below which an image is an outlier; see `contamination` of SoftPatchDetector."""
    if len(calibration) == 0:
        return np.nan
    if contamination == "auto":
        median = np.median(calibration)
        spread = 1.4826 * np.median(np.abs(calibration - median))
        return float(max(median - 3 * spread, np.percentile(calibration, 5)))
    return float(np.percentile(calibration, 100 * contamination))


def conformal_pvalues(calibration, scores):
    """Share of calibration scores at most as high as each score, itself included, (m,)."""
    count = np.searchsorted(calibration, scores, side="right")
    return (1 + count) / (1 + len(calibration))


def training_pvalues(calibration, scores):
    """p-values of the training images (n,); the own score of an image is no evidence about it.

    NaN where there is no score.
    """
    pvalues = conformal_pvalues(calibration, scores)
    n = len(calibration)
    own = np.isin(scores, calibration)
    pvalues[own] = (pvalues[own] * (1 + n) - 1) / n
    return np.where(np.isnan(scores), np.nan, pvalues)
