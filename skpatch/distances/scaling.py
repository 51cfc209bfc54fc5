# SPDX-License-Identifier: BSD-3-Clause
"""Coordinates of points whose matrix products have a known rounding error."""

import math
import threading

import numpy as np

from ..runtime.products import eigenvectors, products, project_and_rest
from ..runtime.threads import run_blocks

__all__ = ["LowerBounds", "Scaling"]

# Least number of points for principal axes; the sample that they are estimated from, and that of
# points with more features than it has rows; the share of the variance that they must hold, and
# their least number. Among 17,248 patches of solar cells with 152 features, 38 axes hold 88 % and
# leave 0.4 % of the pairs in question; with 21 axes for 80 % it is 1.3 %, and the search takes
# longer. Where two axes hold 88 %, as in a network with random weights, the search takes half the
# time with 16, and no less with 32.
_LEAST = 4096
_SAMPLE = 5000
_FEW = 1000
_VARIANCE_SHARE = 0.88
_LEAST_AXES = 16


_buffers = threading.local()


def inner_products(left, right):
    """Inner products (..., m, n) of rows (..., m, k) and (..., n, k), float32.

    They are written to a buffer of the calling thread, which its next call overwrites: fresh
    memory for each block of a large product would cost as much as the product.
    """
    shape = *left.shape[:-1], right.shape[-2]
    size = math.prod(shape)
    if getattr(_buffers, "products", np.empty(0)).size < size:
        _buffers.products = np.empty(size, np.float32)
    return products(left, right.swapaxes(-1, -2), out=_buffers.products[:size].reshape(shape))


class Scaling:
    """Shift and scale points for float32 matrix products.

    ``|a - b|^2 = |a|^2 + |b|^2 - 2 a.b`` cancels badly in float32 when the points lie far from
    the origin, and overflows when they are large. Neither happens to points that are centred and
    at most 1 in magnitude, and the error of their products can be bounded.

    Parameters
    ----------
    points : ndarray of shape (..., n, d), float32
        The points that define the shift and the scale, or several groups of them.

    Attributes
    ----------
    unit : ndarray of shape (...), float64
        One squared distance of the scaled points, in squared distances of the points.
    """

    # Beyond it a squared norm would overflow float32. Clipped points keep a huge norm, and so a
    # tolerance with which everything is computed exactly.
    _largest = np.float32(1e15)

    def __init__(self, points):
        shift = points.mean(axis=-2, dtype=np.float64, keepdims=True).astype(np.float32)
        lowest, highest = (
            extreme(shift, axis=-1, keepdims=True).astype(np.float64)
            for extreme in (np.min, np.max)
        )
        largest = np.maximum(
            points.max(axis=(-2, -1), keepdims=True).astype(np.float64) - lowest,
            highest - points.min(axis=(-2, -1), keepdims=True),
        )
        # Of copies of one point the size sets the scale.
        largest = np.where(largest > 0, largest, np.maximum(abs(highest), abs(lowest)))
        largest[largest == 0] = 1
        # The factor of the smallest numbers would overflow.
        largest = np.maximum(largest, np.finfo(np.float32).tiny)
        self._set(shift, (1 / largest).astype(np.float32))

    @classmethod
    def from_arrays(cls, shift, factor):
        """Make the same scaling again from its shift (..., 1, d) and factor (..., 1, 1)."""
        scaling = cls.__new__(cls)
        scaling._set(shift, factor)
        return scaling

    def _set(self, shift, factor):
        self.n_features = shift.shape[-1]
        self.shift, self.factor = shift, factor
        self.unit = 1 / np.square(factor[..., 0, 0], dtype=np.float64)

    def apply(self, points):
        """Return the scaled points (..., n, d) and half of their squared norms (..., n)."""
        scaled = np.subtract(points, self.shift)
        with np.errstate(over="ignore"):
            # Points far larger than those that define the scale.
            scaled *= self.factor
        np.clip(scaled, -self._largest, self._largest, out=scaled)
        return scaled, 0.5 * np.einsum("...j,...j->...", scaled, scaled)

    def tolerance(self, halves, largest_half):
        """Bound on the float32 error of half a squared distance.

        The error of a product grows with the root of the number of terms; 4 is a safety factor.
        """
        epsilon = np.finfo(np.float32).eps
        return np.float32(4 * epsilon * np.sqrt(self.n_features)) * (halves + largest_half)


class LowerBounds:
    """Few coordinates whose distances are at most those of the points.

    The first coordinates are those along the principal axes, the last is the norm of the rest:
    by the triangle inequality ``(|a| - |b|)^2 <= |a - b|^2`` for the rest. Where the variance is
    spread over too many axes, they are all coordinates, and bounds are the distances themselves.

    Parameters
    ----------
    points : ndarray of shape (n, d), float32
        The points whose principal axes are taken.
    """

    def __init__(self, points):
        self._scaling = Scaling(points)
        self.unit = float(self._scaling.unit)
        self._axes = _principal_axes(self._scaling, points)

    def arrays(self):
        """Return the arrays that :meth:`from_arrays` makes the same bounds from."""
        arrays = {"shift": self._scaling.shift, "factor": self._scaling.factor}
        return arrays if self._axes is None else {**arrays, "axes": self._axes}

    @classmethod
    def from_arrays(cls, shift, factor, axes=None):
        """Make bounds again from `shift` (1, d), `factor` (1, 1) and `axes` (d, k), float32."""
        bounds = cls.__new__(cls)
        bounds._scaling = Scaling.from_arrays(shift, factor)
        bounds.unit, bounds._axes = float(bounds._scaling.unit), axes
        return bounds

    @property
    def reduced(self):
        """Whether there are fewer coordinates than features."""
        return self._axes is not None

    def apply(self, points):
        """Return the coordinates (n, k) of points and half of their squared norms (n,), float32."""
        scaled, halves = self._scaling.apply(points)
        if self._axes is None:
            return scaled, halves
        coordinates = np.empty((len(points), self._axes.shape[1] + 1), np.float32)
        coordinates[:, :-1], coordinates[:, -1] = project_and_rest(scaled, self._axes)
        return coordinates, 0.5 * np.einsum("ij,ij->i", coordinates, coordinates)

    def leading(self, points, most):
        """Return the first coordinates of points, at most `most`, block by block on the threads.

        All features if they are the coordinates.
        """
        axes = None if self._axes is None else self._axes[:, :most]
        n_columns = points.shape[1] if axes is None else axes.shape[1]
        projections = np.empty((len(points), n_columns), np.float32)

        def project(start, stop):
            scaled, _ = self._scaling.apply(points[start:stop])
            if axes is not None:
                scaled = products(scaled, axes)
            projections[start:stop] = scaled

        run_blocks(project, len(points), 512)
        return projections

    def apply_to_rows(self, points, rows):
        """Return the same for some rows (m,) of many points, block by block on the threads."""
        n_features = points.shape[1] if self._axes is None else self._axes.shape[1] + 1
        coordinates = np.empty((len(rows), n_features), np.float32)
        halves = np.empty(len(rows), np.float32)

        def apply(start, stop):
            block = self.apply(points[rows[start:stop]])
            coordinates[start:stop], halves[start:stop] = block

        run_blocks(apply, len(rows), 2048)
        return coordinates, halves

    def tolerance(self, halves, largest_half):
        """Bound on the float32 error of half a squared distance; see :class:`Scaling`."""
        # Twice: once for the product, once for the projection on the axes.
        return 2 * self._scaling.tolerance(halves, largest_half)


def _principal_axes(scaling, points):
    """First principal axes (d, k), orthonormal; None if too many would be needed."""
    n, d = points.shape
    if n < _LEAST:
        return None
    # The decomposition takes the cube of the number of features, or of points if these are fewer.
    sample, _ = scaling.apply(points[:: -(n // -(_SAMPLE if d <= _FEW else _FEW))])
    sample = sample - sample.mean(axis=0)
    is_wide = len(sample) < d
    try:
        variances, axes = eigenvectors(
            products(sample, sample.T) if is_wide else products(sample.T, sample)
        )
    except np.linalg.LinAlgError:
        # Points of sizes that no float32 products tell apart.
        return None
    share = np.cumsum(variances.astype(np.float64))
    share /= max(share[-1], np.finfo(float).tiny)
    kept = max(int(np.searchsorted(share, _VARIANCE_SHARE)) + 1, _LEAST_AXES)
    if kept > d // 3:
        return None
    axes = products(sample.T, axes[:, :kept]) if is_wide else axes[:, :kept]
    # The bounds hold for orthonormal axes, and those of a float32 decomposition are not quite.
    orthonormal, _ = np.linalg.qr(axes.astype(np.float64))
    return np.ascontiguousarray(orthonormal, np.float32)
