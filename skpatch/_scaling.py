# SPDX-License-Identifier: BSD-3-Clause
"""Centred and scaled copies of points, whose matrix products have a known rounding error."""

import numpy as np

__all__ = ["Scaling"]


class Scaling:
    """Shift and scale points for float32 matrix products.

    ``|a - b|^2 = |a|^2 + |b|^2 - 2 a.b`` cancels badly in float32 when the points lie far from
    the origin, and overflows when they are large. Neither happens to points that are centred and
    at most 1 in magnitude, and the error of their products can be bounded.

    Parameters
    ----------
    points : ndarray of shape (n, d), float32
        The points that define the shift and the scale.
    """

    # Beyond it a squared norm would overflow float32. Clipped points keep a huge norm, and so a
    # tolerance with which everything is computed exactly.
    _largest = np.float32(1e15)

    def __init__(self, points):
        self.shift = points.mean(axis=0, dtype=np.float64).astype(np.float32)
        largest = max(
            points.max() - float(self.shift.min()), float(self.shift.max()) - points.min()
        )
        self.factor = np.float32(1 / largest) if 0 < largest < np.inf else np.float32(1)
        self.unit = 1 / float(self.factor) ** 2

    def apply(self, points):
        """Return the scaled points (n, d) and half of their squared norms (n,), float32."""
        scaled = np.subtract(points, self.shift)
        scaled *= self.factor
        np.clip(scaled, -self._largest, self._largest, out=scaled)
        return scaled, 0.5 * np.einsum("ij,ij->i", scaled, scaled)

    @staticmethod
    def tolerance(halves, largest_half, n_features):
        """Bound on the float32 error of half a squared distance.

        The error of a product grows with the root of the number of terms; 4 is a safety factor.
        """
        epsilon = np.finfo(np.float32).eps
        return np.float32(4 * epsilon * np.sqrt(n_features)) * (halves + largest_half)
