# SPDX-License-Identifier: BSD-3-Clause
"""Warnings about things that come part by part, told once; and kept to be told again."""

import warnings
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["heard", "image_names", "tell", "told_once", "untold"]

_gathered = ContextVar("skpatch_told", default=None)


@contextmanager
def told_once(names=None):
    """Gather what is told inside of images that come part by part, and tell it at the end.

    `names` are those of all images; by default their numbers.
    """
    token = _gathered.set({})
    try:
        yield
        found = _gathered.get()
    finally:
        _gathered.reset(token)
    for warn, parts in found.items():
        warn(parts, names)


@contextmanager
def untold():
    """Tell nothing of images that are looked at again, in this thread."""
    token = _gathered.set({})
    try:
        yield
    finally:
        _gathered.reset(token)


def tell(warn, part):
    """Have ``warn(parts, names)`` say what was found in a part: now, or once with all others."""
    gathered = _gathered.get()
    if gathered is None:
        warn([part], None)
    else:
        gathered.setdefault(warn, []).append(part)


def image_names(numbers, names):
    """Names of images with these numbers, as `names` has them unless it is None."""
    return [f"image {number}" if names is None else names[number] for number in numbers]


@contextmanager
def heard():
    """Give a list of what is warned of inside, each once; it is shown as ever."""
    show, messages = warnings.showwarning, []

    def show_and_keep(message, category, *others):
        if issubclass(category, UserWarning) and str(message) not in messages:
            messages.append(str(message))
        show(message, category, *others)

    warnings.showwarning = show_and_keep
    try:
        yield messages
    finally:
        warnings.showwarning = show
