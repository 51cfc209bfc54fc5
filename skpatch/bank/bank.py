# SPDX-License-Identifier: BSD-3-Clause
"""The memory bank: patches that stand for what is normal, and scores by the nearest of them."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..distances.exact import ExactNeighbors
from ..distances.search import on_device
from ..runtime.devices import accelerator
from .places import Places
from .usual import UsualPatches
from .worst import worst_patches

__all__ = ["OF_SQUARES", "MemoryBank", "ScoringRule", "average_worst"]

# Patches of an image below which looking for the worst ones first does not pay.
_LEAST_GRID = 32
# What squared distances are multiplied with.
OF_SQUARES = {"sqeuclidean": 1.0, "cosine": 0.5}


class ScoringRule(NamedTuple):
    """How distances become scores.

    Attributes
    ----------
    n_neighbors : int
        Memory patches whose weighted distances are averaged for a patch.
    metric : {"euclidean", "sqeuclidean", "cosine"}
        The distance, its square, or half of its square, which for patches of unit length is one
        minus their cosine.
    n_worst : int
        Worst patches whose scores are averaged for an image.
    peak_share : float
        Share of the worst patch's score that an image scores at least.
    """

    n_neighbors: int
    metric: str
    n_worst: int
    peak_share: float = 0.0


@dataclass(frozen=True, eq=False)
class MemoryBank:
    """Memory patches, what each of them counts, and the search for the nearest.

    Parameters
    ----------
    patches : ndarray of shape (m, d), float32
    source : ndarray of shape (m, 3), int64
        Image, row and column.
    weights : ndarray of shape (m,), float64
        What distances to each of them are multiplied with.
    reaches : ndarray of shape (m,), float64
        Least distance at which each of them counts.
    search : object
        Fitted neighbour search of `patches` with these `reaches`.
    rule : ScoringRule
    usual : UsualPatches or None
        What is usual at each place, by which scores of patches are weighted too.
    """

    patches: np.ndarray
    source: np.ndarray
    weights: np.ndarray
    reaches: np.ndarray
    search: Any
    rule: ScoringRule
    usual: UsualPatches | None = None

    def on(self, device):
        """The same bank, searched on a device."""
        return replace(self, search=on_device(self.search, device))

    def score_images(self, patches, own=None, description="scoring", n_spare=0):
        """Score images by the worst of their patches.

        Parameters
        ----------
        patches : ndarray of shape (n, h, w, d), float32
        own : ndarray of shape (n,), int64, optional
            Numbers of the images; they are not compared with memory patches of their own. -1 for
            an image that is compared with all.
        description : str, optional
            Name of the progress bar.
        n_spare : int
            Number of patches that are wanted of each image beside the worst ones: the next ones,
            or nearly.

        Returns
        -------
        scores : ndarray of shape (n,), float64
            High = anomalous; inf where no memory patch is left to compare with.
        rows : ndarray of shape (n, q), int64
            The patches that have the worst scores.
        """
        n_images, height, width, _ = patches.shape
        n_worst = self.rule.n_worst
        if not self._has_tree or height * width < _LEAST_GRID:
            scores = self.score_patches(patches, own, description).reshape(n_images, -1)
            rows = np.argsort(-scores, axis=1, kind="stable")[:, : n_worst + n_spare]
            return average_worst(scores, n_worst, self.rule.peak_share), rows
        scores, rows = worst_patches(
            self.search,
            self._places,
            patches,
            self._n_neighbors,
            self._weigh,
            self._bound,
            self._harmless,
            self.weights,
            self._factors(patches, own),
            n_worst,
            n_spare,
            None if own is None else (own, self.source[:, 0]),
            description,
        )
        return average_worst(scores, n_worst, self.rule.peak_share), rows

    def score_patches(self, patches, own=None, description="scoring", places=None):
        """Score patches: (n, h, w), high = anomalous; parameters as for :meth:`score_images`.

        `places`, (h * w,) or (n, h * w), are those of the patches, where they are not all of an
        image's.
        """
        distances, rows = self.nearest(patches, self._n_neighbors, own, description)
        scores = self._weigh(distances, self.weights[rows]).reshape(patches.shape[:3])
        return scores * self._factors(patches, own, places).reshape(scores.shape)

    def bound_patches(self, patches, own=None, places=None):
        """Scores of patches (n, h, w) are at most these; see :meth:`score_patches`."""
        if not self._has_tree:
            return self.score_patches(patches, own, None, places)
        distances, _ = self.search.near(*self._queries(patches, self._n_neighbors, own))
        bounds = self._bound(distances).reshape(patches.shape[:3])
        return bounds * self._factors(patches, own, places).reshape(bounds.shape)

    def nearest(self, patches, n_neighbors=1, own=None, description=None):
        """Distances (n * h * w, k) of patches to the nearest memory patches, and these, by row."""
        return self.search.kneighbors(*self._queries(patches, n_neighbors, own), description)

    def _queries(self, patches, n_neighbors, own):
        """Patches, number of neighbours, and what they are not compared with, for a search."""
        excluded = None
        if own is not None:
            own = np.broadcast_to(own[:, np.newaxis, np.newaxis], patches.shape[:3]).ravel()
            excluded = own, self.source[:, 0]
        return patches.reshape(-1, patches.shape[-1]), n_neighbors, excluded

    def _factors(self, patches, own=None, places=None):
        """What scores of patches (n, h * w) are multiplied with."""
        flat = patches.reshape(len(patches), -1, patches.shape[-1])
        if self.usual is None:
            return np.ones(flat.shape[:2])
        return self.usual.weights(flat, own, places)

    @cached_property
    def _places(self):
        return Places.of(self.source)

    @property
    def _has_tree(self):
        """Whether the search gives bounds, as the exact one on the CPU does."""
        return isinstance(self.search, ExactNeighbors) and not accelerator(self.search.device)

    @property
    def _n_neighbors(self):
        return min(self.rule.n_neighbors, len(self.patches))

    def _weigh(self, distances, weights):
        """Scores (m,) from distances (m, k), inf for a missing neighbour, and their weights."""
        found = np.isfinite(distances)
        if self.rule.metric != "euclidean":
            distances = OF_SQUARES[self.rule.metric] * np.square(distances)
        weighted = np.where(found, weights * distances, 0)
        scores = weighted.sum(axis=1) / np.maximum(found.sum(axis=1), 1)
        scores[~found[:, 0]] = np.inf
        return scores

    def _bound(self, distances):
        """Scores (m,) are at most these, from distances (m, k) of some neighbours, inf for none."""
        bounds = self._weigh(distances, self.weights.max())
        bounds[np.isinf(distances[:, -1])] = np.inf
        return bounds

    def _harmless(self, score):
        """Squared distance of the farthest neighbour up to which no patch has a higher score."""
        distance = score / self.weights.max()
        if self.rule.metric == "euclidean":
            return np.square(distance)
        return distance / OF_SQUARES[self.rule.metric]


def average_worst(scores, n_worst, peak_share):
    """Scores of images (n,), high = anomalous, from those of their patches (n, ...).

    The mean of the worst ones, as :class:`ScoringRule` says. NaN stands for patches that are not
    inspected.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores).reshape(len(scores), -1)
    worst = np.sort(scores, axis=1)[:, -n_worst:]
    means = worst.mean(axis=1)
    # Where nothing is left to compare with, scores are infinite, and 0 times that is NaN.
    return np.maximum(means, peak_share * worst[:, -1]) if peak_share else means
