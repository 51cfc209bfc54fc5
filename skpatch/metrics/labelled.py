# SPDX-License-Identifier: BSD-3-Clause
"""How a threshold does on labelled images: shares with their confidence intervals."""

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

__all__ = ["Calibration", "Share", "check_labels", "measured"]


class Share(NamedTuple):
    """A share with its 95 % confidence interval.

    Attributes
    ----------
    value, low, high : float
        Between 0 and 1; NaN where there is nothing to count.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "unknown, without such images"
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


class Calibration(NamedTuple):
    """How a threshold does on labelled images, each with the interval of Clopper and Pearson.

    Attributes
    ----------
    threshold : float
        The score, as of `score_samples`, below which an image is an outlier.
    false_alarms : Share
        Of the normal images, those that are called outliers.
    missed : Share
        Of the defective images, those that are not.
    """

    threshold: float
    false_alarms: Share
    missed: Share

    def __str__(self) -> str:
        return (
            f"threshold {self.threshold:.4g}: false alarms {self.false_alarms}, "
            f"missed {self.missed}"
        )


def measured(threshold, scores, is_defective):
    """Calibration of a threshold by scores (n,), high = normal, of labelled images."""
    is_outlier = scores < threshold
    return Calibration(
        float(threshold), _share(is_outlier[~is_defective]), _share(~is_outlier[is_defective])
    )


def _share(found):
    """Share of True, with its interval."""
    if len(found) == 0:
        return Share(np.nan, np.nan, np.nan)
    result = binomtest(int(np.count_nonzero(found)), len(found))
    interval = result.proportion_ci(method="exact")
    return Share(float(result.statistic), float(interval.low), float(interval.high))


def check_labels(y, n_images):
    """Whether each image is defective, from labels 0 and 1, or raise."""
    labels = np.asarray(y)
    if labels.shape != (n_images,):
        raise ValueError(f"y has shape {labels.shape}, but there are {n_images} images.")
    if not np.isin(labels, (0, 1)).all():
        other = labels[~np.isin(labels, (0, 1))][0].item()
        raise ValueError(
            f"y must be 0 for normal and 1 for defective images, but has {other!r}; pass such as "
            f"`np.asarray(y) == {other!r}`."
        )
    is_defective = labels.astype(bool)
    if is_defective.all():
        raise ValueError("y has no normal image, 0, which a threshold is calibrated with.")
    return is_defective
