# SPDX-License-Identifier: BSD-3-Clause
"""Memory patches by place: those of the same place in other images are often the nearest."""

from typing import NamedTuple

import numpy as np

__all__ = ["Places"]

# Memory patches beside a place, at most: of large banks in small grids there are many.
_MOST = 64


class Places(NamedTuple):
    """Memory patches by their place in the grid of an image's patches.

    Attributes
    ----------
    rows : ndarray of shape (m,), int64
        Memory patches place by place, row of the grid by row of it.
    starts : ndarray of shape (height * width + 1,), int64
        Where those of each place begin.
    height, width : int
        Places of memory patches are within.
    """

    rows: np.ndarray
    starts: np.ndarray
    height: int
    width: int

    @classmethod
    def of(cls, source):
        """Those of memory patches with such sources (m, 3): image, row and column."""
        height, width = (int(last) + 1 for last in source[:, 1:].max(axis=0))
        numbers = source[:, 1] * width + source[:, 2]
        rows = np.argsort(numbers, kind="stable")
        starts = np.searchsorted(numbers[rows], np.arange(height * width + 1))
        return cls(rows, starts, height, width)

    def beside(self, row, column):
        """Memory patches (n, c) at places (n,) and left and right of them, -1 after the last."""
        begin = np.minimum(row, self.height - 1) * self.width
        first = self.starts[begin + np.clip(column - 1, 0, self.width - 1)]
        last = self.starts[begin + np.minimum(column + 1, self.width - 1) + 1]
        count = np.minimum(last - first, _MOST)
        steps = np.arange(count.max(initial=0))
        some = np.minimum(first[:, np.newaxis] + steps, len(self.rows) - 1)
        return np.where(steps < count[:, np.newaxis], self.rows[some], -1)
