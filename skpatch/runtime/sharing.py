# SPDX-License-Identifier: BSD-3-Clause
"""Folders whose content is run, such as caches, and who else may write to them."""

import os
import stat
import warnings

__all__ = ["others_in", "warn_of_others"]


def others_in(folder):
    """Say in words who else may write to a folder or exchange it; None if nobody but root.

    Of the folders around it only those count that everybody may change. Where the system knows
    no owners, as Windows, the answer is None.
    """
    if not hasattr(os, "geteuid"):
        return None
    folder = os.path.realpath(folder)
    status = _status(folder)
    if status is not None:
        if status.st_uid not in (os.geteuid(), 0):
            return f"{folder!r} belongs to another user"
        if status.st_mode & stat.S_IWOTH or (
            status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid)
        ):
            return f"other users may write to {folder!r}"
    while folder != (folder := os.path.dirname(folder)):
        status = _status(folder)
        # In one like /tmp users can exchange only what is their own.
        if status and status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            return f"other users may write to {folder!r}"
    return None


def warn_of_others(folder, name, stacklevel):
    """Warn of a cache, given as `name`, that others may write to."""
    others = others_in(folder)
    if others is not None:
        warnings.warn(
            f"{name}={os.fspath(folder)!r} is a cache, of which files are run as code when they "
            f"are read, and {others}. Give a folder that only you can write to (chmod 700).",
            stacklevel=stacklevel + 1,
        )


def _status(path):
    try:
        return os.stat(path)
    except OSError:
        return None


def _is_own_group(group):
    """Whether a group is that of one user, as many systems give everyone."""
    import grp
    import pwd

    try:
        return grp.getgrgid(group).gr_name == pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
