# SPDX-License-Identifier: BSD-3-Clause
"""The score of an image is that of its worst patches: most need no complete search."""

from functools import partial

import numpy as np

from ..runtime.threads import run_blocks

__all__ = ["worst_patches"]

# Patches of each image whose nearest rows are looked for first, and those they are chosen from.
_LEADERS = 32
_RUNNERS = 128


def worst_patches(
    search,
    places,
    patches,
    n_neighbors,
    weigh,
    bound,
    harmless,
    weights,
    factors,
    n_worst,
    n_spare=0,
    excluded=None,
    description=None,
):
    """Largest patch scores of each image, the same as from a complete search for every patch.

    Neighbours in a single leaf of the bank's tree, or those of the patches beside it, give an upper
    bound of a patch's score; for large ones also memory patches of about the same place, which are
    the nearest ones of most patches where parts lie alike. The patches with the largest bounds are
    searched for completely; all others only until they cannot exceed those.

    Parameters
    ----------
    search : ExactNeighbors
    places : Places
        Of the bank.
    patches : ndarray of shape (n, h, w, d), float32
    n_neighbors : int
    weigh : callable
        From distances (m, n_neighbors) and weights, of the same shape or a number, to scores
        (m,), ascending with both.
    bound : callable
        From distances (m, n_neighbors) to what the scores (m,) of such patches are at most.
    harmless : callable
        From a score to the squared distance up to which no patch has a higher one.
    weights : ndarray of shape (size of the bank,), float64
    factors : ndarray of shape (n, h * w), float64
        Positive numbers that the scores of patches are multiplied with.
    n_worst : int
        Number of patches wanted.
    n_spare : int
        Number of further ones: the worst of those that were searched for completely on the way. To
        be sure that no others are worse would double the time.
    excluded : tuple of (image_group, bank_group), optional
        Integer arrays (n,) and (size of the bank,); an image is not compared with rows of its own
        group.
    description : str, optional
        Name of the progress bar.

    Returns
    -------
    scores : ndarray of shape (n, n_worst + n_spare), float64
        Descending.
    rows : ndarray of shape (n, n_worst + n_spare), int64
        The patches that have them.
    """
    n_images, height, width, n_features = patches.shape
    n_patches = height * width
    n_wanted = n_worst + n_spare
    n_leaders = max(_LEADERS, n_wanted)
    worst_scores = np.empty((n_images, n_wanted))
    worst = np.empty((n_images, n_wanted), np.int64)

    def score_image(image):
        squared = np.full((n_patches, n_neighbors), np.inf)
        indices = np.full((n_patches, n_neighbors), -1)
        own, groups = None, None
        if excluded is not None and excluded[0][image] in excluded[1]:
            own, groups = np.full(n_patches, excluded[0][image]), excluded[1]
        queries = search.prepare(patches[image].reshape(n_patches, n_features), own)

        def improve(some, how, *enough):
            found = squared[some], indices[some]
            how(queries.take(some), *found, groups, *enough)
            squared[some], indices[some] = found

        def score(some):
            return factors[image, some] * weigh(np.sqrt(squared[some]), weights[indices[some]])

        def bounds(some):
            return factors[image, some] * bound(np.sqrt(squared[some]))

        def maybe_worse(some, least):
            return some[bounds(some) > least]

        def look_beside(some):
            candidates = places.beside(*np.divmod(some, width))
            improve(some, partial(search.compare_with, candidates))

        def by_bound():
            return np.argsort(-bounds(slice(None)), kind="stable")

        search.improve(queries, squared, indices, groups, np.inf)
        search.share(queries, width, squared, indices)
        look_beside(by_bound()[:_RUNNERS])
        order = by_bound()
        leaders, left = order[:n_leaders], order[n_leaders:]
        improve(leaders, search.compare_with_all)
        scores = np.full(n_patches, -np.inf)
        scores[leaders] = score(leaders)
        least = np.sort(scores[leaders])[-n_worst]
        left = maybe_worse(left, least)
        look_beside(left)
        left = maybe_worse(left, least)
        improve(left, search.improve, harmless(least / factors[image, left]))
        left = maybe_worse(left, least)
        scores[left] = score(left)
        worst[image] = np.argsort(-scores, kind="stable")[:n_wanted]
        worst_scores[image] = scores[worst[image]]

    def score_images(start, stop):
        for image in range(start, stop):
            score_image(image)

    run_blocks(score_images, n_images, 1, description)
    return worst_scores, worst
