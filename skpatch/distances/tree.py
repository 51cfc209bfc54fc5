# SPDX-License-Identifier: BSD-3-Clause
"""A k-d tree whose leaves hold a few rows each, for searches that look into few of them."""

from typing import NamedTuple

import numpy as np

__all__ = ["Points", "Tree"]

# Rows of a leaf are at least so many, and less than twice as many. Axes of its boxes: among 15,680
# patches of solar cells, boxes of 8 axes leave 12 % of the rows to look at, and no more axes help.
_LEAST_ROWS = 8
_MOST_AXES = 8


class Points(NamedTuple):
    """Rows that are searched for, or among, and what is known of them.

    Attributes
    ----------
    rows : ndarray of shape (n, d), float32
    coordinates : ndarray of shape (n, k), float32
        Their distances bound those of the rows from below. Of a bank they are in the order of its
        tree.
    halves : ndarray of shape (n,), float32
        Half of the squared norms of the coordinates.
    groups : ndarray of shape (n,), int64
        Rows of the same group are not matched.
    """

    rows: np.ndarray
    coordinates: np.ndarray
    halves: np.ndarray
    groups: np.ndarray

    def take(self, some):
        """Some of the points."""
        return Points(*(array[some] for array in self))


class Tree(NamedTuple):
    """A complete binary tree: the children of node i are nodes 2i + 1 and 2i + 2.

    Attributes
    ----------
    axes : ndarray of shape (a,), int64
        The coordinates with the largest variance, in which the tree is built.
    order : ndarray of shape (n,), int64
        Rows, leaf by leaf.
    starts, stops : ndarray of shape (number of nodes,), int64
        Part of that order that is in each node.
    boxes : ndarray of shape (number of nodes, 2a), float32
        Lowest coordinates of these rows, then minus their highest ones.
    """

    axes: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    boxes: np.ndarray

    @classmethod
    def of(cls, coordinates):
        """That of coordinates (n, k), float32: each node is halved along its widest axis."""
        axes = np.argsort(-coordinates.var(axis=0), kind="stable")[:_MOST_AXES]
        points, order = coordinates[:, axes], np.arange(len(coordinates))
        n_levels = max(0, int(np.log2(max(1, len(order)) / _LEAST_ROWS)))
        parts = [(0, len(order))]
        # sklearn.neighbors.KDTree does the same, but to import it takes longer than to score.
        for node in range(2**n_levels - 1):
            start, stop = parts[node]
            rows, middle = order[start:stop], (stop - start) // 2
            widest = np.ptp(points[rows], axis=0).argmax()
            order[start:stop] = rows[np.argpartition(points[rows, widest], middle)]
            parts += [(start, start + middle), (start + middle, stop)]
        lows, highs = (
            np.array([limit(points[order[start:stop]], axis=0) for start, stop in parts])
            for limit in (np.min, np.max)
        )
        starts, stops = np.array(parts).T
        return cls(axes, order, starts.copy(), stops.copy(), np.hstack([lows, -highs]))
