# SPDX-License-Identifier: BSD-3-Clause
"""Input checks shared by the estimators, and the private scikit-learn imports."""

import numbers

import numpy as np
from sklearn.base import _fit_context as fit_context
from sklearn.utils import check_array
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

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


def check_patches(estimator, X, *, reset):
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

    Returns
    -------
    ndarray of shape (n, h, w, d), float32, C-contiguous
    """
    ndim = X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim
    if ndim == 4:
        X = np.asarray(X)
        shape = X.shape
        if 0 in shape:
            raise ValueError(f"X has shape {shape}: found 0 patches, while at least 1 is required.")
        rows = _float_rows(estimator, X.reshape(-1, shape[-1]), reset)
        patches = rows.reshape(shape)
    elif ndim > 2:
        raise ValueError(
            f"X has {ndim} dimensions; expected patch features of shape (n, h, w, d), as a "
            "PatchFeatureExtractor returns them, or (n, d)."
        )
    else:
        rows = _float_rows(estimator, X, reset)
        patches = rows[:, np.newaxis, np.newaxis, :]
    check_magnitude(rows)
    if reset:
        estimator.grid_shape_ = patches.shape[1:3]
    elif patches.shape[1:3] != estimator.grid_shape_:
        raise ValueError(
            f"X has a patch grid of {patches.shape[1:3]}, but {type(estimator).__name__} was "
            f"fitted on a grid of {estimator.grid_shape_}."
        )
    return patches


def _float_rows(estimator, X, reset):
    """Rows (n, d), float32, finite and C-contiguous."""
    # What overflows is infinite then, and refused.
    with np.errstate(over="ignore"):
        return validate_data(estimator, X, dtype=np.float32, order="C", reset=reset)


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
