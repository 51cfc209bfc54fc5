# SPDX-License-Identifier: BSD-3-Clause
"""Masks of defects, read from image files."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["read_mask"]


def read_mask(
    path: str | os.PathLike | Sequence[str | os.PathLike] | None,
    shape: Sequence[int] | None = None,
) -> NDArray[np.bool_]:
    """Read a defect mask from an image file.

    Several paths, as :func:`load_folder` gives them for some images, are parts of one mask: a pixel
    is defective if it is so in any of them.

    Parameters
    ----------
    path : str, path-like or None
        A grey or colour image in a lossless format, black where the image is normal. None stands
        for a normal image.
    shape : (height, width), optional
        The mask is resized to it (nearest pixel). Required when `path` is None.

    Returns
    -------
    ndarray of shape (height, width), bool
        True where the pixel is defective.

    Raises
    ------
    FileNotFoundError, PIL.UnidentifiedImageError
        If the file is missing or not an image.
    ValueError
        If neither `path` nor `shape` is given.

    Examples
    --------
    >>> from skpatch.datasets import read_mask
    >>> read_mask(None, (2, 3))
    array([[False, False, False],
           [False, False, False]])
    """
    if isinstance(path, Sequence) and not isinstance(path, str):
        return np.logical_or.reduce([read_mask(part, shape) for part in path])
    if path is None:
        if shape is None:
            raise ValueError("shape is needed where there is no mask file (path=None).")
        return np.zeros(tuple(shape), bool)
    with Image.open(path) as image:
        # An alpha channel is not part of the mask, and a palette index not its colour.
        has_extras = image.mode.endswith(("A", "P")) or "transparency" in image.info
        values = np.asarray(image.convert("RGB") if has_extras else image)
    mask = values != 0 if values.ndim == 2 else (values != 0).any(axis=2)
    if shape is None or mask.shape == tuple(shape):
        return mask
    resized = Image.fromarray(mask.astype(np.uint8)).resize(
        (shape[1], shape[0]), Image.Resampling.NEAREST
    )
    return np.asarray(resized) > 0
