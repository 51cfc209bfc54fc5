# SPDX-License-Identifier: BSD-3-Clause
"""Exact greedy k-centre selection (farthest point sampling), in batches."""

import numpy as np

from ..distances.scaling import LowerBounds, inner_products
from ..runtime.devices import accelerator
from ..runtime.threads import progress, run_blocks
from .gpu import greedy_coreset_on

__all__ = ["farthest_on_average", "greedy_coreset"]

# Random points of which the first pick is farthest on average, as in the reference.
_ANCHORS = 10
# Points measured again and candidates of one round; points and centres of one block.
_UPDATED = 16_384
_CANDIDATES = 2048
_BLOCK = 512
_CENTRES = 2048


def farthest_on_average(points, random_state, rows=None):
    """Row of the point farthest on average from a few random points.

    The reference implementations of PatchCore and SoftPatch start their selection there.

    Parameters
    ----------
    points : ndarray of shape (n, d), float32
    random_state : numpy.random.RandomState
    rows : ndarray of shape (m,), int64, optional
        Rows that take part; all by default.

    Returns
    -------
    int
    """
    from scipy.spatial.distance import cdist

    rows = np.arange(len(points)) if rows is None else rows
    n = len(rows)
    anchors = points[rows[random_state.choice(n, min(_ANCHORS, n), replace=False)]]
    mean_distance = np.empty(n, np.float32)

    def measure(start, stop):
        mean_distance[start:stop] = cdist(points[rows[start:stop]], anchors).mean(axis=1)

    run_blocks(measure, n, 1024)
    return int(rows[np.argmax(mean_distance)])


def greedy_coreset(points, size, start, rows=None, device="cpu", enough=0.0):
    """Select points greedily, each the farthest from those selected before.

    The picks are those of the plain algorithm, one pass over all points per pick, for a small
    part of its work. Distances to the selection only shrink. So a distance that is out of date
    is an upper bound, and a point is measured again only when it could be the farthest; and among
    the points that are farthest now, picks can be made without looking at the others for as long
    as they stay farther than all others were.

    Parameters
    ----------
    points : ndarray of shape (n, d), float32
    size : int
        Number of points to select.
    start : int or ndarray of shape (k,), int64
        Row of the first pick, or rows of the first picks.
    rows : ndarray of shape (m,), int64, optional
        Rows that take part, ascending, those of the first picks included; all by default.
    device : str
        Torch device.
    enough : float
        Radius at which the selection ends, whatever its size.

    Returns
    -------
    picks : ndarray of shape (n_selected,), int64
        Rows of `points` in the order of selection. Fewer than `size` when the radius is small
        enough, at the latest when the selection holds a copy of every point.
    radius : float
        Largest distance of a point to its nearest selected one.

    References
    ----------
    T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical
    Computer Science 38, 1985.
    """
    points = np.ascontiguousarray(points, np.float32)
    rows = np.arange(len(points)) if rows is None else rows
    size = min(size, len(rows))
    gpu = accelerator(device)
    if gpu is not None:
        return greedy_coreset_on(gpu, points, size, start, rows, enough)
    selection = _Selection(points, rows, size)
    with progress(size, "choosing memory patches") as bar:
        selection.add(np.searchsorted(rows, np.atleast_1d(start)))
        while True:
            bar.update(selection.count - bar.n)
            farthest, bound = selection.farthest()
            squared_radius = selection.distances[farthest[0]]
            if selection.count == size or squared_radius <= enough**2:
                break
            selection.add(selection.pick(farthest, max(bound, np.nextafter(enough**2, np.inf))))
    return rows[selection.picks[: selection.count]], float(np.sqrt(squared_radius))


class _Selection:
    """Points selected so far, and upper bounds of the others' distances to them.

    Parameters
    ----------
    points : ndarray of shape (n, d), float32
    rows : ndarray of shape (m,), int64
        Rows that take part. All else counts among these.
    size : int
        Number of points to select.
    """

    def __init__(self, points, rows, size):
        self.points, self.rows, self.size = points, rows, size
        bounds = LowerBounds(points)
        self.unit = bounds.unit
        self.coordinates, self.halves = bounds.apply_to_rows(points, rows)
        self.tolerances = bounds.tolerance(self.halves, self.halves.max())
        self.picks = np.empty(size, np.int64)
        # Copies, so that blocks of picks are contiguous.
        self.pick_coordinates = np.empty((size, self.coordinates.shape[1]), np.float32)
        self.pick_halves = np.empty(size, np.float32)
        self.count = 0
        # Squared distances to the nearest of the first `seen` picks.
        self.distances = np.full(len(rows), np.inf)
        self.seen = np.zeros(len(rows), np.int64)

    def add(self, picks):
        """Select points."""
        new = slice(self.count, self.count + len(picks))
        self.picks[new] = picks
        self.pick_coordinates[new] = self.coordinates[picks]
        self.pick_halves[new] = self.halves[picks]
        self.count = new.stop

    def farthest(self):
        """Find the points that are farthest from the selection.

        Returns
        -------
        farthest : ndarray of shape (k,), int64
            Points with up-to-date distances, descending; ties by row, as in numpy's argmax.
        bound : float
            Squared distance of the last of them; no other point comes before it.
        """
        n = len(self.rows)
        rank = max(0, n - _UPDATED)
        while True:
            bound = np.partition(self.distances, rank)[rank]
            points = np.flatnonzero(self.distances >= bound)
            self._update(points, bound)
            points = points[self.distances[points] >= bound]
            if len(points):
                break
        order = np.argsort(-self.distances[points], kind="stable")[:_CANDIDATES]
        points = points[order]
        return points, bound if len(order) < _CANDIDATES else self.distances[points[-1]]

    def _update(self, points, bound):
        """Bring distances up to date, except those that fall below a bound meanwhile."""
        points = points[np.argsort(self.seen[points], kind="stable")]

        def update(start, stop):
            block = points[start:stop]
            first = self.seen[block[0]]
            while first < self.count and len(block):
                last = min(first + _CENTRES, self.count)
                self._lower(block, slice(first, last))
                self.seen[block] = first = last
                block = block[self.distances[block] >= bound]

        run_blocks(update, len(points), _BLOCK)

    def _lower(self, block, picks):
        from ..distances.kernels import lower_distances

        distances = self.distances[block]
        lower_distances(
            inner_products(self.coordinates[block], self.pick_coordinates[picks]),
            self.points,
            self.rows[block],
            self.rows[self.picks[picks]],
            self.pick_halves[picks],
            self.halves[block],
            self.tolerances[block],
            self.unit,
            distances,
        )
        self.distances[block] = distances

    def pick(self, candidates, bound):
        """Next picks among the farthest points."""
        from ..distances.kernels import pick_farthest

        candidates = np.sort(candidates)
        coordinates = self.coordinates[candidates]
        picks = np.empty(min(self.size - self.count, len(candidates)), np.int64)
        count = pick_farthest(
            inner_products(coordinates, coordinates),
            self.points[self.rows[candidates]],
            self.halves[candidates],
            self.tolerances[candidates].max(),
            self.unit,
            self.distances[candidates],
            bound,
            picks,
        )
        return candidates[picks[:count]]
