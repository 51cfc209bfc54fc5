# SPDX-License-Identifier: BSD-3-Clause
"""Names of images, and images found again by them."""

import os
from difflib import get_close_matches
from pathlib import PurePath

import numpy as np

from ..runtime.text import listed, shown
from .collection import check_images
from .files import is_path

__all__ = ["find_by_name", "shorten_names", "training_names"]

# Names that a message lists.
_SHOWN = 5


def training_names(X, first=0):
    """Short names of images, of which those that are no paths are numbered from `first` on.

    A lazy sequence is not asked for its images, which it may have to decode.
    """
    images = check_images(X)
    items = images if images.is_listed else [None] * len(images)
    return shorten_names(
        [os.fspath(item) if is_path(item) else f"image {first + i}" for i, item in enumerate(items)]
    )


def shorten_names(names):
    """Paths from the folder that holds all images: short, but unique."""
    if not all(os.path.isabs(name) for name in names):
        return names
    try:
        folder = os.path.commonpath([os.path.dirname(name) for name in names])
    except ValueError:
        # Several drives.
        return names
    return [os.path.relpath(name, folder) for name in names]


def find_by_name(images, names):
    """Numbers of images that are given by numbers or names.

    Parameters
    ----------
    images : int, str, path or array-like of them
        A name may lack folders at its start, as long as only one image fits. An absolute path may
        have more of them than the name that is known.
    names : list of str, or None
        All that are known, in the order of the images.

    Returns
    -------
    list of int, or `images` if no name is among them

    Raises
    ------
    ValueError
        If no image has such a name, or several have.
    """
    given = [images] if is_path(images) or np.ndim(images) == 0 else list(images)
    if not any(is_path(one) for one in given):
        return images
    if names is None:
        raise ValueError(
            f"The names of the training images are not known; give numbers instead of {given[0]!r}."
        )
    known = [_parts(name) for name in names]
    return [_find(os.fspath(one), known, names) if is_path(one) else one for one in given]


def _find(given, known, names):
    """Number of the image with the name that fits best."""
    wanted = _parts(given)
    lengths = np.array([_common_end(wanted, parts, os.path.isabs(given)) for parts in known])
    found = np.flatnonzero((lengths == lengths.max()) & (lengths > 0))
    exact = [number for number in found if known[number] == wanted]
    if len(exact) == 1 or len(found) == 1:
        return int((exact or found)[0])
    if len(found):
        same = listed([f"{names[number]!r} (image {number})" for number in found], _SHOWN)
        raise ValueError(f"{shown(repr(given))} is the name of {len(found)} images: {same}.")
    close = listed(list(map(repr, get_close_matches(given, names, _SHOWN) or names)), _SHOWN)
    raise ValueError(f"There is no training image {shown(repr(given))}; there are: {close}.")


def _parts(name):
    return PurePath(os.path.normpath(name)).parts


def _common_end(wanted, parts, may_be_longer):
    """Parts that two paths have in common, if one is the end of the other; else 0."""
    n_common = min(len(wanted), len(parts))
    if len(wanted) > len(parts) and not may_be_longer:
        return 0
    return n_common if wanted[-n_common:] == parts[-n_common:] else 0
