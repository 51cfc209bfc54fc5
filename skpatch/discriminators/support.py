# SPDX-License-Identifier: BSD-3-Clause
"""Which memory patches are noise: those that no trustworthy other image has anything like."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm
from sklearn.decomposition import PCA

from ..distances.scaling import LowerBounds, Scaling, inner_products
from ..runtime.threads import progress, run_blocks

__all__ = ["Jury", "Support", "distance_ratios", "jury_of", "measure_support"]

# The values below were chosen on photographs of solar cells, aligned and not, ball screws and
# cookies with 0, 10, 20 and 40 % of defective images; docs/robustness.rst has the others tried.

# Robust standard deviations above the centre of the images' log scores at which trust ends.
# Some normal images are beyond it, but hardly any beyond the second limit: the share of the images
# there, less that of a normal distribution, is the estimated share of noise.
_CUT = 1.75
_NOISE_CUT = 2.5
# Images beyond which a random selection of them is asked for support: time grows linearly then.
# Which they are follows from their numbers, so images may come one after the other.
_JURY = 256
_ROUNDS = 10
# Fewer scored images say nothing about what is usual.
_LEAST_IMAGES = 5
# Principal axes in which support is measured; among solar cells, distances along 64 of 152 are
# 0.85 (0.79 to 0.9) of the distances, which is precise enough to compare them.
_AXES = 64
_SAMPLE = 5000
# Of these, the axes along which products bound distances from below; nearest patches found for a
# memory patch at once, so that there is another when an image is not trusted; and rows and memory
# patches of one product.
_BOUND_AXES = 24
_WITNESSES = 4
_ROWS = 6272
_BLOCK = 128
# Coordinates are kept as float16, a 2,000th of their size; beyond this they would be infinite.
_LARGEST = np.float32(6e4)


class Support(NamedTuple):
    """How well other images support the memory patches, and which images can be trusted.

    Attributes
    ----------
    distances : ndarray of shape (m,), float64
        Distance of each memory patch to the nearest patch of a trusted other image, along the
        principal axes.
    places : ndarray of shape (m, 2), int64
        The image of that patch, and its number there.
    limit : float
        Distance from which on a memory patch counts as noise.
    is_trusted : ndarray of shape (n,), bool
        False for images with a patch that trusted images do not support.
    noise_ratio : float
        Share of the images that are beyond what is usual.
    """

    distances: np.ndarray
    places: np.ndarray
    limit: float
    is_trusted: np.ndarray
    noise_ratio: float


def jury_of(images):
    """Images that are asked for support, ascending, among those with the given numbers."""
    priorities = np.random.RandomState(0).random_sample(images.max() + 1)[images]
    return np.sort(images[np.argsort(priorities)[:_JURY]])


class Jury:
    """Images that are asked for support: coordinates of their patches, a fraction of the features.

    Parameters
    ----------
    points : ndarray of shape (m, d), float32
        Memory patches, whose principal axes are taken.

    Attributes
    ----------
    images : ndarray of shape (j,), int64
        Numbers of the images, ascending.
    coordinates : ndarray of shape (j, p, k), float16
        Of all patches of these images.
    axes : ndarray of shape (d, k), float32, or None
        Principal axes; None where the points have no more dimensions.
    """

    def __init__(self, points):
        self._scaling = Scaling(points)
        self.axes = None
        if points.shape[1] > _AXES and len(points) > 1:
            sample = self._scaling.apply(points[:: -(len(points) // -_SAMPLE)])[0]
            pca = PCA(min(_AXES, len(sample)), svd_solver="covariance_eigh")
            with np.errstate(invalid="ignore"):
                # Its shares of a variance of 0.
                pca.fit(sample)
            self.axes = np.ascontiguousarray(pca.components_.T, np.float32)
        self.images = np.empty(0, np.int64)
        self.coordinates = None

    def arrays(self):
        """Return the arrays that :meth:`from_arrays` makes the same jury from."""
        scaling = {"shift": self._scaling.shift, "factor": self._scaling.factor}
        axes = {} if self.axes is None else {"axes": self.axes}
        return {"images": self.images, "coordinates": self.coordinates, **scaling, **axes}

    @classmethod
    def from_arrays(cls, images, coordinates, shift, factor, axes=None):
        """Make a jury again."""
        jury = cls.__new__(cls)
        jury._scaling, jury.axes = Scaling.from_arrays(shift, factor), axes
        jury.images, jury.coordinates = images, coordinates
        return jury

    def add(self, patches, images):
        """Ask images too: their patches (n, h, w, d), and their numbers, ascending."""
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
        self.images, self.coordinates = numbers[chosen], coordinates

    def remove(self, images):
        """Ask images, given by their numbers, no longer."""
        left = ~np.isin(self.images, images)
        self.images, self.coordinates = self.images[left], self.coordinates[left]

    def _project(self, points):
        """Coordinates (n, k), float16, of points (n, d)."""
        import torch

        scaled, _ = self._scaling.apply(points)
        if self.axes is not None:
            scaled = torch.mm(torch.from_numpy(scaled), torch.from_numpy(self.axes)).numpy()
        return np.clip(scaled, -_LARGEST, _LARGEST).astype(np.float16)

    def project(self, points):
        """Coordinates (m, k), float32, of an ndarray or Rows (m, d), block by block."""
        n_axes = self._scaling.n_features if self.axes is None else self.axes.shape[1]
        coordinates = np.empty((len(points), n_axes), np.float32)

        def project(start, stop):
            coordinates[start:stop] = self._project(points[start:stop])

        run_blocks(project, len(points), _ROWS)
        return coordinates

    def nearest(self, points, source, is_trusted):
        """Find the nearest patches of trusted other images for each of some points.

        Parameters
        ----------
        points : ndarray of shape (m, k), float32
            Their coordinates, as of :meth:`project`.
        source : ndarray of shape (m,), int64
            Images of the points.
        is_trusted : ndarray of shape (n,), bool
            By number of the image.

        Returns
        -------
        distances : ndarray of shape (m, q), float64
            Along the axes, ascending; inf where there is none.
        places : ndarray of shape (m, q, 2), int64
            Number of the image, and of the patch in it.
        """
        # In the order of their images, so that a block has few of them to leave out.
        order = np.argsort(source, kind="stable")
        source = source[order]
        queries = points[order]
        bounds = _leading_bounds(queries)
        prepared = queries, *bounds.apply_to_rows(queries, np.arange(len(queries)))
        squared = np.full((len(points), _WITNESSES), np.inf)
        found = np.zeros((len(points), _WITNESSES), np.int64)
        judges = np.flatnonzero(is_trusted[self.images])
        n_patches = self.coordinates.shape[1]
        step = max(1, _ROWS // n_patches)
        with progress(len(judges), "support") as bar:
            for first in range(0, len(judges), step):
                some = judges[first : first + step]
                rows = self.coordinates[some].reshape(-1, queries.shape[1]).astype(np.float32)
                images = np.repeat(self.images[some], n_patches)
                _improve(prepared, source, rows, images, first * n_patches, bounds, squared, found)
                bar.update(len(some))
        places = np.zeros((*found.shape, 2), np.int64)
        if len(judges) == 0:
            return squared, places
        judge, places[order, :, 1] = np.divmod(found, n_patches)
        places[order, :, 0] = self.images[judges[judge]]
        distances = np.empty(squared.shape)
        distances[order] = np.sqrt(self._scaling.unit * squared)
        return distances, places


def _leading_bounds(points):
    """Lower bounds of distances along principal axes, from the first of them."""
    n_axes = points.shape[1]
    scaling = Scaling(points)
    axes = np.eye(n_axes, _BOUND_AXES, dtype=np.float32) if n_axes > 2 * _BOUND_AXES else None
    return LowerBounds.from_arrays(scaling.shift, scaling.factor, axes)


def _improve(prepared, query_groups, rows, groups, offset, bounds, squared, found):
    """Improve the nearest rows of other groups, (m, q), by some more rows (r, k), in place."""
    from ..distances.kernels import exclude, nearest_rows

    coordinates, halves = bounds.apply_to_rows(rows, np.arange(len(rows)))
    tolerance = bounds.tolerance(prepared[2], halves.max())
    reaches = np.zeros(len(rows))

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
            offset,
            halves,
            query_halves,
            tolerance[block],
            bounds.unit,
            squared[block],
            found[block],
        )

    run_blocks(improve, len(squared), _BLOCK)


def measure_support(points, source, jury, n_images):
    """Measure how well images support each other's memory patches.

    An image is as suspicious as the memory patch of it that is farthest from all patches of the
    other images. Images that are not much more suspicious than most are trusted. Then only the
    trusted ones give support, and so on until nothing changes: defects that resemble each
    other lose each other's support, while rare but normal patches keep that of the normal images.
    Patches are compared wherever they lie in the image, so objects need not be aligned.

    Parameters
    ----------
    points : ndarray of shape (m, k), float32
        The memory patches: their coordinates, as of :meth:`Jury.project`.
    source : ndarray of shape (m,), int64
        Their images.
    jury : Jury
    n_images : int

    Returns
    -------
    Support
    """
    scored = np.unique(source)
    is_trusted = np.ones(n_images, bool)
    everyone = jury.nearest(points, source, is_trusted)
    found = {}

    def ask(is_trusted):
        # The same images can be asked again, and then often are, in turns.
        key = is_trusted.tobytes()
        if key not in found:
            found[key] = _among_trusted(everyone, jury, points, source, is_trusted)
        distances, places = found[key]
        scores = np.full(n_images, -np.inf)
        np.maximum.at(scores, source, distances)
        return distances, places, scores[scored]

    distances, places, scores = ask(is_trusted)
    cut = np.median(scores)
    for _ in range(_ROUNDS):
        before = is_trusted
        is_trusted = np.ones(n_images, bool)
        is_trusted[scored] = scores <= cut
        if np.array_equal(is_trusted, before):
            break
        distances, places, scores = ask(is_trusted)
        cut = _suspicion_cut(scores, _CUT)
    beyond = np.mean(scores > _suspicion_cut(scores, _NOISE_CUT))
    noise_ratio = max(0.0, float(beyond - norm.sf(_NOISE_CUT)))
    return Support(
        distances,
        places,
        min(cut, float(np.quantile(distances, 1 - noise_ratio))),
        is_trusted,
        noise_ratio,
    )


def _among_trusted(everyone, jury, points, source, is_trusted):
    """Distances (m,) to the nearest patches of trusted other images, and their places (m, 2).

    Most are among the nearest of `everyone`, distances (m, q) and places; only the others are
    searched for. Where no trusted image is left but the patch's own, all others give support.
    """
    distances, places = everyone
    usable = is_trusted[places[..., 0]] & np.isfinite(distances)
    nearest = np.arange(len(points)), usable.argmax(axis=1)
    distances, places = distances[nearest], places[nearest]
    rest = np.flatnonzero(~usable.any(axis=1))
    if len(rest):
        again, there = (part[:, 0] for part in jury.nearest(points[rest], source[rest], is_trusted))
        known = np.isfinite(again)
        distances[rest[known]], places[rest[known]] = again[known], there[known]
    return distances, places


def _suspicion_cut(scores, deviations):
    """Score of images that is some standard deviations above the usual.

    Centre and spread of the logarithms are those of the shortest half, which stays among the
    normal images as long as they are the majority (Rousseeuw and Leroy, "A robust scale estimator
    based on the shortest half", Statistica Neerlandica 42, 1988).
    """
    # Copies of images, and images without any texture, have no distances worth a logarithm.
    logs = np.log(np.sort(scores[scores > 1e-2 * scores.max()]))
    if len(logs) < _LEAST_IMAGES:
        return np.inf
    half = len(logs) // 2 + 1
    lengths = logs[half - 1 :] - logs[: len(logs) - half + 1]
    first = lengths.argmin()
    centre = (logs[first] + logs[first + half - 1]) / 2
    spread = lengths[first] / 2 / norm.ppf(0.75)
    # The second factor is for rounding: equal scores must not exceed their own centre.
    return float(np.exp(centre + deviations * spread) * (1 + 1e-6))


def distance_ratios(memory, witnesses, along):
    """Distances (m,) of memory patches (m, d) to the patches that support them, all features.

    Relative to those along the principal axes; 1 for copies.

    Parameters
    ----------
    memory, witnesses : ndarray or Rows of shape (m, d), float32
        The memory patches, and the patches that support them.
    along : ndarray of shape (m,), float64
        Distances between them along the principal axes.
    """
    ratios = np.ones(len(memory))

    def measure(start, stop):
        block = slice(start, stop)
        gaps = memory[block].astype(np.float64) - witnesses[block]
        lengths = np.linalg.norm(gaps, axis=1)
        np.divide(lengths, along[block], out=ratios[block], where=along[block] > 0)

    run_blocks(measure, len(memory), _BLOCK)
    return ratios
