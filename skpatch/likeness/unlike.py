# SPDX-License-Identifier: BSD-3-Clause
"""Images unlike everything learned: another product, another camera, a cap on the lens."""

import warnings

import numpy as np

from ..runtime.telling import image_names, tell
from ..runtime.text import first_few
from .positions import sample_positions

__all__ = ["are_unlike", "tell_unlike", "typical_scores", "unlike_limit"]

# How much farther than nine of ten training images an image must be. It was chosen on photographs;
# docs/robustness.rst has the figures.
_MARGIN = 1.5
_QUANTILE = 0.9
# Of an image's patches three quarters must be that far: a defect reaches as many only in a small
# grid, where most patches see some of it. Few images say nothing about what is usual.
_PART = 0.25
_LEAST_PATCHES = 400
_LEAST_IMAGES = 8


def typical_scores(scores):
    """Lower quartile (n,) of scores (n, p) of some patches, the same in all images."""
    return np.quantile(scores, _PART, axis=1, method="higher")


def unlike_limit(typical, n_patches):
    """Typical score beyond which an image is unlike everything that was learned.

    Parameters
    ----------
    typical : ndarray of shape (n,), float64
        Typical scores of training images; NaN where there is none.
    n_patches : int
        Number of patches of an image.

    Returns
    -------
    float
        Inf if they are too few.
    """
    known = typical[np.isfinite(typical)]
    if len(known) < _LEAST_IMAGES or n_patches < _LEAST_PATCHES:
        return np.inf
    return max(_MARGIN * np.quantile(known, _QUANTILE), known.max())


def are_unlike(maps, inspected, limit):
    """Whether images are beyond the limit, from scores (n, h, w) of all patches."""
    scores = maps[:, inspected]
    return typical_scores(scores[:, sample_positions(scores.shape[1])]) > limit


def tell_unlike(is_unlike):
    """Warn of images that are unlike everything learned; see :func:`told_once`."""
    tell(_warn_of_unlike, is_unlike)


def _warn_of_unlike(parts, names):
    is_unlike = np.concatenate(parts)
    numbers = np.flatnonzero(is_unlike)
    if len(numbers) == 0:
        return
    found = first_few(image_names(numbers, names))
    warnings.warn(
        f"{len(numbers)} of {len(is_unlike)} images are unlike everything that the model has "
        f"learned: {found}. Three quarters of their patches are far from all "
        "training images; is it the same product and camera?",
        stacklevel=5,
    )
