# SPDX-License-Identifier: BSD-3-Clause
"""Patch features: their checks, and the patches of the grid that are not inspected.

Those are NaN in the features of all images. They are left out, and put back.
"""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array

from ..distances.rows import check_magnitude
from ..runtime.tensors import without_tensors

__all__ = ["PatchGrid", "check_patches", "require_images"]

# Of a grid that is recognised behind its channels.
_LEAST_SIDE = 4


class PatchGrid(NamedTuple):
    """The grid of patches that all images have.

    Attributes
    ----------
    shape : tuple (h, w)
    inspected : ndarray of shape (h, w), bool
        The patches that are inspected.
    """

    shape: tuple
    inspected: np.ndarray

    @property
    def n_patches(self):
        """Number of patches of an image that are inspected."""
        return np.count_nonzero(self.inspected)

    def expand(self, values, outside=np.nan):
        """Values (n, h, w, ...) on the whole grid, from those of the inspected patches."""
        if self.inspected.all():
            return values
        values = values.reshape(len(values), -1, *values.shape[3:])
        whole = np.full((len(values), *self.shape, *values.shape[2:]), outside, values.dtype)
        whole[:, self.inspected] = values
        return whole

    def places(self, numbers, first=0):
        """Image, row and column (m, 3) of patches, from their numbers among the inspected ones.

        `first` is the number of the first image.
        """
        positions = np.argwhere(self.inspected)
        images, patches = np.divmod(numbers, len(positions))
        return np.column_stack([first + images, positions[patches]])

    def rows(self, places):
        """Numbers (m,) of patches among the inspected ones of their images, from places (m, 3)."""
        numbers = np.cumsum(self.inspected).reshape(self.shape) - 1
        return numbers[places[:, 1], places[:, 2]]


def check_patches(X, grid=None, *, validate=check_array, may_skip=False, unit=False):
    """Validate patch features and bring them to the shape (n, h, w, d).

    Parameters
    ----------
    X : array-like of shape (n, h, w, d) or (n, d)
        A two-dimensional array is n images with a grid of one position.
    grid : PatchGrid, optional
        The grid of the training, with which `X` is compared; in fit there is none yet.
    validate : callable
        :func:`sklearn.utils.validation.validate_data` of an estimator, or
        :func:`sklearn.utils.check_array` where the number of features is known to be right.
    may_skip : bool, default=False
        Whether patches may be NaN in all images, which means that they are not inspected.
    unit : bool, default=False
        Whether they are brought to unit length, a copy then, so that their distances order them as
        their cosines do. Zeros stay zeros.

    Returns
    -------
    patches : ndarray of shape (n, h, w, d), float32, C-contiguous
        (n, 1, p, d) if only p of the patches are inspected.
    grid : PatchGrid
    """
    X = without_tensors(X)
    ndim = X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim
    if ndim > 2 and ndim != 4:
        raise ValueError(
            f"X has {ndim} dimensions; expected patch features of shape (n, h, w, d), as a "
            "PatchFeatureExtractor returns them, or (n, d)."
        )
    if ndim == 4:
        X = np.asarray(X)
        if 0 in X.shape:
            raise ValueError(
                f"X has shape {X.shape}: found 0 patches, while at least 1 is required."
            )
    shape = X.shape[1:3] if ndim == 4 else (1, 1)
    if grid is not None and shape != grid.shape:
        raise ValueError(
            f"X has a patch grid of {shape}, but the model was fitted on a grid of {grid.shape}."
        )
    if grid is None and ndim == 4:
        _warn_of_channels_first(X.shape)
    inspected = np.ones(shape, bool)
    if ndim == 4:
        if may_skip:
            X, inspected = _leave_out(X, None if grid is None else grid.inspected)
        rows = _float_rows(validate, X.reshape(-1, X.shape[-1]), ensure_all_finite=False)
        patches = rows.reshape(X.shape)
        _check_finite(patches, inspected)
    else:
        rows = _float_rows(validate, X)
        patches = rows[:, np.newaxis, np.newaxis, :]
    check_magnitude(rows)
    if unit:
        lengths = np.linalg.norm(patches, axis=-1, keepdims=True)
        patches = patches / np.where(lengths > 0, lengths, 1)
    return patches, PatchGrid(shape, inspected)


def _warn_of_channels_first(shape):
    """Tell the user of a grid that is rather its channels, in torch's order, and its rows."""
    _, channels, height, width = shape
    low, high = sorted((height, width))
    if low >= _LEAST_SIDE and high <= 2 * low and channels >= 2 * high:
        warnings.warn(
            f"X has shape {shape}, which is taken for a grid of {channels} x {height} patches with "
            f"{width} features. If it is torch's (n, d, h, w), pass X.permute(0, 2, 3, 1), or of "
            "an array X.transpose(0, 2, 3, 1).",
            stacklevel=2,
        )


def _leave_out(X, inspected):
    """Features of the inspected patches (n, 1, p, d), or (n, h, w, d) if all are.

    Also which these are, (h, w); by default those that are not NaN in the first image. Raises if
    an image has features elsewhere, or no patch is inspected.
    """
    expected = "the training images"
    if inspected is None:
        expected = "X[0]"
        can_be_nan = X.dtype.kind == "f"
        inspected = ~np.isnan(X[0]).all(axis=-1) if can_be_nan else np.ones(X.shape[1:3], bool)
        if not inspected.any():
            raise ValueError("Input X contains NaN: no patch of X[0] has features.")
    if inspected.all():
        return X, inspected
    for index, image in enumerate(X):
        given = ~np.isnan(image[~inspected]).all(axis=-1)
        if given.any():
            row, column = np.argwhere(~inspected)[given.argmax()]
            raise ValueError(
                f"X[{index}, {row}, {column}] has features, but in {expected} this patch is NaN, "
                "which means not inspected; the same patches must be NaN in all images."
            )
    return X[:, inspected][:, np.newaxis], inspected


def _float_rows(validate, X, ensure_all_finite=True):
    """Rows (n, d), float32 and C-contiguous."""
    # What overflows is infinite then, and refused.
    with np.errstate(over="ignore"):
        return validate(X, dtype=np.float32, order="C", ensure_all_finite=ensure_all_finite)


def _check_finite(patches, inspected):
    """Raise for NaN and infinity in inspected patches; the message says where."""
    for index, image in enumerate(patches):
        # A sum in float64 is finite if and only if all these numbers are.
        with np.errstate(invalid="ignore"):
            if np.isfinite(image.sum(dtype=np.float64)):
                continue
        values = image.reshape(-1, image.shape[-1])
        patch, feature = np.argwhere(~np.isfinite(values))[0]
        row, column = np.argwhere(inspected)[patch]
        kind = "NaN" if np.isnan(values[patch, feature]) else "infinity"
        raise ValueError(
            f"Input X contains {kind} at X[{index}, {row}, {column}, {feature}]. Only a patch that "
            "is not inspected in any image may be NaN, in all its features."
        )


def require_images(patches, least, reason):
    """Raise unless there are at least `least` images."""
    if len(patches) < least:
        raise ValueError(f"n_samples={len(patches)}: {reason} at least {least} images.")
