# SPDX-License-Identifier: BSD-3-Clause
"""The images that a user passes as X, validated at once and read one by one."""

import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ..runtime.text import shown
from .arrays import measure_colours, to_rgb
from .files import is_file, is_path, memory_errors_of
from .intensity import does_not_fit
from .reading import decode, read_size, survey

__all__ = ["ImageList", "Images", "check_grid", "check_images"]

# Missing files that a message names.
_SHOWN = 5


class Images(Protocol):
    """Type of what is taken for images: anything with a length and integer indexing.

    Lists, arrays, torch Datasets and lazy sequences, most of which are no `Sequence` of Python's.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class ImageList:
    """Validated sequence of images, decoded when asked for.

    Parameters
    ----------
    items : sequence
        Paths, files, PIL images, arrays and tensors, indexed by integers; or with anything after
        them in a tuple, as the items of a torch Dataset have their labels.
    intensity_range : (black, white), "auto" or None
        Of those that are not 8-bit; see :func:`~skpatch.images.intensity.to_uint8`.
    numbers : sequence of int, optional
        Of the images in a larger collection that these are a part of, for their names.

    Attributes
    ----------
    left_out : dict of int to str
        Numbers of the images loaded so far whose files have other pages; name and how many.
    unfit : dict of int to str
        Numbers and names of those that do not fit the intensity range.
    """

    def __init__(self, items, intensity_range=None, numbers=None):
        self._items = items
        self._range = intensity_range
        self._numbers = range(len(items)) if numbers is None else numbers
        self.left_out = {}
        self.unfit = {}

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        """One image as it was given, without what comes after it."""
        item = self._items[index]
        is_labelled = isinstance(item, tuple) and item and _is_image(item[0])
        return item[0] if is_labelled else item

    @property
    def is_listed(self):
        """Whether all images, or their paths, are at hand."""
        return isinstance(self._items, (list, tuple, np.ndarray))

    def take(self, numbers):
        """Some of the images, not decoded yet; of a lazy sequence not even asked for."""
        known = [self._numbers[number] for number in numbers]
        if self.is_listed:
            return ImageList([self._items[number] for number in numbers], self._range, known)
        return ImageList(_Some(self._items, numbers.tolist()), self._range, known)

    def read_by(self, extractor):
        """The same images, read as a fitted extractor reads them, if it is skpatch's own."""
        intensity_range = getattr(extractor, "intensity_range_", None)
        return ImageList(self._items, intensity_range, self._numbers)

    def name(self, index):
        """Name the image: its path or its position."""
        item = self[index]
        return os.fspath(item) if is_path(item) else self._name(item, index)

    def load(self, index):
        """Decode one image to uint8 (H, W, 3)."""
        item = self[index]
        name = self._name(item, index)
        with memory_errors_of(item, name):
            pixels = decode(item, name)
            if pixels.n_left_out:
                self.left_out[index] = f"{name} ({pixels.n_left_out} more)"
            numbers = measure_colours(pixels.values, name)
            if self._range != "auto" and does_not_fit(numbers, self._range):
                self.unfit[index] = name
            return to_rgb(pixels.values, name, self._range, pixels.is_negative)

    def size(self, index):
        """Height and width of one image in pixels; of a file only the header is read."""
        item = self[index]
        return read_size(item, self._name(item, index))

    def survey(self, index):
        """Size of one image, and the Numbers that it holds; see :func:`survey`."""
        item = self[index]
        return survey(item, self._name(item, index))

    def _name(self, item, index):
        """Name of the image in messages."""
        return shown(os.fspath(item)) if is_path(item) else f"image {self._numbers[index]}"

    def check_size(self, index, size, grid):
        """Raise for an image whose size (H, W) has fewer pixels than the grid has patches."""
        check_grid(self.name(index), size, grid)


def check_grid(name, size, grid):
    """Raise for an image whose size (H, W) has fewer pixels than the grid has patches."""
    if size[0] < grid[0] or size[1] < grid[1]:
        raise ValueError(
            f"{shown(name)} has {size[0]} x {size[1]} pixels (height x width), "
            f"fewer than the {grid[0]} x {grid[1]} patches of the grid."
        )


class _Some:
    """Some items of a lazy sequence, given by their numbers."""

    def __init__(self, items, numbers):
        self._items, self._numbers = items, numbers

    def __len__(self):
        return len(self._numbers)

    def __getitem__(self, index):
        return self._items[self._numbers[index]]


def check_images(X):
    """Validate a collection of images.

    Parameters
    ----------
    X : sequence of images, or array
        Paths, bytes of files, open files, PIL images or arrays (H, W) or (H, W, 1|3|4), in a list
        or in any object with a length and integer indexing; or one array (n, H, W) or
        (n, H, W, 1|3|4). A torch Dataset is such an object; the labels of its items are ignored.

    Returns
    -------
    ImageList

    Raises
    ------
    TypeError
        If `X` is no collection of images.
    ValueError
        If it is empty or an array of the wrong shape.
    FileNotFoundError
        If files do not exist; all of them are counted.
    """
    if isinstance(X, ImageList):
        return X
    if is_path(X):
        raise TypeError(
            f"X is a single path, {os.fspath(X)!r}; pass a list of paths (skpatch.datasets."
            "load_folder lists the images of a folder)."
        )
    if isinstance(X, Image.Image) or is_file(X):
        kind = "PIL image" if isinstance(X, Image.Image) else "file"
        raise TypeError(f"X is a single {kind}; pass a list: [image].")
    if isinstance(X, Mapping) or not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        raise TypeError(
            f"X is a {type(X).__name__}; expected a sequence of images with a length and integer "
            "indexing. Turn a generator into a list: list(X)."
        )
    if hasattr(X, "ndim"):
        X = _check_array(X)
    if len(X) == 0:
        raise ValueError("X is empty: found 0 images, while at least 1 is required.")
    if isinstance(X, (list, tuple, np.ndarray)):
        _check_files(X)
    return ImageList(X)


def _check_array(X):
    """Check the shape of an array of images, pixels unread; a Series becomes an array."""
    if X.ndim == 1:
        X = np.asarray(X)
        if X.dtype.kind in "OUT":
            return X
    shape = tuple(X.shape)
    if len(shape) == 2 and (hasattr(X, "columns") or np.asarray(X).dtype.kind in "OUT"):
        raise ValueError(
            f"X has shape {shape}: it is a table; pass the column that holds the images, such as "
            "table['path'] of a data frame, or X[:, 0] of an array."
        )
    if len(shape) == 3 and shape[-1] in (3, 4) and shape[0] > 4:
        raise ValueError(
            f"X has shape {shape}, which looks like a single colour image; pass X[np.newaxis], "
            "or for many grey images an array of shape (n, H, W, 1)."
        )
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[-1] not in (1, 3, 4)):
        first = len(shape) == 4 and shape[1] in (1, 3, 4)
        hint = " Move the channels from the second axis to the last." if first else ""
        raise ValueError(
            f"X has shape {shape}; an array of images must have shape (n, H, W), (n, H, W, 1), "
            f"(n, H, W, 3) or (n, H, W, 4).{hint}"
        )
    return X


def _check_files(items):
    """Report all missing files at once, before any work."""
    missing = [os.fspath(item) for item in items if is_path(item) and not os.path.exists(item)]
    if missing:
        first = ", ".join(map(repr, missing[:_SHOWN]))
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise FileNotFoundError(
            f"{len(missing)} of {len(items)} image files do not exist: {first}{more}."
        )


def _is_image(item):
    """Whether it is an image rather than a row of one."""
    return is_file(item) or isinstance(item, Image.Image) or getattr(item, "ndim", 0) > 1
