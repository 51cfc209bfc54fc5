# SPDX-License-Identifier: BSD-3-Clause
"""Training images are scored without themselves: an image compared with itself looks normal."""

import numpy as np

from ..likeness.positions import sample_positions
from ..likeness.recognition import SPARE_PATCHES, TrainingImages
from ..likeness.unlike import typical_scores
from .bank import average_worst

__all__ = ["is_typical_beyond", "own_images", "score_again", "score_training", "score_typical"]


def own_images(numbers, bank, kept, grid):
    """Numbers (n,) of training images, -1 for those that are compared with all patches.

    An image of one patch that is a memory patch: without it another one would be in a sparse bank
    for its region, so the distance to the remaining ones says nothing about a new image.
    """
    own = np.array(numbers)
    is_sparse = len(bank.patches) <= kept.sum() / 2
    if is_sparse and grid.n_patches == 1:
        own[np.isin(own, bank.source[:, 0])] = -1
    return own


def score_training(bank, patches, own):
    """Score training images without themselves, and keep their worst patches.

    Parameters
    ----------
    bank : MemoryBank
    patches : ndarray of shape (n, h, w, d), float32
    own : ndarray of shape (n,), int64
        As of :func:`own_images`.

    Returns
    -------
    TrainingImages
        Its scores are high = anomalous, and inf where there is nothing to compare with.
    """
    n_spare = min(SPARE_PATCHES, patches[0, ..., 0].size - bank.rule.n_worst)
    scores, rows = bank.score_images(patches, own, "calibrating", n_spare)
    flat = patches.reshape(len(patches), -1, patches.shape[-1])
    typical = score_typical(bank, patches, own)
    return TrainingImages(
        scores,
        rows,
        np.take_along_axis(flat, rows[..., np.newaxis], axis=1),
        np.where(np.isfinite(typical), typical, np.nan),
    )


def is_typical_beyond(bank, patches, own, limit):
    """Whether typical scores of images (n, h, w, d) are beyond a limit.

    For nearly all of them an upper bound is enough to say no.
    """
    some, places = _some(patches)
    beyond = typical_scores(bank.bound_patches(some, own, places)[:, 0]) > limit
    if beyond.any():
        own = None if own is None else own[beyond]
        beyond[beyond] = score_typical(bank, patches[beyond], own) > limit
    return beyond


def score_typical(bank, patches, own=None):
    """Typical scores (n,) of images (n, h, w, d); `own` as of :func:`own_images`."""
    some, places = _some(patches)
    return typical_scores(bank.score_patches(some, own, None, places)[:, 0])


def _some(patches):
    """The patches (n, 1, k, d) whose scores are the typical one of an image, and their places (k,).

    `patches` (n, h, w, d) are all those of the images.
    """
    flat = patches.reshape(len(patches), 1, -1, patches.shape[-1])
    places = sample_positions(flat.shape[2])
    return flat[:, :, places], places


def score_again(bank, training, own, before):
    """As of :func:`score_training`, from the worst patches of images whose others are not known.

    `before` is the bank that they were scored by then.
    """
    worst = training.worst_patches[:, :, np.newaxis]
    scores = bank.score_patches(worst, own, places=training.worst_rows)
    scores = average_worst(scores, bank.rule.n_worst, bank.rule.peak_share)
    # Worst patches that are near now, as of images declared normal, say that the others are too.
    typical = np.minimum(training.typical, scores)
    if (bank.usual is None) != (before.usual is None):
        # What is usual has become known, or is not any more, and scores are not as they were.
        typical = np.full_like(typical, np.nan)
    return training._replace(scores=scores, typical=typical)
