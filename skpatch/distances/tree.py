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
        """That of coordinates (n, k), float32."""
        from sklearn.neighbors import KDTree

        axes = np.argsort(-coordinates.var(axis=0), kind="stable")[:_MOST_AXES]
        tree = KDTree(coordinates[:, axes], leaf_size=_LEAST_ROWS)
        _, order, nodes, (lows, highs) = tree.get_arrays()
        starts, stops = (nodes[name].astype(np.int64) for name in ("idx_start", "idx_end"))
        boxes = np.hstack([lows, np.negative(highs)]).astype(np.float32)
        return cls(axes, order.astype(np.int64), starts, stops, boxes)
