# SPDX-License-Identifier: BSD-3-Clause
"""The search for the nearest memory patches, as products that every program has."""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..bank.bank import OF_SQUARES
from ..bank.usual import LEAST_SQUARE

__all__ = ["BankSearch"]

# Memory patches that are compared with at a time: the distances stay in a core's cache. Of 128 to
# 4,096 it was the fastest, with 20,000 memory patches.
_BLOCK = 256
# The bank is searched up to these shares, and what cannot be among the worst is left out between.
_SHARES = (1 / 8, 1 / 4, 1 / 2, 1)
# Squared distance from what is not known, in variances; no patch is as far from anything else.
_FAR = 1e30
# Patches with the largest bounds, which are compared with the whole bank at once.
_LEADERS = 32


class BankSearch(nn.Module):
    """Scores of patches by all memory patches of a MemoryBank."""

    def __init__(self, bank):
        super().__init__()
        rule = bank.rule
        self._n_neighbors = min(rule.n_neighbors, len(bank.patches))
        self._metric = rule.metric
        self._is_plain = self._n_neighbors == 1 and (bank.weights == 1).all()
        # |a - b|^2 as a product, which cancels less around the centre: that of most patches, not of
        # the few that may be far from all others.
        centre = np.median(bank.patches, axis=0).astype(np.float64)
        rows = bank.patches - centre
        squares = np.square(rows).sum(axis=1, keepdims=True)
        factors = np.hstack([-2 * rows, squares, np.ones_like(squares)]).astype(np.float32)
        reaches = np.square(bank.reaches).astype(np.float32)
        self._has_reaches = reaches.any()
        self.register_buffer("centre", torch.from_numpy(centre.astype(np.float32)))
        self.register_buffer("weights", torch.from_numpy(bank.weights.astype(np.float32)))
        self._knows_usual = bank.usual is not None
        if self._knows_usual:
            self._take_usual(bank.usual)
        self._starts = range(0, len(rows), _BLOCK)
        self._parts = self._split()
        for start in self._starts:
            block = slice(start, start + _BLOCK)
            factor = torch.from_numpy(factors[block].T.copy())
            self.register_buffer(f"factors_{start}", factor)
            self.register_buffer(f"reaches_{start}", torch.from_numpy(reaches[block].copy()))

    def forward(self, patches):
        """Scores (n, p) of patches (n, p, d)."""
        patches = self._unit(patches)
        found = self._nearest(self._queries(patches), self._starts)
        return self._scores(found).reshape(patches.shape[:2]) * self._factors(patches)

    def worst(self, patches, n_worst):
        """The largest scores (n, n_worst) of patches (n, p, d) of each image, descending.

        Distances to a part of the bank bound scores from above. The patches with the largest bounds
        are compared with all of it at once, and others part by part, as long as they may be worse.
        """
        patches = self._unit(patches)
        n_images, n_patches, _ = patches.shape
        factors, queries = self._factors(patches).reshape(-1), self._queries(patches)
        found = self._nearest(queries, self._parts[0])
        bounds = factors * self._bounds(found)
        n_leaders = min(max(_LEADERS, n_worst), n_patches)
        leaders = torch.topk(bounds.reshape(n_images, n_patches), n_leaders, dim=1).indices
        leaders = (leaders + torch.arange(n_images)[:, None] * n_patches).reshape(-1)
        scores = self._scores(self._nearest(queries.index_select(0, leaders), self._starts))
        scores = factors.index_select(0, leaders) * scores
        least = torch.topk(scores.reshape(n_images, -1), n_worst, dim=1).values[:, -1:]
        bounds = bounds.scatter(0, leaders, scores)
        limits = least.expand(n_images, n_patches).reshape(-1)
        left = torch.arange(n_images * n_patches)
        for part in self._parts[1:]:
            worse = torch.nonzero(bounds.index_select(0, left) > limits.index_select(0, left))
            left, queries, factors, *found = (
                one.index_select(0, worse.squeeze(1)) for one in (left, queries, factors, *found)
            )
            found = self._joined([found, self._nearest(queries, part)])
            bounds = bounds.scatter(0, left, factors * self._bounds(found))
        # Of those that are left all is known by now; all others are not among the worst.
        bounds = bounds.scatter(0, left, factors * self._scores(found))
        return torch.topk(bounds.reshape(n_images, n_patches), n_worst, dim=1).values

    def _split(self):
        """Blocks of each part of the bank; the first part has as many patches as are averaged."""
        n_blocks = len(self._starts)
        ends = [math.ceil(share * n_blocks) for share in _SHARES]
        ends = np.unique(np.maximum(ends, math.ceil(self._n_neighbors / _BLOCK)))
        return [self._starts[first:end] for first, end in pairwise([0, *ends])]

    def _take_usual(self, usual):
        """Keep what is usual at each place; of what is not known, factors are 1."""
        means, shares = usual.known
        unknown = np.where(shares[:, 0] > 0, 0, _FAR)
        self.register_buffer("axes", torch.from_numpy(usual.axes))
        self.register_buffer("means", torch.from_numpy(means))
        self.register_buffer("shares", torch.from_numpy(shares.astype(np.float32)))
        self.register_buffer("unknown", torch.from_numpy(unknown.astype(np.float32)))
        self.register_buffer("beside", torch.from_numpy(np.ascontiguousarray(usual.beside.T)))

    def _factors(self, patches):
        """What scores of patches (n, p, d) are multiplied with, (n, p)."""
        if not self._knows_usual:
            return torch.ones(patches.shape[:2])
        points = patches @ self.axes
        squares = torch.stack([self._squares(points, places) for places in self.beside]).amin(dim=0)
        squares = torch.where(squares < _FAR, torch.clamp(squares, min=LEAST_SQUARE), 1.0)
        return torch.sqrt(torch.sqrt(squares))

    def _squares(self, points, places):
        """Squared distances (n, p) of points (n, p, k) from the means at some places (p,)."""
        means, shares = (one.index_select(0, places) for one in (self.means, self.shares))
        squares = ((points - means).square() * shares).sum(dim=2)
        return squares + self.unknown.index_select(0, places)

    def _unit(self, patches):
        return functional.normalize(patches, dim=2) if self._metric == "cosine" else patches

    def _queries(self, patches):
        """Patches (n, p, d) as rows (n * p, d + 2) to be multiplied with the factors."""
        patches = patches.reshape(-1, patches.shape[-1]) - self.centre
        squares = patches.square().sum(dim=1, keepdim=True)
        return torch.cat([patches, torch.ones_like(squares), squares], dim=1)

    def _nearest(self, queries, starts):
        """Squared distances (m, k) to the nearest of some blocks, and their rows unless plain."""
        return self._joined([self._nearest_of_block(queries, start) for start in starts])

    def _nearest_of_block(self, queries, start):
        squared = queries @ getattr(self, f"factors_{start}")
        if self._has_reaches:
            squared = torch.maximum(squared, getattr(self, f"reaches_{start}"))
        if self._is_plain:
            return [squared.amin(dim=1, keepdim=True)]
        n_neighbors = min(self._n_neighbors, squared.shape[1])
        squared, rows = torch.topk(squared, n_neighbors, dim=1, largest=False)
        return [squared, rows + start]

    def _joined(self, found):
        """The nearest of several that were found."""
        squared, *rows = (torch.cat(ones, dim=1) for ones in zip(*found, strict=True))
        if self._is_plain:
            return [squared.amin(dim=1, keepdim=True)]
        n_neighbors = min(self._n_neighbors, squared.shape[1])
        squared, order = torch.topk(squared, n_neighbors, dim=1, largest=False)
        return [squared, torch.gather(rows[0], 1, order)]

    def _scores(self, found):
        """Scores (m,) from the nearest of all memory patches."""
        distances = self._measured(found[0])
        if not self._is_plain:
            distances = self.weights[found[1]] * distances
        return distances.mean(dim=1)

    def _bounds(self, found):
        """What scores (m,) are at most, from the nearest of some memory patches."""
        return (self.weights.max() * self._measured(found[0])).mean(dim=1)

    def _measured(self, squared):
        """Distances of the metric from squares that rounding may have made negative."""
        squared = torch.clamp(squared, min=0.0)
        factor = OF_SQUARES.get(self._metric)
        return torch.sqrt(squared) if factor is None else factor * squared
