# SPDX-License-Identifier: BSD-3-Clause
"""Images that are asked for support: coordinates of their patches, and the nearest of these."""

import copy
from typing import NamedTuple

import numpy as np

from ..bank.usual import UsualPatches
from ..distances.scaling import LowerBounds, Scaling, inner_products
from ..runtime.products import products
from ..runtime.threads import progress, run_blocks
from .finding import NoiseFinding

__all__ = ["Jury", "JuryVerdict", "jury_of", "some_of"]

# Images beyond which a random selection of them is asked for support: time grows linearly then.
# Which they are follows from their numbers, so images may come one after the other.
_JURY = 256
# Of these, images that places are compared with, and that a verdict is found by.
_REFERENCE = 100
# Principal axes in which support is measured; among solar cells, distances along 64 of 152 are
# 0.85 (0.79 to 0.9) of the distances, which is precise enough to compare them.
_AXES = 64
_SAMPLE = 5000
# Of these, the axes along which products bound distances from below; rows and memory patches of one
# product.
_BOUND_AXES = 24
_ROWS = 6272
_BLOCK = 128
# Coordinates are kept as float16, a 2,000th of their size; beyond this they would be infinite.
_LARGEST = np.float32(6e4)
# In a file: j images of g patches with x coordinates along axes in a space of p dimensions.
_ARRAYS = {
    "images": ("i8", "j"),
    "coordinates": ("f2", "jgx"),
    "shift": ("f4", "1p"),
    "factor": ("f4", "11", np.finfo(np.float32).tiny),
}


def jury_of(images):
    """Images that are asked for support, ascending, among those with the given numbers."""
    return some_of(images, _JURY)


def some_of(images, n):
    """At most n of the images with the given numbers, ascending, whichever others there are."""
    priorities = np.random.RandomState(0).random_sample(images.max() + 1)[images]
    return np.sort(images[np.argsort(priorities)[:n]])


class JuryVerdict(NamedTuple):
    """What a jury of j images has found of the noise.

    Attributes
    ----------
    finding : NoiseFinding
    limit : float
        Score, as of :func:`accuse`, beyond which a patch is accused; inf where none is.
    suspicion : ndarray of shape (j,), float64
        Scores of the images without themselves and without what was accused, high = anomalous;
        relative to the limit of trust, 1, and zeros where none was measured.
    n_neighbors : int
        Of the local outlier factors that the limit is one of.
    scores : ndarray of shape (j, p), float64, or None
        These factors; None where none was measured.
    knows_places : bool
        Whether enough images show the same part at the same place.
    """

    finding: NoiseFinding
    limit: float
    suspicion: np.ndarray
    n_neighbors: int
    scores: np.ndarray | None
    knows_places: bool = False


class Jury:
    """Images that are asked for support: coordinates of their patches, a fraction of the features.

    Parameters
    ----------
    points : ndarray of shape (m, d), float32
        Patches, whose principal axes are taken.

    Attributes
    ----------
    images : ndarray of shape (j,), int64
        Numbers of the images, ascending.
    coordinates : ndarray of shape (j, p, k), float16
        Of all patches of these images.
    verdict : JuryVerdict or None
        What it has found of the noise; None until it was asked.
    axes : ndarray of shape (d, k), float32, or None
        Principal axes; None where the points have no more dimensions.
    """

    def __init__(self, points):
        self._scaling = Scaling(points)
        self.axes = None
        if points.shape[1] > _AXES and len(points) > 1:
            from sklearn.decomposition import PCA

            sample = self._scaling.apply(points[:: -(len(points) // -_SAMPLE)])[0]
            pca = PCA(min(_AXES, len(sample)), svd_solver="covariance_eigh")
            with np.errstate(invalid="ignore"):
                # Its shares of a variance of 0.
                pca.fit(sample)
            self.axes = np.ascontiguousarray(pca.components_.T, np.float32)
        self.images = np.empty(0, np.int64)
        self.coordinates = self.verdict = None

    def pack(self):
        """JSON and arrays that :meth:`unpack` makes the same jury from."""
        arrays = {"images": self.images, "coordinates": self.coordinates}
        arrays.update(shift=self._scaling.shift, factor=self._scaling.factor)
        if self.axes is not None:
            arrays["axes"] = self.axes
        return {"reduced": self.axes is not None}, arrays

    @classmethod
    def unpack(cls, reduced, take, sizes):
        """Make a jury again.

        Parameters
        ----------
        reduced : bool
            Whether it has principal axes.
        take : callable
            From the name of an array, its type and its axes to the array.
        sizes : dict of str to int
            What the letters of axes stand for; those of p and g are known.
        """
        if not reduced:
            sizes["x"] = sizes["p"]
        kinds = {**_ARRAYS, "axes": ("f4", "px")} if reduced else _ARRAYS
        arrays = {name: take(name, *kind) for name, kind in kinds.items()}
        jury = cls.__new__(cls)
        jury._scaling = Scaling.from_arrays(arrays["shift"], arrays["factor"])
        jury.axes = arrays.get("axes")
        jury.images, jury.coordinates = arrays["images"], arrays["coordinates"]
        # The same one is found again, once it is needed.
        jury.verdict = None
        return jury

    @staticmethod
    def n_bytes(n_images, n_patches, n_features):
        """Bytes of the coordinates of a jury among so many images."""
        return len(jury_of(np.arange(n_images))) * n_patches * 2 * min(n_features, _AXES)

    def _with(self, images, coordinates):
        """A jury of other images, along the same axes."""
        if np.array_equal(images, self.images):
            return self
        jury = copy.copy(self)
        jury.images, jury.coordinates, jury.verdict = images, coordinates, None
        return jury

    def concluding(self, verdict):
        """The same jury with a verdict."""
        jury = copy.copy(self)
        jury.verdict = verdict
        return jury

    def joined_by(self, patches, images):
        """A jury that asks images too: their patches (n, h, w, d), and their numbers, ascending."""
        numbers = np.concatenate([self.images, images])
        chosen = np.flatnonzero(np.isin(numbers, jury_of(numbers)))
        n_old, n_patches = len(self.images), patches[0, ..., 0].size
        n_axes = patches.shape[-1] if self.axes is None else self.axes.shape[1]
        coordinates = np.empty((len(chosen), n_patches, n_axes), np.float16)

        def compute(start, stop):
            for row in range(start, stop):
                number = chosen[row]
                if number < n_old:
                    coordinates[row] = self.coordinates[number]
                else:
                    image = patches[number - n_old]
                    coordinates[row] = self._project(image.reshape(n_patches, -1))

        run_blocks(compute, len(chosen), 1)
        return self._with(numbers[chosen], coordinates)

    def without(self, images):
        """A jury that asks images, given by their numbers, no longer."""
        left = ~np.isin(self.images, images)
        return self._with(self.images[left], self.coordinates[left])

    def usual_size(self, points):
        """Median magnitude of scaled points (n, d); those that the scale is of have at most 1."""
        return float(np.median(np.abs(self._scaling.apply(points)[0]).max(axis=1)))

    def _project(self, points):
        """Coordinates (n, k), float16, of points (n, d)."""
        scaled, _ = self._scaling.apply(points)
        if self.axes is not None:
            scaled = products(scaled, self.axes)
        return np.clip(scaled, -_LARGEST, _LARGEST).astype(np.float16)

    def usual(self, is_normal, inspected):
        """What is usual at each place (h, w) that is inspected; see `NoiseDiscriminator.usual`."""
        axes = np.eye(self._scaling.n_features) if self.axes is None else self.axes
        axes = (self._scaling.factor[0, 0] * axes).astype(np.float32)
        shift = products(self._scaling.shift, axes)[0]
        counted = is_normal[self.images]
        return UsualPatches(axes, shift, self.coordinates, self.images, counted, inspected)

    def project(self, points):
        """Coordinates (m, k), float32, of an ndarray or Rows (m, d), block by block."""
        n_axes = self._scaling.n_features if self.axes is None else self.axes.shape[1]
        coordinates = np.empty((len(points), n_axes), np.float32)

        def project(start, stop):
            coordinates[start:stop] = self._project(points[start:stop])

        run_blocks(project, len(points), _ROWS)
        return coordinates

    def reference(self):
        """Numbers (r,) of the images that patches are compared with, and coordinates (r, p, k)."""
        chosen = np.isin(self.images, some_of(self.images, _REFERENCE))
        return self.images[chosen], self.coordinates[chosen]

    def nearest(self, points, source, is_good):
        """Find the nearest good patch of another image for each of some points.

        Parameters
        ----------
        points : ndarray of shape (m, k), float32
            Their coordinates, as of :meth:`project`.
        source : ndarray of shape (m,), int64
            Images of the points.
        is_good : ndarray of shape (j, p), bool
            Patches of the jury.

        Returns
        -------
        distances : ndarray of shape (m,), float64
            Along the axes; inf where there is none.
        places : ndarray of shape (m, 2), int64
            Number of the image, and of the patch in it.
        """
        # In the order of their images, so that a block has few of them to leave out.
        order = np.argsort(source, kind="stable")
        source = source[order]
        queries = points[order]
        bounds = _leading_bounds(queries)
        prepared = queries, *bounds.apply_to_rows(queries, np.arange(len(queries)))
        squared = np.full((len(points), 1), np.inf)
        found = np.zeros((len(points), 1), np.int64)
        n_judges, n_patches, n_axes = self.coordinates.shape
        step = max(1, _ROWS // n_patches)
        with progress(n_judges, "looking for noise") as bar:
            for first in range(0, n_judges, step):
                some = slice(first, first + step)
                rows = self.coordinates[some].reshape(-1, n_axes).astype(np.float32)
                images = np.repeat(self.images[some], n_patches)
                good = is_good[some].reshape(-1)
                _improve(
                    prepared, source, rows, images, good, first * n_patches, bounds, squared, found
                )
                bar.update(len(images) // n_patches)
        places = np.zeros((len(points), 2), np.int64)
        judge, places[order, 1] = np.divmod(found[:, 0], n_patches)
        places[order, 0] = self.images[judge]
        distances = np.empty(len(points))
        distances[order] = np.sqrt(self._scaling.unit * squared[:, 0])
        return distances, places


def _leading_bounds(points):
    """Lower bounds of distances along principal axes, from the first of them."""
    n_axes = points.shape[1]
    scaling = Scaling(points)
    axes = np.eye(n_axes, _BOUND_AXES, dtype=np.float32) if n_axes > 2 * _BOUND_AXES else None
    return LowerBounds.from_arrays(scaling.shift, scaling.factor, axes)


def _improve(prepared, query_groups, rows, groups, is_good, offset, bounds, squared, found):
    """Improve the nearest good rows of other groups, (m, 1), by some more (r, k), in place."""
    from ..distances.kernels import exclude, nearest_rows

    coordinates, halves = bounds.apply_to_rows(rows, np.arange(len(rows)))
    tolerance = bounds.tolerance(prepared[2], halves.max())
    # Farther than anything.
    halves[~is_good] = np.inf
    reaches, order = np.zeros(len(rows)), np.arange(len(rows))

    def improve(start, stop):
        block = slice(start, stop)
        queries, query_coordinates, query_halves = (array[block] for array in prepared)
        products = inner_products(query_coordinates, coordinates)
        exclude(products, query_groups[block], groups)
        nearest_rows(
            products,
            queries,
            rows,
            reaches,
            order,
            offset,
            halves,
            query_halves,
            tolerance[block],
            bounds.unit,
            squared[block],
            found[block],
        )

    run_blocks(improve, len(squared), _BLOCK)
