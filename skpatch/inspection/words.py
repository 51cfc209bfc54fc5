# SPDX-License-Identifier: BSD-3-Clause
"""What scores and verdicts are, in words: one source for help, reports and documentation.

Imports no other room, so that the help loads at once.
"""

import math

__all__ = ["ANOMALOUS", "PVALUE", "REGION", "REGION_SCORE", "SCORE", "SUSPICIOUS", "verdict"]

# What a new image is above the threshold, and what a training image is.
ANOMALOUS, SUSPICIOUS = "anomalous", "suspicious"
SCORE = "mean of the worst patches of the image, in units of the model's threshold"
REGION_SCORE = "of its worst patch"
PVALUE = "share of normal images that look at least as unusual"
REGION = "group of adjacent patches above the threshold"


def verdict(score, is_alarm, word):
    """Word for an image; `word` is what it is above the threshold."""
    if is_alarm:
        return word
    if math.isnan(score):
        return "no score"
    return "normal" if word == ANOMALOUS else f"not {word}"
