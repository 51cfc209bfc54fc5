# SPDX-License-Identifier: BSD-3-Clause
"""What scores mean: thresholds and p-values from those of training images (training_scores.py)."""

import warnings

import numpy as np

__all__ = [
    "calibration_scores",
    "conformal_pvalues",
    "expected_false_alarms",
    "score_threshold",
    "training_pvalues",
    "warn_of_few",
    "warn_of_promise",
]

# Of fewer images the threshold depends on which they are (benchmarks/learning_curve.py).
_FEW = 40
# False alarms of contamination="auto", robust standard deviations that may make them more, and how
# sure the bound of false alarms is.
_USUAL, _DEVIATIONS, _KNOWN_SPREAD = 0.05, 3, 20
_SURE = 0.95
# Distance of the threshold from the score that sets it, relative to that: seen in print.
_MARGIN = 1e-3


def calibration_scores(training_scores, noise_ratio, declared=False):
    """Scores of the training images that pass for normal, ascending.

    The lowest scores are left out, as many as images should not be normal. Taking the images that
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
    if not 0 <= noise_ratio < 1:
        raise ValueError(f"A verdict's noise_ratio must be in [0, 1), but it is {noise_ratio}.")
    is_known = np.isfinite(training_scores)
    normal = training_scores[is_known & declared]
    others = np.sort(training_scores[is_known & np.logical_not(declared)])
    n_left_out = min(round(noise_ratio * len(others)), len(others) - 1)
    return np.sort(np.append(normal, others[max(n_left_out, 0) :]))


def score_threshold(calibration, contamination):
    """Score below which an image is an outlier; see `contamination` of SoftPatchDetector."""
    if len(calibration) == 0:
        return np.nan
    if contamination == "auto":
        median = np.median(calibration)
        spread = 1.4826 * np.median(np.abs(calibration - median))
        # The spread of fewer is known too badly: of ten, three deviations are 18 % false alarms.
        deviations = _DEVIATIONS * max(1, _KNOWN_SPREAD / len(calibration))
        return float(max(median - deviations * spread, score_threshold(calibration, _USUAL)))
    # A new image is among the k lowest of n + 1 with probability k / (n + 1). Rounding aside.
    rank = max(1, int(contamination * (len(calibration) + 1) + 1e-9))
    lowest, *others = calibration[rank - 1 : rank + 1]
    # So little higher that the k lowest are outliers themselves, and no other.
    margins = [_MARGIN * abs(lowest), *((other - lowest) / 2 for other in others)]
    return float(lowest + min(margins))


def expected_false_alarms(calibration, threshold):
    """Share of new normal images below a threshold, and a bound that it exceeds in 1 of 20 draws.

    The share below the k lowest of n scores is distributed as Beta(k, n + 1 - k).
    """
    # Whoever only reads a threshold does not wait for it to load.
    from scipy.stats import beta

    n, k = len(calibration), np.searchsorted(calibration, threshold)
    return k / (n + 1), float(beta.ppf(_SURE, k, n + 1 - k))


def warn_of_few(n_images, calibration, threshold):
    """Tell the user what to expect of a threshold that few training images have set."""
    if n_images < _FEW and len(calibration):
        usual, high = expected_false_alarms(calibration, threshold)
        warnings.warn(
            f"The threshold was learned from {n_images} training images. Expect {usual:.0%} of new "
            f"normal images to be called anomalous, but it may be up to {high:.0%}, depending on "
            "which images they were. Add normal images, or rank images by their scores.",
            stacklevel=4,
        )


def warn_of_promise(calibration, false_alarms):
    """Tell the user where so few images cannot promise so few false alarms."""
    n_images, least = len(calibration), 1 / (len(calibration) + 1)
    if false_alarms < least - 1e-9:
        needed = int(np.ceil(1 / false_alarms - 1e-6)) - 1
        warnings.warn(
            f"{n_images} images cannot promise {false_alarms:.2%} of false alarms, but "
            f"{least:.1%}, which is what the lowest of their scores gives. It takes {needed} "
            "images; add normal ones.",
            stacklevel=3,
        )


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
