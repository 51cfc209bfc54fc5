# SPDX-License-Identifier: BSD-3-Clause
"""Patches that are not inspected, NaN in the features of all images: left out, and put back."""

import numpy as np

__all__ = ["expand", "inspected_patches", "places"]


def inspected_patches(X, inspected=None):
    """Leave out the patches that are not inspected.

    Parameters
    ----------
    X : ndarray of shape (n, h, w, d)
    inspected : ndarray of shape (h, w), bool, optional
        The patches that are inspected. By default those that are not NaN in the first image.

    Returns
    -------
    patches : ndarray of shape (n, h, w, d) or (n, 1, p, d)
        `X` itself if all patches are inspected.
    inspected : ndarray of shape (h, w), bool

    Raises
    ------
    ValueError
        If an image has features elsewhere, or no patch is inspected.
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
