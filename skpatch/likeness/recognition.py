# SPDX-License-Identifier: BSD-3-Clause
"""Training images, known again by their most unusual patches."""

from typing import NamedTuple

import numpy as np

from ..runtime.threads import run_blocks

__all__ = ["SPARE_PATCHES", "TrainingImages"]

# Patches of each training image that are kept, to score it again after the bank has changed: more
# than its score is the mean of.
SPARE_PATCHES = 8
# Part of an image's usual score up to which patches differ in their last digits only, as in another
# batch size, or another thread's order of the same sums.
_SAME = 1e-2


class TrainingImages(NamedTuple):
    """What is kept of n training images.

    Attributes
    ----------
    scores : ndarray of shape (n,), float64
        Without their own patches, high = normal; NaN for images that are not recognised.
    worst_rows : ndarray of shape (n, q), int64
        Numbers of the worst patches among the inspected ones of their images.
    worst_patches : ndarray of shape (n, q, d), float32
    typical : ndarray of shape (n,), float64
        As of :func:`typical_scores`, without their own patches; NaN where it is not known.
    """

    scores: np.ndarray
    worst_rows: np.ndarray
    worst_patches: np.ndarray
    typical: np.ndarray

    def recognize(self, patches, gap):
        """Find training images, and copies of them, again.

        Parameters
        ----------
        patches : ndarray of shape (n, h, w, d), float32
            Patches of any images.
        gap : float
            As of :func:`skpatch.likeness.copies.copy_gap`.

        Returns
        -------
        ndarray of shape (n,), int64
            The training image that each image is; -1 if it is none, or more than one.
        """
        numbers = np.full(len(patches), -1)
        known = np.flatnonzero(np.isfinite(self.scores))
        if len(known) == 0:
            return numbers
        largest = self._largest_gap(gap)
        flat = patches.reshape(len(patches), -1, patches.shape[-1])

        def recognize_images(start, stop):
            for image in range(start, stop):
                # Nearly all differ in the first patch already.
                first = known[self._gaps(flat[image], known, slice(1)) <= largest]
                found = first[self._gaps(flat[image], first, slice(None)) <= largest]
                if len(found) == 1:
                    numbers[image] = found[0]

        run_blocks(recognize_images, len(patches), 1)
        return numbers

    def are(self, patches, numbers, gap):
        """Whether images (n, h, w, d) are the training images of these numbers (n,), or copies."""
        flat = patches.reshape(len(patches), -1, patches.shape[-1])
        gaps = [
            self._gaps(image, np.array([number]), slice(None))[0]
            for image, number in zip(flat, numbers, strict=True)
        ]
        return np.array(gaps) <= self._largest_gap(gap)

    def _largest_gap(self, gap):
        known = np.abs(self.scores[np.isfinite(self.scores)])
        return gap + (_SAME * np.median(known) if len(known) else 0.0)

    def _gaps(self, image, numbers, part):
        """Largest distance (k,) of patches (p, d) to some of the worst ones of training images."""
        found = image[self.worst_rows[numbers, part]].astype(np.float64)
        return np.linalg.norm(found - self.worst_patches[numbers, part], axis=-1).max(axis=1)
