# SPDX-License-Identifier: BSD-3-Clause
"""Which images are training images: their most unusual patches say so."""

import numpy as np

from ..runtime.threads import run_blocks

__all__ = ["recognize"]

# Part of an image's usual score up to which patches differ in their last digits only, as in another
# batch size, or another thread's order of the same sums.
_SAME = 1e-2


def recognize(patches, training_scores, worst_rows, worst_patches):
    """Find training images again.

    Parameters
    ----------
    patches : ndarray of shape (n, h, w, d), float32
        Patches of any images.
    training_scores : ndarray of shape (m,), float64
        NaN for training images that need not be found.
    worst_rows : ndarray of shape (m, q), int64
        Numbers of the worst patches in their training images.
    worst_patches : ndarray of shape (m, q, d), float32

    Returns
    -------
    ndarray of shape (n,), int64
        The training image that each image is; -1 if it is none, or more than one: a training image
        with a copy is not unlike the others.
    """
    numbers = np.full(len(patches), -1)
    known = np.flatnonzero(np.isfinite(training_scores))
    if len(known) == 0:
        return numbers
    largest = _SAME * np.median(np.abs(training_scores[known]))
    flat = patches.reshape(len(patches), -1, patches.shape[-1])

    def find(image, candidates, part):
        found = flat[image, worst_rows[candidates, part]].astype(np.float64)
        gaps = np.linalg.norm(found - worst_patches[candidates, part], axis=-1)
        return candidates[gaps.max(axis=1) <= largest]

    def recognize_images(start, stop):
        for image in range(start, stop):
            # Nearly all differ in the first patch already.
            found = find(image, find(image, known, slice(1)), slice(None))
            if len(found) == 1:
                numbers[image] = found[0]

    run_blocks(recognize_images, len(patches), 1)
    return numbers
