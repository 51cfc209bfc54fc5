# SPDX-License-Identifier: BSD-3-Clause
"""The score of an image is that of its worst patches: most need no complete search."""

import numpy as np

from ..runtime.threads import run_blocks

__all__ = ["worst_patches"]

# Rows of the bank that all patches are compared with, and patches of each image that are then
# compared with all rows.
_HEAD = 512
_LEADERS = 32
# Most floats of one matrix product after that, 4 MB.
_PRODUCT_SIZE = 2**20


def worst_patches(
    search, patches, n_neighbors, weigh, weights, n_worst, n_rows, excluded=None, description=None
):
    """Largest patch scores of each image, the same as from a complete search for every patch.

    Neighbours among the first rows of the bank give an upper bound of a patch's score. A memory
    bank is in the order of its selection, so its first rows are spread over all of it. The
    patches with the largest bounds are compared with the whole bank; all others drop out as soon
    as they cannot exceed those.

    Parameters
    ----------
    search : ExactNeighbors
    patches : ndarray of shape (n, p, d), float32
    n_neighbors : int
    weigh : callable
        From distances (m, n_neighbors) and weights, of the same shape or a number, to scores
        (m,), ascending with both.
    weights : ndarray of shape (size of the bank,), float64
    n_worst : int
        Number of scores wanted.
    n_rows : int
        Number of patches wanted, at least as many.
    excluded : tuple of (image_group, bank_group), optional
        Integer arrays (n,) and (size of the bank,); an image is not compared with rows of its own
        group.
    description : str, optional
        Name of the progress bar.

    Returns
    -------
    scores : ndarray of shape (n, n_worst), float64
        Descending.
    rows : ndarray of shape (n, n_rows), int64
        The patches that have them, then those that could have the next largest.
    """
    n_images, n_patches, _ = patches.shape
    size = len(search.bank_)
    largest_weight = weights.max()
    scores = np.empty((n_images, n_worst))
    worst = np.empty((n_images, n_rows), np.int64)

    def score_image(image):
        squared = np.full((n_patches, n_neighbors), np.inf)
        indices = np.full((n_patches, n_neighbors), -1)
        prepared = search.prepare(patches[image])

        def compare(rows, part):
            found = squared[rows], indices[rows]
            groups = None
            if excluded is not None:
                groups = np.full(len(found[0]), excluded[0][image]), excluded[1]
            search.improve(tuple(array[rows] for array in prepared), part, *found, groups)
            squared[rows], indices[rows] = found

        def score(rows):
            return weigh(np.sqrt(squared[rows]), weights[indices[rows]])

        def bound(rows):
            bounds = weigh(np.sqrt(squared[rows]), largest_weight)
            bounds[np.isinf(squared[rows, -1])] = np.inf
            return bounds

        left = np.arange(n_patches)
        compare(slice(None), slice(0, _HEAD))
        left = left[np.argsort(-bound(left), kind="stable")]
        n_leaders = max(_LEADERS, n_worst)
        leaders, left = left[:n_leaders], left[n_leaders:]
        compare(leaders, slice(_HEAD, None))
        least = np.sort(score(leaders))[-n_worst]
        first = _HEAD
        while first < size:
            left = left[bound(left) > least]
            stop = first + min(first, max(_HEAD, _PRODUCT_SIZE // max(1, len(left))))
            compare(left, slice(first, stop))
            first = stop
        # Those that dropped out have bounds, which are at most the least of the scores.
        bounds = score(slice(None))
        worst[image] = np.argsort(-bounds, kind="stable")[:n_rows]
        scores[image] = bounds[worst[image, :n_worst]]

    def score_images(start, stop):
        for image in range(start, stop):
            score_image(image)

    run_blocks(score_images, n_images, 1, description)
    return scores, worst
