# SPDX-License-Identifier: BSD-3-Clause
"""Patches that may become memory patches."""

from typing import NamedTuple

import numpy as np

__all__ = ["Candidates", "Rows"]


class Rows:
    """Some rows of an array, copied only when they are indexed."""

    def __init__(self, array, rows):
        self._array, self._rows = array, rows

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, part):
        return self._array[self._rows[part]]


class Candidates(NamedTuple):
    """Patches that were selected for the memory bank, with those that were then dropped as noise.

    Attributes
    ----------
    patches : ndarray or Rows of shape (c, d), float32
    source : ndarray of shape (c, 3), int64
        Image, row and column.
    ratios : ndarray of shape (c,), float64
        What distances along the axes of a noise model are multiplied with to be distances between
        features; 1 where it does not measure any.
    """

    patches: np.ndarray
    source: np.ndarray
    ratios: np.ndarray

    def take(self, rows):
        """Some of them."""
        return Candidates(*(field[rows] for field in self))

    def join(self, others):
        """These, then the others."""
        return Candidates(*(np.concatenate(fields) for fields in zip(self, others, strict=True)))
