# SPDX-License-Identifier: BSD-3-Clause
"""Which memory patches are noise: those that no trustworthy other image has anything like."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm
from sklearn.decomposition import PCA

from ._parallel import run_blocks
from ._scaling import Scaling, inner_products

__all__ = ["EXPECTED_TAIL", "Jury", "Support", "measure_support", "reach_distances"]

# The values below were chosen on photographs of solar cells, aligned and not, ball screws and
# cookies with 0, 10, 20 and 40 % of defective images; docs/robustness.rst has the others tried.

# Robust standard deviations above the centre of the images' log scores at which trust ends, and
# the share of normal images that lie beyond it if these scores are normally distributed.
_CUT = 1.75
EXPECTED_TAIL = float(norm.sf(_CUT))
# With the share of images that are not trusted beyond the expected ones, the limit for noise falls
# from the cut and the reach of the memory patches grows, both within bounds. At most one in ten
# memory patches of trusted images is dropped, since all distances can be much alike.
_SLOPE = 2.0
_LEAST_LIMIT, _LARGEST_FACTOR = 0.7, 1.3
_KEPT_OF_TRUSTED = 0.9
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
_BLOCK = 1024
# Coordinates are kept as float16, a 2,000th of their size; beyond this they would be infinite.
_LARGEST = np.float32(6e4)


class Support(NamedTuple):
    """How well other images support the memory patches, and which images can be trusted.

    Attributes
    ----------
    distances : ndarray of shape (m,), float32
        Distance of each memory patch to the nearest patch of a trusted other image, along the
        principal axes.
    nearest_image : ndarray of shape (m,), int64
        The image of that patch.
    limit : float
        Distance from which on a memory patch counts as noise.
    factor : float
        At least 1; grows with the noise.
    is_trusted : ndarray of shape (n,), bool
        False for images with a patch that trusted images do not support.
    """

    distances: np.ndarray
    nearest_image: np.ndarray
    limit: float
    factor: float
    is_trusted: np.ndarray


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
            pca = PCA(min(_AXES, len(sample)), svd_solver="covariance_eigh").fit(sample)
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

    def add(self, patches, first):
        """Ask the images of patches (n, h, w, d) too, whose numbers begin with `first`."""
        numbers = np.concatenate([self.images, np.arange(first, first + len(patches))])
        priorities = np.random.RandomState(0).random_sample(first + len(patches))[numbers]
        chosen = np.sort(np.argsort(priorities)[:_JURY])
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

    def distances(self, points):
        """Distances (j, m), float32, of points (m, d) to the nearest patch of each image."""
        import torch

        memory, halves = _with_halves(self._project(points))
        # One more coordinate, so that the product is |b|^2 / 2 - a.b and needs no second pass.
        memory = np.concatenate([-memory, np.ones((len(memory), 1), np.float32)], axis=1)
        distances = np.empty((len(self.images), len(points)), np.float32)
        # What rounding can make of the distance between copies.
        tolerance = self._scaling.tolerance(halves, halves.max())

        def measure(first, last):
            for judge in range(first, last):
                patches = np.column_stack(_with_halves(self.coordinates[judge]))
                for start in range(0, len(points), _BLOCK):
                    block = slice(start, start + _BLOCK)
                    products = torch.from_numpy(inner_products(memory[block], patches))
                    gaps = torch.amin(products, dim=1).numpy() + halves[block]
                    gaps[gaps <= tolerance[block]] = 0
                    distances[judge, block] = np.sqrt(2 * self._scaling.unit * gaps)

        run_blocks(measure, len(self.images), 1, "support")
        return distances


def _with_halves(coordinates):
    """Coordinates (n, k) as float32, and half of their squared norms (n,)."""
    coordinates = coordinates.astype(np.float32)
    return coordinates, 0.5 * np.einsum("ij,ij->i", coordinates, coordinates)


def measure_support(points, source, jury, n_images):
    """Measure how well images support each other's memory patches.

    An image is as suspicious as the memory patch of it that is farthest from all patches of the
    other images. Images that are not much more suspicious than most are trusted. Then only the
    trusted ones give support, and so on until nothing changes: defects that resemble each
    other lose each other's support, while rare but normal patches keep that of the normal images.
    Patches are compared wherever they lie in the image, so objects need not be aligned.

    Parameters
    ----------
    points : ndarray of shape (m, d), float32
        The memory patches.
    source : ndarray of shape (m,), int64
        Their images.
    jury : Jury
    n_images : int

    Returns
    -------
    Support
    """
    distances = jury.distances(points)
    distances[source == jury.images[:, np.newaxis]] = np.inf
    scored = np.unique(source)
    nearest, scores = _nearest(distances, np.ones(len(jury.images), bool), source, scored)
    cut = np.median(scores)
    is_trusted = np.ones(n_images, bool)
    for _ in range(_ROUNDS):
        before = is_trusted
        is_trusted = np.ones(n_images, bool)
        is_trusted[scored] = scores <= cut
        if np.array_equal(is_trusted, before):
            break
        nearest, scores = _nearest(distances, is_trusted[jury.images], source, scored)
        cut = _suspicion_cut(scores)
    excess = max(0.0, 1 - is_trusted[scored].mean() - EXPECTED_TAIL)
    support = distances[nearest, np.arange(len(points))]
    typical = np.quantile(support[is_trusted[source]], _KEPT_OF_TRUSTED)
    return Support(
        support,
        jury.images[nearest],
        max(cut * max(_LEAST_LIMIT, 1 - _SLOPE * excess), float(typical)),
        min(_LARGEST_FACTOR, 1 + _SLOPE * excess),
        is_trusted,
    )


def _nearest(distances, is_trusted, source, scored):
    """Nearest image of the jury (m,) of each memory patch, and scores of the `scored` images.

    `distances` is (j, m) and `is_trusted` (j,). Where no trusted image is left but the patch's
    own, all others give support.
    """
    columns = np.arange(distances.shape[1])
    trusted = np.flatnonzero(is_trusted)
    if len(trusted) == 0:
        trusted = np.arange(len(distances))
    nearest = np.empty(len(columns), np.int64)
    # In blocks: the rows of the trusted images alone would be a second copy of the array.
    for start in range(0, len(columns), _BLOCK):
        block = slice(start, start + _BLOCK)
        nearest[block] = trusted[distances[trusted, block].argmin(axis=0)]
    alone = np.isinf(distances[nearest, columns])
    nearest[alone] = distances[:, alone].argmin(axis=0)
    scores = np.full(scored.max() + 1, -np.inf)
    np.maximum.at(scores, source, distances[nearest, columns])
    return nearest, scores[scored]


def _suspicion_cut(scores):
    """Score of images beyond which one is not trusted.

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
    return float(np.exp(centre + _CUT * spread) * (1 + 1e-6))


def reach_distances(patches, rows, nearest_image):
    """Distances (m,), float64, of memory patches to the nearest patch of one image each.

    Parameters
    ----------
    patches : ndarray of shape (n, h, w, d), float32
    rows : ndarray of shape (m,), int64
        The memory patches among all n * h * w.
    nearest_image : ndarray of shape (m,), int64
    """
    import torch

    n_images, *_, n_features = patches.shape
    memory = patches.reshape(-1, n_features)[rows]
    scaling = Scaling(memory)
    distances = np.empty(len(rows))

    def measure(first, last):
        for image in range(first, last):
            own = np.flatnonzero(nearest_image == image)
            if len(own):
                points = patches[image].reshape(-1, n_features)
                scaled, halves = scaling.apply(points)
                products = torch.from_numpy(inner_products(scaling.apply(memory[own])[0], scaled))
                nearest = torch.argmin(torch.from_numpy(halves) - products, dim=1).numpy()
                gaps = memory[own].astype(np.float64) - points[nearest]
                distances[own] = np.linalg.norm(gaps, axis=1)

    run_blocks(measure, n_images, 1)
    return distances
