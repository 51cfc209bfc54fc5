# SPDX-License-Identifier: BSD-3-Clause
"""What is usual at each place: the distance of a patch that is unusual there counts for more."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..runtime.products import products
from ..runtime.threads import run_blocks

__all__ = ["LEAST_SQUARE", "UsualPatches"]

# Of the mean variance along all axes at the place, and at all places: little of it along an axis,
# or at a place that is the same in all images, is no reason to take the least change for a defect.
_OF_PLACE, _OF_ALL = 0.1, 0.1
# A patch that is like the mean counts for at least so much.
LEAST_SQUARE = 1e-4
# Patches at a place below which nothing is known of it.
_LEAST_COUNT = 10
_PLACES = 64


@dataclass(frozen=True, eq=False)
class UsualPatches:
    """Normal distributions along some axes, one for each of the p places of an image's patches.

    The distances from their means say, independently of the nearest memory patch, how unusual a
    patch is: as in Defard et al., "PaDiM: a patch distribution modeling framework for anomaly
    detection and localization", 2021, but with variances only. An image that they were taken from
    is compared with what the others leave.

    Attributes
    ----------
    axes : ndarray of shape (d, k), float32
        From patches to their coordinates.
    means : ndarray of shape (p, k), float32
    variances : ndarray of shape (p, k), float32
    images : ndarray of shape (j,), int64
        Numbers of the images that these are of, ascending.
    is_counted : ndarray of shape (j, p), bool
        Their patches that these are of.
    """

    axes: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    images: np.ndarray
    is_counted: np.ndarray

    @classmethod
    def of(cls, coordinates, images, is_counted, axes, shift):
        """Those of some patches of images.

        Parameters
        ----------
        coordinates : ndarray of shape (j, p, k), floating
        images : ndarray of shape (j,), int64
        is_counted : ndarray of shape (j, p), bool
        axes : ndarray of shape (d, k), float32
        shift : ndarray of shape (k,), float32
            What coordinates are less than patches along the axes.
        """
        counts = is_counted.sum(axis=0)
        means = np.empty(coordinates.shape[1:], np.float32)
        variances = np.empty_like(means)

        def measure(start, stop):
            some, counted = coordinates[:, start:stop].astype(np.float64), is_counted[:, start:stop]
            count = np.maximum(counts[start:stop, np.newaxis], 2)
            mean = np.einsum("jpk,jp->pk", some, counted) / count
            squares = np.square(some - mean)
            means[start:stop] = mean + shift
            variances[start:stop] = np.einsum("jpk,jp->pk", squares, counted) / (count - 1)

        run_blocks(measure, len(means), _PLACES)
        return cls(axes, means, variances, images, is_counted)

    def after(self, components):
        """The same for patches that components (d', d), or None, bring to those of before."""
        return self if components is None else replace(self, axes=products(components, self.axes))

    def weights(self, patches, own=None, places=None):
        """What distances of patches are multiplied with: about 1 for usual ones.

        Parameters
        ----------
        patches : ndarray of shape (n, q, d), float32
        own : ndarray of shape (n,), int64, optional
            Numbers of the images; -1 for others.
        places : ndarray of shape (q,) or (n, q), int64, optional
            Those of the patches; all of them by default.

        Returns
        -------
        ndarray of shape (n, q), float64
            The root of the distance from the mean, in standard deviations.
        """
        weights = np.empty(patches.shape[:2])
        if places is not None:
            places = np.broadcast_to(places, patches.shape[:2])

        def weigh(start, stop):
            for image in range(start, stop):
                at = slice(None) if places is None else places[image]
                weights[image] = self._weigh(patches[image], at, -1 if own is None else own[image])

        run_blocks(weigh, len(patches), 1)
        return weights

    @cached_property
    def counts(self):
        """Number of patches (p,) at each place."""
        return self.is_counted.sum(axis=0)

    @cached_property
    def is_known(self):
        """Places (p,) of which enough is known: others have weights of 1."""
        return (self.counts >= _LEAST_COUNT) & (self.spreads.min(axis=1) > 0)

    @cached_property
    def spreads(self):
        """Variances (p, k), float64, that distances are measured by."""
        return self._spread(self.variances.astype(np.float64))

    def _spread(self, variances):
        of_all = _OF_ALL * self.variances.mean(dtype=np.float64)
        return variances + _OF_PLACE * variances.mean(axis=1, keepdims=True) + of_all

    def _weigh(self, patches, places, own):
        """Weights (q,) of patches (q, d) at places, of an image with that number or -1."""
        gaps = products(np.require(patches, requirements="W"), self.axes) - self.means[places]
        squares, spreads = np.square(gaps, dtype=np.float64), self.spreads[places]
        row = np.searchsorted(self.images, own)
        if row < len(self.images) and self.images[row] == own:
            # What is left without it.
            n = np.maximum(self.counts[places], 3)[:, np.newaxis]
            is_own = self.is_counted[row][places][:, np.newaxis]
            left = ((n - 1) * self.variances[places] - n / (n - 1) * squares) / (n - 2)
            spreads = np.where(is_own, self._spread(np.maximum(left, 0)), spreads)
            squares = np.where(is_own, np.square(n / (n - 1)) * squares, squares)
        known = self.is_known[places]
        square = np.mean(squares / np.where(known[:, np.newaxis], spreads, 1), axis=1)
        return np.where(known, np.maximum(square, LEAST_SQUARE), 1.0) ** 0.25
