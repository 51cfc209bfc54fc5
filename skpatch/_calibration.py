# SPDX-License-Identifier: BSD-3-Clause
"""What scores mean: thresholds and p-values from the scores of training images."""

import numpy as np

__all__ = ["calibration_scores", "conformal_pvalues", "score_threshold", "training_pvalues"]


def calibration_scores(training_scores, is_trusted, expected_tail):
    """Scores of the training images that pass for normal, ascending.

    Images that are not trusted are mostly defective, but the share `expected_tail` of the normal
    images is among them; without these the worst normal scores would be missing, and new normal
    images would give more false alarms than they should. So as many images as should be normal are
    taken, those with the highest scores.

    Parameters
    ----------
    training_scores : ndarray of shape (n,), float64
        High = normal; NaN where there is none.
    is_trusted : ndarray of shape (n,), bool
    expected_tail : float
        Share of normal images that are not trusted.

    Returns
    -------
    ndarray of shape (at most n,), float64
    """
    scores = np.sort(training_scores[np.isfinite(training_scores)])
    n_normal = int(np.ceil(is_trusted.sum() / (1 - expected_tail)))
    return scores[-min(n_normal, len(scores)) :] if len(scores) else scores


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
