# SPDX-License-Identifier: BSD-3-Clause
"""Suspicious training images that resemble each other: one variant, or the same defect."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

__all__ = ["group_images"]


def group_images(state, numbers, device):
    """Group training images whose worst patches are nearer to each other's than to other images.

    Other images are the memory patches of those that are not among the given ones. Two images are
    alike if that holds for both of them, on average over the patches that their scores are the mean
    of. A group is all that are alike, directly or through others. Copies are one image, and in its
    group.

    Parameters
    ----------
    state : FittedState
    numbers : ndarray of shape (k,), int64
        Numbers of the images among those that were given, the most suspicious first.
    device : str
        Torch device of the search. The one of the training need not be here.

    Returns
    -------
    ndarray of shape (N,), int64
        Group of each image that was given, numbered from that of the most suspicious on; -1 for
        none.
    """
    identity = state.given.identity
    groups = np.full(len(identity), -1)
    given, (found, first) = numbers, np.unique(identity[numbers], return_index=True)
    numbers = found[np.argsort(first)]
    if len(numbers) < 2:
        return groups
    patches = state.training.worst_patches[numbers]
    n_worst = state.bank.rule.n_worst
    worst = patches[:, :n_worst]
    rows = worst.reshape(-1, worst.shape[-1])
    excluded = np.ones(len(rows), int), np.isin(state.bank.source[:, 0], numbers).astype(int)
    nearest, _ = state.bank.on(device).search.kneighbors(rows, 1, excluded)
    to_others = nearest.reshape(worst.shape[:2]).mean(axis=1)
    is_near = np.array([_gaps(image, patches) for image in worst]) < to_others[:, np.newaxis]
    np.fill_diagonal(is_near, False)
    _, labels = connected_components(csr_array(is_near & is_near.T), directed=False)
    found, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    several = found[sizes > 1][np.argsort(first[sizes > 1])]
    for group, label in enumerate(several):
        groups[given[np.isin(identity[given], numbers[labels == label])]] = group
    return groups


def _gaps(worst, patches):
    """Mean distances (k,) of patches (w, d) to the nearest ones of each image (k, q, d)."""
    distances = cdist(worst, patches.reshape(-1, patches.shape[-1]))
    return distances.reshape(len(worst), *patches.shape[:2]).min(axis=2).mean(axis=0)
