# SPDX-License-Identifier: BSD-3-Clause
"""Masks of defects, read from image files."""

import os
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..images.files import on_file
from ..images.proportions import have_same_proportions
from ..images.reading import decode
from ..images.tiff import Tiff, is_tiff

__all__ = ["read_mask"]

# Masks of that many grey values at most have one for each kind of defect; others have soft edges.
_MOST_LABELS = 16
# Of black and white, within which a pixel is clearly one of them.
_NEAR = 1 / 8
# Of the pixels that are defective, from which on a mask is likely to be a negative.
_MOSTLY = 0.75
# What files of JPEG and JPEG 2000 begin with, and these and WebP as compressions of TIFF files.
_LOSSY = (b"\xff\xd8\xff", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")
_LOSSY_TIFF = (6, 7, 33003, 33005, 34712, 50001)


def read_mask(
    path: str | os.PathLike | Sequence[str | os.PathLike] | None,
    shape: Sequence[int] | None = None,
) -> NDArray[np.bool_]:
    """Read a defect mask from an image file.

    Several paths, as :func:`load_folder` gives them for some images, are parts of one mask: a pixel
    is defective if it is so in any of them.

    Parameters
    ----------
    path : str, path-like, sequence of these, or None
        A grey or colour image, black where the image is normal; or one colour, transparent there.
        It is turned upright by its own EXIF orientation. None stands for a normal image.
    shape : (height, width), optional
        Size of the image that the mask belongs to, once upright; the mask is resized to it
        (nearest pixel). Required when `path` is None.

    Returns
    -------
    ndarray of shape (height, width), bool
        True where the pixel is defective.

    Raises
    ------
    FileNotFoundError, PermissionError, IsADirectoryError
        If the file is missing or cannot be opened.
    ValueError
        If neither `path` nor `shape` is given, the file cannot be decoded, `shape` has other
        proportions than the mask, or parts of a mask differ in size and `shape` is not given.

    Warns
    -----
    UserWarning
        If the mask has many grey values or several pages, or more than three quarters of it are
        defective.

    Notes
    -----
    In a file of at most 16 grey values all but the darkest are defective: 0 and 1, 0 and 255, or
    one value for each kind of defect. In files with more, whose edges are soft, and in those that
    compression has changed (JPEG, lossy WebP), pixels count from half of white on.

    Examples
    --------
    >>> from skpatch.datasets import read_mask
    >>> read_mask(None, (2, 3))
    array([[False, False, False],
           [False, False, False]])
    """
    if isinstance(path, Sequence) and not isinstance(path, str):
        return _read_all(path, shape)
    if path is None:
        if shape is None:
            raise ValueError("shape is needed where there is no mask file (path=None).")
        return np.zeros(tuple(shape), bool)
    values, is_lossy = _read(os.fspath(path))
    mask = _black_and_white(values, is_lossy, os.fspath(path))
    if shape is None or mask.shape == tuple(shape):
        return mask
    if not have_same_proportions(mask.shape, shape):
        raise ValueError(
            f"The mask file {os.fspath(path)!r} has {mask.shape[0]} x {mask.shape[1]} pixels "
            f"(height x width), upright, and shape is {tuple(shape)}: it needs the proportions of "
            "its image. If the image is turned by its EXIF orientation, turn the mask as well."
        )
    return np.asarray(Image.fromarray(mask).resize((shape[1], shape[0]), Image.Resampling.NEAREST))


def _read_all(paths, shape):
    """One mask of the parts in several files."""
    masks = [read_mask(path, shape) for path in paths]
    sizes = {mask.shape for mask in masks}
    if len(sizes) != 1:
        found = f"of different sizes, {sorted(sizes)}: pass shape" if sizes else "empty: pass None"
        raise ValueError(f"The masks in path={list(map(str, paths))} are {found}.")
    return np.logical_or.reduce(masks)


def _read(path):
    """Values (H, W) of a mask file, the largest of its colours, and whether they are lossy."""
    pixels = decode(path, path)
    values = pixels.values
    if values.ndim == 3:
        colours, opacity = values[:, :, :3], values[:, :, 3:]
        is_drawn_by_opacity = opacity.any() and not opacity.all() and np.ptp(colours) == 0
        values = (opacity if is_drawn_by_opacity else colours).max(axis=2)
    if pixels.is_negative:
        values = values.max() - values.astype(float)
    if pixels.n_left_out:
        warnings.warn(
            f"The mask file {path!r} has {pixels.n_left_out} more pages than the first, which "
            "alone is read. Save them as files of their own, and pass all paths.",
            stacklevel=3,
        )
    return values, on_file(path, _is_lossy, repr(path))


def _is_lossy(file, header):
    """Whether compression may have changed the values of an opened file."""
    if header[8:12] == b"WEBP":
        # Its lossless files have a chunk VP8L instead.
        return b"VP8 " in file.read()
    if is_tiff(header):
        return Tiff(file).layout.compression in _LOSSY_TIFF
    return header.startswith(_LOSSY)


def _black_and_white(values, is_lossy, path):
    """Which pixels (H, W), bool, are defective, with a warning where that is doubtful."""
    levels = np.unique(values)
    if not np.isfinite(levels).all():
        raise ValueError(f"The mask file {path!r} has NaN or infinite values.")
    has_soft_edges = len(levels) > _MOST_LABELS
    if is_lossy or has_soft_edges:
        white = next((white for white in (1, 255, 65535) if levels[-1] <= white), levels[-1])
        white = 255 if is_lossy else white
        mask = values > white / 2
        n_clear = np.count_nonzero(values >= white * (1 - _NEAR))
        n_grey = np.count_nonzero(values > white * _NEAR) - n_clear
        if not is_lossy or n_grey > n_clear or (n_clear == 0 and levels[-1] > 0):
            warnings.warn(
                f"The mask file {path!r} has {len(levels)} grey values, from {levels[0]:g} to "
                f"{levels[-1]:g}; pixels above {white / 2:g} were taken for defective. Save masks "
                "in black and white, in a lossless format.",
                stacklevel=3,
            )
    else:
        mask = values != (0 if len(levels) == 1 else levels[0])
    if mask.mean() > _MOSTLY:
        warnings.warn(
            f"The mask file {path!r} says that {mask.mean():.0%} of the image are defective; "
            "masks are black where the image is normal.",
            stacklevel=3,
        )
    return mask
