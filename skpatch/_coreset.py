# SPDX-License-Identifier: BSD-3-Clause
"""Exact greedy k-centre selection (farthest point sampling), in batches."""

import numpy as np
from sklearn.utils import gen_batches

from ._parallel import progress, run_blocks
from ._scaling import LowerBounds

__all__ = ["farthest_on_average", "greedy_coreset"]

# Candidates of one round, and points of one block. Measured on 172,480 x 128 points: larger
# rounds spend more on the candidates' mutual distances, smaller ones on passes over the points;
# a block's products should stay in the processor's cache.
_CANDIDATES = 2048
_BLOCK = 512


def farthest_on_average(points, random_state, n_anchors=10):
    """Row of the point farthest on average from a few random points.

    The reference implementations of PatchCore and SoftPatch start their selection there.

    Parameters
    ----------
    points : ndarray of shape (n, d), float32
    random_state : numpy.random.RandomState
    n_anchors : int

    Returns
    -------
    int
    """
    n = len(points)
    anchors = points[random_state.choice(n, min(n_anchors, n), replace=False)]
    mean_distance = np.empty(n, np.float32)

    def measure(start, stop):
        block = points[start:stop]
        total = np.zeros(len(block))
        for anchor in anchors:
            total += np.sqrt(np.square(block - anchor, dtype=np.float64).sum(axis=1))
        mean_distance[start:stop] = total / len(anchors)

    run_blocks(measure, n, 4096)
    return int(np.argmax(mean_distance))


def greedy_coreset(points, size, start):
    """Select points greedily, each the farthest from those selected before.

    The picks are those of the plain algorithm, one pass over all points per pick, but many are
    made per pass: distances to the selection only shrink, so among the points that are farthest
    now, picks can be made without looking at the others for as long as they stay farther than
    all others were. Then one matrix product updates all points at once.

    Parameters
    ----------
    points : ndarray of shape (n, d), float32
        At least one.
    size : int
        Number of points to select.
    start : int
        Row of the first pick.

    Returns
    -------
    rows : ndarray of shape (n_selected,), int64
        In the order of selection. Fewer than `size` when the selection already holds a copy of
        every point.
    radius : float
        Largest distance of a point to its nearest selected one.

    References
    ----------
    T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical
    Computer Science 38, 1985.
    """
    points = np.ascontiguousarray(points, np.float32)
    size = min(size, len(points))
    bounds = _PointBounds(points)
    distances = np.full(len(points), np.inf)
    selected = np.empty(size, np.int64)
    selected[0], count = start, 1
    _update(points, selected[:1], bounds, distances)
    with progress(size, "coreset") as bar:
        bar.update(1)
        while count < size and distances.max() > 0:
            picks = _pick(points, distances, size - count, bounds)
            selected[count : count + len(picks)] = picks
            count += len(picks)
            _update(points, picks, bounds, distances)
            bar.update(len(picks))
    return selected[:count], float(np.sqrt(distances.max()))


class _PointBounds(LowerBounds):
    """Lower bounds of the points themselves: few coordinates are kept, many computed again."""

    def __init__(self, points):
        super().__init__(points)
        self._points = points
        self._kept = None
        if self.reduced:
            blocks = [self.apply(points[rows]) for rows in gen_batches(len(points), 4096)]
            self._kept = tuple(map(np.concatenate, zip(*blocks, strict=True)))

    def take(self, rows):
        """Coordinates and halves of some of the points, as of :meth:`apply`."""
        if self._kept is None:
            return self.apply(self._points[rows])
        return self._kept[0][rows], self._kept[1][rows]


def _pick(points, distances, most, bounds):
    """Next picks, found among the points with the largest distances."""
    import torch

    from ._kernels import pick_farthest

    n = len(points)
    bound = -np.inf
    candidates = np.arange(n)
    if n > _CANDIDATES:
        order = np.argpartition(distances, n - _CANDIDATES - 1)
        bound = distances[order[n - _CANDIDATES - 1]]
        # Ties at the edge are cut arbitrarily; numpy's argmax takes the lowest row.
        candidates = np.union1d(order[n - _CANDIDATES :], np.argmax(distances))
    rows = points[candidates]
    coordinates, halves = bounds.take(candidates)
    products = torch.mm(torch.from_numpy(coordinates), torch.from_numpy(coordinates).T).numpy()
    tolerance = bounds.tolerance(halves.max(), halves.max())
    picks = np.empty(min(most, len(candidates)), np.int64)
    count = pick_farthest(
        products, rows, halves, tolerance, bounds.unit, distances[candidates], bound, picks
    )
    return candidates[picks[:count]]


def _update(points, picks, bounds, distances):
    """Lower all distances by the new picks."""
    import torch

    from ._kernels import lower_distances

    centres = points[picks]
    coordinates, halves = bounds.take(picks)
    transposed = torch.from_numpy(coordinates).T
    largest = halves.max()

    def lower(start, stop):
        coordinates, point_halves = bounds.take(slice(start, stop))
        lower_distances(
            torch.mm(torch.from_numpy(coordinates), transposed).numpy(),
            points[start:stop],
            centres,
            halves,
            point_halves,
            bounds.tolerance(point_halves, largest),
            bounds.unit,
            distances[start:stop],
        )

    run_blocks(lower, len(points), _BLOCK)
