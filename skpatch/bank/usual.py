# SPDX-License-Identifier: BSD-3-Clause
"""What is usual at each place: the distance of a patch that is unusual there counts for more."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.stats import trim_mean

from ..runtime.products import products
from ..runtime.threads import run_blocks

__all__ = ["LEAST_SQUARE", "UsualPatches", "counted_patches"]

# Of the mean variance along all axes at the place, and at all places: little of it along an axis,
# or at a place that is the same in all images, is no reason to take the least change for a defect.
_OF_PLACE, _OF_ALL = 0.1, 0.1
# Share of the places with the largest, and of those with the least variance that do not count.
_TRIMMED = 0.1
# A patch that is like the mean counts for at least so much.
LEAST_SQUARE = 1e-4
# Relative precision of coordinates, and so of means.
_PRECISION = np.finfo(np.float16).eps / 2
# Patches at a place below which nothing is known of it.
_LEAST_COUNT = 10
# Places of a block.
_PLACES = 64


def counted_patches(kept, accused, trusted, inspected):
    """Inspected patches (n, p) that say what is usual: no noise, and of images that are trusted.

    Of all patches (n, h, w) those that were kept and those accused, trusted images (n,), and
    inspected places (h, w).
    """
    return (kept & ~accused & trusted[:, np.newaxis, np.newaxis])[:, inspected]


@dataclass(frozen=True, eq=False)
class UsualPatches:
    """Normal distributions along some axes, one for each of the p places of an image's patches.

    The distances from their means say, independently of the nearest memory patch, how unusual a
    patch is: as in Defard et al., "PaDiM: a patch distribution modeling framework for anomaly
    detection and localization", 2021, but with variances only. A patch may be usual at its place
    or at one beside it, since a camera moves a little. An image that the distributions were taken
    from is compared with what the others leave.

    Attributes
    ----------
    axes : ndarray of shape (d, k), float32
        From patches to their coordinates.
    shift : ndarray of shape (k,), float32
        What coordinates are less than patches along the axes.
    coordinates : ndarray of shape (j, p, k), floating
        Of patches of some images.
    images : ndarray of shape (j,), int64
        Numbers of these images, ascending.
    is_counted : ndarray of shape (j, p), bool
        Their patches that the distributions are of.
    inspected : ndarray of shape (h, w), bool
        The p places.
    """

    axes: np.ndarray
    shift: np.ndarray
    coordinates: np.ndarray
    images: np.ndarray
    is_counted: np.ndarray
    inspected: np.ndarray

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
            The root of the distance from the nearest mean, in standard deviations.
        """
        from ..distances.kernels import nearest_means

        squares = np.empty(patches.shape[:2])
        places = np.arange(len(self.beside)) if places is None else places
        places = np.broadcast_to(places, squares.shape)
        known = self.known

        def measure(start, stop):
            for image in range(start, stop):
                points = products(np.require(patches[image], requirements="W"), self.axes)
                distributions = known if own is None else self._without(own[image])
                beside = self.beside[places[image]]
                nearest_means(points, beside, *distributions, squares[image])

        run_blocks(measure, len(patches), 1)
        return np.where(np.isinf(squares), 1.0, np.maximum(squares, LEAST_SQUARE)) ** 0.25

    @cached_property
    def beside(self):
        """Numbers (p, 9) of the places around each, and its own also where there is none."""
        numbers = np.full(np.add(self.inspected.shape, 2), -1)
        own = np.arange(np.count_nonzero(self.inspected))
        numbers[1:-1, 1:-1][self.inspected] = own
        around = np.lib.stride_tricks.sliding_window_view(numbers, (3, 3))[self.inspected]
        around = around.reshape(len(own), 9)
        return np.where(around >= 0, around, own[:, np.newaxis])

    @cached_property
    def known(self):
        """Means (p, k), float32, and what squared distances are multiplied with, (p, k), float64.

        Zeros where too little is known of a place.
        """
        means, variances = self._moments
        return (means + self.shift).astype(np.float32), self._shares(variances)

    @cached_property
    def _moments(self):
        """Means and variances (p, k), float64, of coordinates."""
        means = np.empty(self.coordinates.shape[1:])
        variances = np.empty_like(means)

        def measure(start, stop):
            some = self.coordinates[:, start:stop].astype(np.float64)
            counted, count = self.is_counted[:, start:stop], self._counts[start:stop]
            means[start:stop] = np.einsum("jpk,jp->pk", some, counted) / count
            squares = np.square(some - means[start:stop])
            variances[start:stop] = np.einsum("jpk,jp->pk", squares, counted) / (count - 1)

        run_blocks(measure, len(means), _PLACES)
        return means, variances

    @cached_property
    def _counts(self):
        """Number of patches (p, 1) at each place, at least 3."""
        return np.maximum(self.is_counted.sum(axis=0), 3)[:, np.newaxis]

    @cached_property
    def _least_spread(self):
        """What all variances get, whatever a few places show in some image."""
        means, variances = self._moments
        of_all = _OF_ALL * trim_mean(variances.mean(axis=1), _TRIMMED)
        return of_all + np.square(_PRECISION * np.abs(means).max())

    def _without(self, number):
        """As `known`, without the image of that number."""
        row = np.searchsorted(self.images, number)
        if row == len(self.images) or self.images[row] != number:
            return self.known
        n, (means, variances) = self._counts, self._moments
        gaps = np.where(self.is_counted[row][:, np.newaxis], self.coordinates[row] - means, np.nan)
        left = ((n - 1) * variances - n / (n - 1) * np.square(gaps)) / (n - 2)
        left = np.where(np.isnan(gaps), variances, np.maximum(left, 0))
        means = means - np.nan_to_num(gaps) / (n - 1)
        return (means + self.shift).astype(np.float32), self._shares(left)

    def _shares(self, variances):
        """What squared distances are multiplied with, (p, k), from variances."""
        spreads = variances + _OF_PLACE * variances.mean(axis=1, keepdims=True) + self._least_spread
        is_known = (self._counts >= _LEAST_COUNT) & (spreads.min(axis=1, keepdims=True) > 0)
        return np.where(is_known, 1 / np.where(is_known, spreads, 1) / spreads.shape[1], 0)
