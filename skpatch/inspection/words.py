# SPDX-License-Identifier: BSD-3-Clause
"""What scores and verdicts are, in words: one source for help, reports and documentation.

Imports no other room, so that the help loads at once.
"""

import math

__all__ = [
    "ANOMALOUS",
    "FEW",
    "PVALUE",
    "REGION",
    "REGION_SCORE",
    "SCORE",
    "SUSPICIOUS",
    "summary",
    "verdict",
]

# What a new image is above the threshold, and what a training image is.
ANOMALOUS, SUSPICIOUS = "anomalous", "suspicious"
SCORE = "mean of the worst patches of the image, in units of the model's threshold"
REGION_SCORE = "of its worst patch"
PVALUE = "share of normal images that look at least as unusual"
REGION = "group of adjacent patches above the threshold"

# Fewer training images have no usual one among them.
FEW = 5
# Shares of suspicious and of anomalous images beyond which something else than defects is likely.
_MANY, _MOST = 0.2, 0.5


def summary(n_images, n_alarms, word):
    """Sentences about all images; `word` is what an image is above the threshold."""
    if word == SUSPICIOUS and n_images < FEW:
        return f"{n_images} images are too few to tell which of them are {word}."
    counted = f"{n_alarms:,} of {n_images:,} images are {word} (score above 1)."
    if word == SUSPICIOUS and n_alarms > _MANY * n_images:
        return (
            f"{counted} So many speak for several kinds of normal, or a very dirty set: see which "
            "of them look alike, and declare the normal ones (--trust, or model.trust)."
        )
    if word == ANOMALOUS and n_images >= FEW and n_alarms > _MOST * n_images:
        return (
            f"{counted} So many speak for another product, camera or light than the model has "
            "learned, unless they were chosen for their defects."
        )
    return counted


def verdict(score, is_alarm, word):
    """Word for an image; `word` is what it is above the threshold."""
    if is_alarm:
        return word
    if math.isnan(score):
        return "no score"
    return "normal" if word == ANOMALOUS else f"not {word}"
