# SPDX-License-Identifier: BSD-3-Clause
"""Coresets of points that are not held at once, composed of selections from parts of them.

Coresets compose: a selection from the union of selections leaves no point farther from it than
the largest radius of the selections and its own. Each of them is at most twice the least possible
radius of as many centres, so the selection from a union is within a factor of four (G. Malkomes
et al., "Fast distributed k-center clustering with outliers on massive data", NeurIPS 2015), and
each further level of a tree of unions adds two.

Here one half of the centres, the leaders, is selected from the first shard, and all other
selections go on from them. So the factor holds in respect of half as many centres. In return,
points near a leader need no other centre, and the rest are so few that nearly all of them can be
kept for the last selection, which then has the radius of one from all points.
"""

from typing import NamedTuple

import numpy as np

from ..distances.exact import ExactNeighbors
from ..distances.projection import project_rows
from .coreset import greedy_coreset

__all__ = ["PartSelection", "SelectionTree", "condense", "n_leaders"]

# Points whose distances to the leaders are measured at a time.
_BLOCK = 2**14


class PartSelection(NamedTuple):
    """Patches that stand for those of some shards, beside the leaders.

    Attributes
    ----------
    patches : ndarray of shape (c, d)
    source : ndarray of shape (c, 3)
    radius : float
        Bound on the distance of all others to these and the leaders.
    from_leaders : float
        Bound on the distance of all others to the leaders alone.
    """

    patches: np.ndarray
    source: np.ndarray
    radius: float
    from_leaders: float

    def take(self, rows, radius, from_leaders):
        """Some of the patches, which have other bounds."""
        return PartSelection(self.patches[rows], self.source[rows], radius, from_leaders)


class SelectionTree:
    """Selections in the order of their arrival, joined and selected from again when many."""

    def __init__(self, leaders, size, fan_in, components, device):
        self._leaders, self._size, self._components = leaders, size, components
        self._device = device
        self._start = np.arange(len(leaders.patches))
        self._fan_in, self._levels = fan_in, []

    def add(self, selection, level=0):
        """Take one more selection, from as many selections of shards as its level allows."""
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(selection)
        if len(self._levels[level]) == self._fan_in:
            joined, points = self._join(self._levels[level])
            rows, radius, from_leaders = condense(
                points, self._size, self._start, np.arange(len(points)), self._device
            )
            condensed = joined.take(
                rows[len(self._start) :],
                joined.radius + radius,
                max(joined.from_leaders, from_leaders),
            )
            del joined, points
            self.add(condensed, level + 1)

    def root(self):
        """Select the memory bank from all that there are."""
        held = [selection for level in self._levels for selection in level]
        self._levels.clear()
        joined, points = self._join(held)
        rows, radius = greedy_coreset(points, self._size, self._start, None, self._device)
        bound = max(radius, min(joined.from_leaders, joined.radius + radius))
        return joined.take(rows, bound, joined.from_leaders)

    def _join(self, selections):
        """One of the leaders and of selections, which are removed from their list; its points."""
        patches, source, radii, from_leaders = zip(self._leaders, *selections, strict=True)
        selections.clear()
        patches = np.concatenate(patches)
        joined = PartSelection(patches, np.concatenate(source), max(radii), max(from_leaders))
        return joined, project_rows(patches, self._components)


def condense(points, size, start, rows, device):
    """Select what stands for points: greedily, and those that are farthest from the leaders.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    size : int
        Of the memory bank.
    start : int or ndarray
        Rows of the leaders, or of the first of them, which are selected then.
    rows : ndarray of shape (m,)
        Rows that take part.
    device : str

    Returns
    -------
    selected : ndarray
        Rows, first those of the leaders.
    radius, from_leaders : float
        As in `PartSelection`.
    """
    half = n_leaders(size)
    picks, radius = greedy_coreset(points, 2 * half, start, rows, device)
    leaders = points[picks[: half if np.ndim(start) == 0 else len(start)]]
    rows = rows[~np.isin(rows, picks)]
    search = ExactNeighbors(device=device).fit(leaders)
    distances = np.empty(len(rows))
    for first in range(0, len(rows), _BLOCK):
        block = slice(first, first + _BLOCK)
        distances[block] = search.kneighbors(points[rows[block]])[0][:, 0]
    order = np.argsort(-distances, kind="stable")
    left = distances[order[2 * half :]]
    return np.r_[picks, rows[order[: 2 * half]]], radius, left[0] if len(left) else 0.0


def n_leaders(size):
    """Number of leaders."""
    return max(1, size // 2)
