# SPDX-License-Identifier: BSD-3-Clause
"""Patches that are not inspected, NaN in the features of all images: left out, and put back."""

import numpy as np
from sklearn.utils.validation import validate_data

from ..distances.rows import check_magnitude

__all__ = ["check_image_numbers", "check_patches", "expand", "places", "require_images"]


def expand(values, inspected, outside=np.nan):
    """Values (n, h, w, ...) on the whole grid, from those of the inspected patches."""
    if inspected.all():
        return values
    values = values.reshape(len(values), -1, *values.shape[3:])
    whole = np.full((len(values), *inspected.shape, *values.shape[2:]), outside, values.dtype)
    whole[:, inspected] = values
    return whole


def places(numbers, inspected, first=0):
    """Image, row and column (m, 3) of patches, from their numbers among all inspected patches.

    `first` is the number of the first image.
    """
    positions = np.argwhere(inspected)
    images, patches = np.divmod(numbers, len(positions))
    return np.column_stack([first + images, positions[patches]])


def check_patches(estimator, X, *, reset, may_skip=False):
    """Validate patch features and bring them to the shape (n, h, w, d).

    Parameters
    ----------
    estimator : estimator
        Receives ``n_features_in_`` and ``grid_shape_`` when `reset`, and is compared with them
        otherwise.
    X : array-like of shape (n, h, w, d) or (n, d)
        A two-dimensional array is n images with a grid of one position.
    reset : bool
        True in fit, False afterwards.
    may_skip : bool, default=False
        Whether patches may be NaN in all images, which means that they are not inspected. The
        estimator then receives ``inspected_``, (h, w), or is compared with it.

    Returns
    -------
    ndarray of shape (n, h, w, d), float32, C-contiguous
        (n, 1, p, d) if only p of the patches are inspected.
    """
    ndim = X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim
    if ndim > 2 and ndim != 4:
        raise ValueError(
            f"X has {ndim} dimensions; expected patch features of shape (n, h, w, d), as a "
            "PatchFeatureExtractor returns them, or (n, d)."
        )
    grid = (1, 1)
    if ndim == 4:
        X = np.asarray(X)
        if 0 in X.shape:
            raise ValueError(
                f"X has shape {X.shape}: found 0 patches, while at least 1 is required."
            )
        grid = X.shape[1:3]
    _check_grid(estimator, grid, reset)
    inspected = np.ones(grid, bool)
    if ndim == 4 and may_skip:
        X, inspected = _inspected_patches(X, None if reset else estimator.inspected_)
    # What overflows is infinite then, and refused.
    with np.errstate(over="ignore"):
        rows = validate_data(
            estimator,
            X.reshape(-1, X.shape[-1]) if ndim == 4 else X,
            dtype=np.float32,
            order="C",
            reset=reset,
            ensure_all_finite=ndim != 4,
        )
    if ndim == 4:
        patches = rows.reshape(X.shape)
        _check_finite(patches, inspected)
    else:
        patches = rows[:, np.newaxis, np.newaxis, :]
    check_magnitude(rows)
    if may_skip and reset:
        estimator.inspected_ = inspected
    return patches


def _inspected_patches(X, inspected):
    """Leave out the patches of `X` (n, h, w, d) that are not `inspected` (h, w).

    None for `inspected` stands for the patches that are not NaN in the first image. Returns the
    patches, (n, 1, p, d) unless all are inspected, and which ones are.
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


def _check_grid(estimator, grid, reset):
    """Learn the size of the grid, or compare it with that of the training."""
    if reset:
        estimator.grid_shape_ = grid
    elif grid != estimator.grid_shape_:
        raise ValueError(
            f"X has a patch grid of {grid}, but {type(estimator).__name__} was fitted on a grid "
            f"of {estimator.grid_shape_}."
        )


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


def check_image_numbers(images, n_images):
    """Return distinct numbers of images as an integer array, or raise."""
    numbers = np.atleast_1d(np.asarray(images))
    if numbers.size and not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"images must be integers, the numbers of images; it is {images!r}.")
    wrong = numbers[(numbers < 0) | (numbers >= n_images)]
    if len(wrong):
        raise ValueError(
            f"images contains {wrong[0]}, but the model was trained on {n_images} images, which "
            f"have the numbers 0 to {n_images - 1}."
        )
    return np.unique(numbers).astype(np.int64)
