# SPDX-License-Identifier: BSD-3-Clause
"""Input checks shared by the estimators, and the private scikit-learn imports."""

import numbers

import numpy as np
from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = [
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "check_image_numbers",
    "check_is_fitted",
    "check_patches",
    "fit_context",
    "positive_integer",
    "require_images",
    "seed_nested",
]


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
        rows = validate_data(
            estimator, X.reshape(-1, shape[-1]), dtype=np.float32, order="C", reset=reset
        )
        patches = rows.reshape(shape)
    elif ndim > 2:
        raise ValueError(
            f"X has {ndim} dimensions; expected patch features of shape (n, h, w, d), as a "
            "PatchFeatureExtractor returns them, or (n, d)."
        )
    else:
        rows = validate_data(estimator, X, dtype=np.float32, order="C", reset=reset)
        patches = rows[:, np.newaxis, np.newaxis, :]
    if reset:
        estimator.grid_shape_ = patches.shape[1:3]
    elif patches.shape[1:3] != estimator.grid_shape_:
        raise ValueError(
            f"X has a patch grid of {patches.shape[1:3]}, but {type(estimator).__name__} was "
            f"fitted on a grid of {estimator.grid_shape_}."
        )
    return patches


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


def positive_integer():
    """Constraint of a parameter that counts something."""
    return Interval(numbers.Integral, 1, None, closed="left")
