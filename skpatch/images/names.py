# SPDX-License-Identifier: BSD-3-Clause
"""Names of images, and images found again by them."""

import os
from difflib import get_close_matches
from pathlib import PurePath

import numpy as np

from ..runtime.text import cell, listed, shown
from .collection import check_images
from .files import is_path

__all__ = ["find_by_name", "shorten_names", "training_folder", "training_names"]

# Names that a message lists, and names that it says more of than that they are wrong.
_SHOWN, _EXPLAINED = 5, 10


def training_names(X, first=0):
    """Short names of images, of which those that are no paths are numbered from `first` on.

    A lazy sequence is not asked for its images, which it may have to decode.
    """
    return shorten_names(_full_names(X, first))


def training_folder(X):
    """Folder that the short names of images start from; None if they are not all absolute paths."""
    return _common_folder(_full_names(X))


def shorten_names(names):
    """Paths from the folder that holds all images: short, but unique."""
    folder = _common_folder(names)
    return names if folder is None else [os.path.relpath(name, folder) for name in names]


def _full_names(X, first=0):
    images = check_images(X)
    items = images if images.is_listed else [None] * len(images)
    return [
        os.fspath(item) if is_path(item) else f"image {first + i}" for i, item in enumerate(items)
    ]


def _common_folder(names):
    """Folder that holds all files, if their paths are absolute, and on one drive."""
    if not all(os.path.isabs(name) for name in names):
        return None
    try:
        return os.path.commonpath([os.path.dirname(name) for name in names])
    except ValueError:
        return None


def find_by_name(images, names, others=()):
    """Numbers of training images that are given by numbers or names.

    Parameters
    ----------
    images : int, str, path or array-like of them
        A name may lack folders at its start, as long as only one image fits, or have more of them
        than the name that is known: those of another place that the folder lies in.
    names : list of str, or None
        All that are known, in the order of the images.
    others : list of str
        Paths of images that follow them, from another place: a name that fits one of these as well
        as one of the others is that of neither.

    Returns
    -------
    list of int, or `images` if no name is among them

    Raises
    ------
    ValueError
        If there are names that no image has, or several have; all of them are listed.
    """
    given = [images] if is_path(images) or np.ndim(images) == 0 else list(images)
    if not any(is_path(one) for one in given):
        return images
    if names is None:
        raise ValueError(
            f"The names of the training images are not known; give numbers instead of {given[0]!r}."
        )
    places = (_NameIndex(names), 0), (_NameIndex(others), len(names))
    found = {}
    for name in filter(is_path, given):
        fits = [(index.find(os.fspath(name)), first) for index, first in places]
        best = max(length for (_, length), _ in fits)
        found[os.fspath(name)] = [
            first + number
            for (numbers, length), first in fits
            if length == best
            for number in numbers
        ]
    _check_found(found, [*names, *others])
    return [found[os.fspath(one)][0] if is_path(one) else one for one in given]


class _NameIndex:
    """Names of images, to find them by as much as somebody has of them."""

    def __init__(self, names):
        self._parts = [_parts(name) for name in names]
        self._ends = {}
        for number, parts in enumerate(self._parts):
            self._ends.setdefault(parts[-1:], []).append(number)

    def find(self, given):
        """Numbers of the images whose names fit best, and how many parts they have in common."""
        wanted = _parts(given)
        among = self._ends.get(wanted[-1:], []) if wanted else []
        lengths = {number: _common_end(wanted, self._parts[number]) for number in among}
        most = max(lengths.values(), default=0)
        found = [number for number, length in lengths.items() if length == most > 0]
        exact = [number for number in found if self._parts[number] == wanted]
        return (exact if len(exact) == 1 else found), most


def _check_found(found, names):
    """Raise for names that not exactly one image has; all are listed."""
    problems = [name for name, numbers in found.items() if len(numbers) != 1]
    if problems:
        said = [_problem(name, found[name], names) for name in problems[:_EXPLAINED]]
        others = problems[_EXPLAINED:]
        more = [f"So {len(others)} others: {', '.join(map(shown, others))}."] if others else []
        raise ValueError("\n".join(said + more))


def _problem(given, found, names):
    """What is wrong with a name that not exactly one image has."""
    if found:
        same = listed([f"{names[number]!r} (image {number})" for number in found], _SHOWN)
        name = shown(repr(given))
        return f"{name} is the name of {len(found)} images: {same}. Write more of its path."
    close = listed(list(map(repr, get_close_matches(given, names, _SHOWN) or names)), _SHOWN)
    return f"There is no training image {shown(repr(given))}; there are: {close}."


def _parts(name):
    """Parts of a path, each as a CSV file has it."""
    return tuple(map(cell, PurePath(os.path.normpath(name)).parts))


def _common_end(wanted, parts):
    """Parts that two paths have in common, if one is the end of the other; else 0."""
    n_common = min(len(wanted), len(parts))
    return n_common if wanted[-n_common:] == parts[-n_common:] else 0
