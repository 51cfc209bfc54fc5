# SPDX-License-Identifier: BSD-3-Clause
"""Input checks shared by the estimators, and the private scikit-learn imports."""

import numbers

import numpy as np
from sklearn.base import _fit_context as fit_context
from sklearn.utils import check_array
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ._inspected import inspected_patches

__all__ = [
    "LARGEST",
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "check_image_numbers",
    "check_is_fitted",
    "check_magnitude",
    "check_patches",
    "check_rows",
    "check_search",
    "fit_context",
    "positive_integer",
    "require_images",
    "seed_nested",
]


# Distances of larger features might not be float32 numbers.
LARGEST = 1e32


def check_magnitude(X, name="X"):
    """Raise for features beyond `LARGEST`."""
    largest = max(float(X.max(initial=0)), -float(X.min(initial=0)))
    if largest > LARGEST:
        raise ValueError(
            f"{name} has features as large as {largest:g}; they must lie between {-LARGEST:g} and "
            f"{LARGEST:g}."
        )


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
    if ndim == 4:
        X = np.asarray(X)
        if 0 in X.shape:
            raise ValueError(
                f"X has shape {X.shape}: found 0 patches, while at least 1 is required."
            )
    _check_grid(estimator, X.shape[1:3] if ndim == 4 else (1, 1), reset)
    inspected = np.ones(estimator.grid_shape_, bool)
    if ndim == 4:
        if may_skip:
            X, inspected = inspected_patches(X, None if reset else estimator.inspected_)
        rows = _float_rows(estimator, X.reshape(-1, X.shape[-1]), reset, ensure_all_finite=False)
        patches = rows.reshape(X.shape)
        _check_finite(patches, inspected)
    else:
        rows = _float_rows(estimator, X, reset)
        patches = rows[:, np.newaxis, np.newaxis, :]
    check_magnitude(rows)
    if may_skip and reset:
        estimator.inspected_ = inspected
    return patches


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


def _float_rows(estimator, X, reset, ensure_all_finite=True):
    """Rows (n, d), float32 and C-contiguous."""
    # What overflows is infinite then, and refused.
    with np.errstate(over="ignore"):
        return validate_data(
            estimator,
            X,
            dtype=np.float32,
            order="C",
            reset=reset,
            ensure_all_finite=ensure_all_finite,
        )


def check_rows(X):
    """Rows (n, d) of an array-like, float32, finite and C-contiguous."""
    with np.errstate(over="ignore"):
        rows = check_array(X, dtype=np.float32, order="C", input_name="X")
    check_magnitude(rows)
    return rows


def check_search(bank, X, n_neighbors, excluded):
    """Check what the nearest rows of a bank (n, d) are asked for; returns queries (m, d)."""
    queries = check_rows(X)
    if queries.shape[1] != bank.shape[1]:
        raise ValueError(f"X has {queries.shape[1]} features, and the memory bank {bank.shape[1]}.")
    if not positive_integer().is_satisfied_by(n_neighbors):
        raise ValueError(f"n_neighbors={n_neighbors!r} must be an integer, at least 1.")
    expected = (len(queries),), (len(bank),)
    if excluded is not None and tuple(map(np.shape, excluded)) != expected:
        raise ValueError(
            f"excluded has arrays of shapes {tuple(map(np.shape, excluded))}; expected one number "
            f"for each query and one for each row of the bank, {expected}."
        )
    return queries


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


def seed_nested(estimator, random_state):
    """Give every unset ``random_state`` inside an estimator a seed from `random_state`."""
    unset = {
        name: random_state.randint(np.iinfo(np.int32).max)
        for name, value in sorted(estimator.get_params().items())
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return estimator.set_params(**unset)


class _PositiveInteger(Interval):
    """Constraint that refuses True too, which Python counts among the integers."""

    def __init__(self):
        super().__init__(numbers.Integral, 1, None, closed="left")

    def is_satisfied_by(self, val):
        return not isinstance(val, bool | np.bool_) and super().is_satisfied_by(val)


def positive_integer():
    """Constraint of a parameter that counts something."""
    return _PositiveInteger()
