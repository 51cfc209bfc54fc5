# SPDX-License-Identifier: BSD-3-Clause
"""Files that come into a folder, by looking again and again: network drives tell nothing."""

import os
import time
from contextlib import suppress
from typing import NamedTuple

from ..datasets.listing import list_folder

__all__ = ["Arrival", "Arrivals"]


class Arrival(NamedTuple):
    """A file as it was found.

    Attributes
    ----------
    name : str
        Path from the folder, with slashes.
    path : str
    size : int
        In bytes.
    modified : float
        Time of its last change, seconds since 1970.
    """

    name: str
    path: str
    size: int
    modified: float


class _Seen(NamedTuple):
    """Since when a file has been there, and how many looks have found it unchanged."""

    since: float
    n_looks: int


class Arrivals:
    """Images below a folder, with its subfolders.

    Parameters
    ----------
    folder : path
    """

    def __init__(self, folder):
        self._folder = folder
        self._seen = {}

    def look(self):
        """Look once more, and return what is there.

        Returns
        -------
        dict of Arrival to int
            How many earlier looks have found the file with this size and time; the oldest first.

        Raises
        ------
        OSError
            If the folder cannot be read, now.
        """
        now, found = time.monotonic(), {}
        listing = list_folder(self._folder)
        # A file of a format that is not read is to be told of, not passed over.
        for name in [*listing.images, *listing.unread]:
            # It may have gone since.
            with suppress(FileNotFoundError):
                arrival = stamped(self._folder, name)
                before = self._seen.get(arrival)
                found[arrival] = before._replace(n_looks=before.n_looks + 1) if before else None
        known = {arrival.name: seen.since for arrival, seen in self._seen.items()}
        self._seen = {
            arrival: seen or _Seen(known.get(arrival.name, now), 0)
            for arrival, seen in found.items()
        }
        return {
            arrival: self._seen[arrival].n_looks
            for arrival in sorted(found, key=lambda arrival: arrival.modified)
        }

    def waited(self, arrival):
        """Seconds since a file was first seen."""
        return time.monotonic() - self._seen[arrival].since


def stamped(folder, name):
    """A file with its size and time of now."""
    path = os.path.join(folder, name)
    status = os.stat(path)
    # Whole microseconds, which JSON keeps.
    return Arrival(name, path, status.st_size, status.st_mtime_ns // 1000 / 1e6)
