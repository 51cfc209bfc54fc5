# SPDX-License-Identifier: BSD-3-Clause
"""Images for a cache that must notice when files change and keep their names."""

import os

from .collection import check_images
from .files import file_bytes, is_open, is_path

__all__ = ["stamp_images"]


class _StampedImages(list):
    """Images with size and time of modification of files.

    joblib knows a result by a hash of the pickled input, which of files would be their paths alone.

    Parameters
    ----------
    items : sequence of images
    others : sequence of path or None
        Files beside the images.
    """

    def __init__(self, items, others):
        # An open file cannot be pickled.
        super().__init__(file_bytes(item) if is_open(item) else item for item in items)
        self.stamps = [_stamp(item) for item in (*items, *others) if is_path(item)]


def stamp_images(X, others):
    """Images for a cache; a lazy sequence stays as it is, since asking for images may be slow."""
    images = check_images(X)
    return _StampedImages(list(images), others) if images.is_listed else X


def _stamp(path):
    """Size and time of modification of a file, None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
