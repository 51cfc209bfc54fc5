# SPDX-License-Identifier: BSD-3-Clause
"""Accusations: patches that are unusual at their place, as all patches around them are."""

import numpy as np
from scipy.ndimage import uniform_filter

from ..distances.scaling import Scaling, inner_products
from ..runtime.threads import run_blocks
from .positionwise import outlier_factors

__all__ = ["NEIGHBORS", "accuse", "accuse_jury", "rank_of_same_place"]

# Neighbours of the local outlier factor, the paper's.
NEIGHBORS = 6
# Patches along each side of the window that logarithms are averaged over, at most and in relation
# to the shorter side of the grid, 5 of 28: defects are regions, while rare normal patches are often
# alone.
_LARGEST_WINDOW, _WINDOW = 5, 0.14
_PAIRS = 300


def accuse(jury, patches, images, inspected, n_neighbors=NEIGHBORS, rows=None):
    """Score patches: the local outlier factor among the jury, averaged over a window.

    Parameters
    ----------
    jury : Jury
    patches : ndarray of shape (n, h, w, k), float32
    images : ndarray of shape (n,), int64
        Their numbers: an image is not compared with itself.
    inspected : ndarray of shape (H, W), bool
        The patches of the whole grid that these are.
    n_neighbors : int
        Of the local outlier factor: what as many images of the jury share is usual.
    rows : ndarray of shape (m,), int64, optional
        The images that are scored; all by default.

    Returns
    -------
    ndarray of shape (m, h, w), float64
        About 1 for a typical patch.
    """
    flat = patches.reshape(len(patches), -1, patches.shape[-1])
    rows = np.arange(len(flat)) if rows is None else rows

    def coordinates(positions):
        some = flat[rows, positions]
        return jury.project(some.reshape(-1, flat.shape[-1])).reshape(*some.shape[:2], -1)

    shape = len(rows), flat.shape[1]
    (scores,) = _accuse(jury, coordinates, shape, images[rows], inspected, (n_neighbors,))
    return scores.reshape(len(rows), *patches.shape[1:3])


def accuse_jury(jury, inspected, numbers):
    """The same (k, j, p) of the patches of the jury, by each of k numbers of neighbours."""

    def coordinates(positions):
        return jury.coordinates[:, positions].astype(np.float32)

    shape = jury.coordinates.shape[:2]
    return _accuse(jury, coordinates, shape, jury.images, inspected, numbers)


def _accuse(jury, coordinates, shape, images, inspected, numbers):
    """Scores (k, n, p) of patches, from a function of positions to coordinates (n, q, d)."""
    compared, reference = jury.reference()
    own = np.searchsorted(compared, images).clip(max=len(compared) - 1)
    own = np.where(compared[own] == images, own, -1)
    logs = np.empty((len(numbers), *shape))

    def score(start, stop):
        queries = coordinates(slice(start, stop))
        for position in range(start, stop):
            among = reference[:, position].astype(np.float32)
            points = np.ascontiguousarray(queries[:, position - start])
            logs[:, :, position] = np.log(_factors(points, own, among, numbers))

    run_blocks(score, shape[1], 8, "looking for suspicious places")
    return np.exp([_average(some, inspected) for some in logs])


def _factors(points, own, reference, numbers):
    """Local outlier factors (k, n) of points (n, d) among others (r, d), `own` (n,) left out.

    They are by each of k numbers of neighbours, which are searched once.
    """
    numbers = [min(number, len(reference) - 1) for number in numbers]
    if min(numbers) < 1:
        return np.ones((len(numbers), len(points)))
    scaling = Scaling(reference)
    known = _nearest(reference, np.arange(len(reference)), reference, scaling, max(numbers))
    # Those of the reference itself are known by then.
    asked = [array[own] for array in known]
    is_new = own < 0
    if is_new.any():
        new = _nearest(points[is_new], own[is_new], reference, scaling, max(numbers))
        for array, values in zip(asked, new, strict=True):
            array[is_new] = values
    return [outlier_factors(*(a[:, :k] for a in (*known, *asked))) for k in numbers]


def _nearest(points, own, reference, scaling, n_neighbors):
    """Distances (n, q) to the nearest points of a reference, without their own, and their rows."""
    from ..distances.kernels import nearest_rows

    scaled, halves = scaling.apply(points)
    others, other_halves = scaling.apply(reference)
    products = inner_products(scaled, others)
    known = np.flatnonzero(own >= 0)
    products[known, own[known]] = -np.inf
    squared = np.full((len(points), n_neighbors), np.inf)
    rows = np.full((len(points), n_neighbors), -1)
    nearest_rows(
        products,
        points,
        reference,
        np.zeros(len(reference)),
        np.arange(len(reference)),
        0,
        other_halves,
        halves,
        scaling.tolerance(halves, other_halves.max()),
        float(scaling.unit),
        squared,
        rows,
    )
    return np.sqrt(squared), rows


def _average(values, inspected):
    """Means (n, p) of values (n, p) over the inspected patches of the window around each."""
    whole = np.zeros((len(values), *inspected.shape))
    whole[:, inspected] = values
    side = min(_LARGEST_WINDOW, 2 * round(_WINDOW * min(inspected.shape) / 2) + 1)
    size = 1, side, side
    # What lies outside is neither inspected nor counted.
    sums = uniform_filter(whole, size, mode="constant")
    counts = uniform_filter(inspected[np.newaxis].astype(float), size, mode="constant")
    return (sums / np.maximum(counts, 1e-9))[:, inspected]


def rank_of_same_place(coordinates):
    """Mean rank, in [0, 1], of the patch at the same place among all of another image, by distance.

    0 where the nearest patch is always at the same place, one half where places mean nothing.

    Parameters
    ----------
    coordinates : ndarray of shape (j, p, k), floating
        Patches of several images.
    """
    n_images, n_patches, _ = coordinates.shape
    if n_patches == 1:
        return 0.0
    random_state = np.random.RandomState(0)
    ranks = np.empty(_PAIRS)
    for pair in range(_PAIRS):
        one, other = random_state.choice(n_images, 2, replace=False)
        place = random_state.randint(n_patches)
        gaps = coordinates[other].astype(np.float32) - coordinates[one, place].astype(np.float32)
        distances = np.einsum("ij,ij->i", gaps, gaps)
        ranks[pair] = np.count_nonzero(distances < distances[place]) / (n_patches - 1)
    return float(ranks.mean())
