# SPDX-License-Identifier: BSD-3-Clause
"""The training images as they were given, and the distinct ones that a model learns from."""

import warnings
from typing import NamedTuple

import numpy as np

from ..runtime.telling import image_names, tell

__all__ = ["GivenImages", "check_image_numbers"]


class GivenImages(NamedTuple):
    """N images, copies included, that are n distinct ones, numbered by their first ones.

    Attributes
    ----------
    identity : ndarray of shape (N,), int64
        The distinct image that each is.
    forgotten : ndarray of shape (N,), bool
    declared : ndarray of shape (N,), bool
        Those that the user declared normal, with their copies; False for forgotten ones.
    """

    identity: np.ndarray
    forgotten: np.ndarray
    declared: np.ndarray

    @classmethod
    def of(cls, originals):
        """From the first image (N,) that each is a copy of, or itself."""
        identity = np.unique(originals, return_inverse=True)[1]
        nothing = np.zeros(len(identity), bool)
        return cls(identity.astype(np.int64), nothing, nothing)

    @property
    def n_images(self):
        """Number N of images, copies and forgotten ones included."""
        return len(self.identity)

    @property
    def numbers(self):
        """Number (n,) of the first image, not forgotten if there is one, of each distinct one."""
        order = np.argsort(self.forgotten, kind="stable")
        return order[np.unique(self.identity[order], return_index=True)[1]]

    @property
    def is_gone(self):
        """Whether all images are forgotten that a distinct one (n,) is."""
        return self.forgotten[self.numbers]

    @property
    def is_declared(self):
        """Whether what is left of a distinct image (n,) was declared normal."""
        return self.declared[self.numbers]

    @property
    def copy_of(self):
        """Number of the image that each (N,) is a copy of, -1 for those that count."""
        originals = self.numbers[self.identity]
        return np.where(originals == np.arange(len(originals)), -1, originals)

    def joined_by(self, identity):
        """These images and more of them, which are not forgotten, and declared as their copies."""
        nothing = np.zeros(len(identity), bool)
        joined = GivenImages(
            np.concatenate([self.identity, identity]),
            np.concatenate([self.forgotten, nothing]),
            np.concatenate([self.declared, nothing]),
        )
        return joined.declaring(np.flatnonzero(self.declared))

    def without(self, numbers):
        """These images, some more of them forgotten."""
        forgotten = self.forgotten.copy()
        forgotten[numbers] = True
        return self._replace(forgotten=forgotten, declared=self.declared & ~forgotten)

    def declaring(self, numbers):
        """These images, some more of them and all their copies declared normal."""
        is_meant = np.isin(self.identity, self.identity[numbers])
        return self._replace(declared=(self.declared | is_meant) & ~self.forgotten)

    def warn_of_copies(self, first=0):
        """Tell the user of copies, if there are some among the images from number `first` on."""
        copy_of = self.copy_of
        copies = np.flatnonzero(copy_of >= 0)
        copies = copies[copies >= first]
        if len(copies):
            kind = f"{len(copy_of) - first} {'new ' if first else ''}training images"
            tell(_warn_of_copies, (copies, copy_of[copies], kind))


def _warn_of_copies(parts, names):
    for copies, originals, kind in parts:
        some, others = (image_names(numbers[:3], names) for numbers in (copies, originals))
        pairs = [f"{copy} of {original}" for copy, original in zip(some, others, strict=True)]
        warnings.warn(
            f"{len(copies)} of {kind} are copies of others, e.g. {', '.join(pairs)}; they count "
            "once.",
            stacklevel=6,
        )


def check_image_numbers(images, n_images, name="images"):
    """Return distinct numbers of images as an integer array, or raise."""
    numbers = np.atleast_1d(np.asarray(images))
    if numbers.size and not np.issubdtype(numbers.dtype, np.integer):
        known = (
            "; a pipeline of skpatch.make_pipeline knows names"
            if numbers.dtype.kind in "OU"
            else ""
        )
        raise ValueError(
            f"{name} must be integers, the numbers of images; it is {images!r}{known}."
        )
    wrong = numbers[(numbers < 0) | (numbers >= n_images)]
    if len(wrong):
        raise ValueError(
            f"{name} contains {wrong[0]}, but the model was trained on {n_images} images, which "
            f"have the numbers 0 to {n_images - 1}."
        )
    return np.unique(numbers).astype(np.int64)
