# SPDX-License-Identifier: BSD-3-Clause
"""Files written by the library: checked beforehand, and whole or not at all."""

import errno
import os
import re
import stat
import time
import uuid
from contextlib import contextmanager, suppress

try:
    import fcntl
except ImportError:
    # Windows, where temporary files of killed processes stay.
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\.skpatch-[0-9a-f]{32}")
# A file may be this young and not locked: just created, or about to take its place.
_SECONDS_WITHOUT_LOCK = 60
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_output(output, suffix=".npy", name="output"):
    """Raise before the work when the output could not be written after it."""
    if output is None:
        return
    output = os.fspath(output)
    folder = os.path.dirname(output) or "."
    if not output.endswith(suffix):
        raise ValueError(f"{name}={output!r} must be the name of a {suffix} file.")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{name}={output!r}: the folder {folder!r} does not exist.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{name}={output!r}: the folder {folder!r} cannot be written to.")
    if os.path.isdir(output):
        raise IsADirectoryError(f"{name}={output!r} is a folder.")
    check_length(output)


def check_length(path):
    """Raise if a name is longer than the file system allows."""
    with suppress(FileNotFoundError):
        os.lstat(path)


def remove_abandoned(folder):
    """Remove temporary files of killed processes: nobody holds their locks."""
    if fcntl is None:
        return
    now = time.time()
    for name in os.listdir(folder):
        if _TEMPORARY.fullmatch(name):
            path = os.path.join(folder, name)
            with suppress(OSError, ValueError), open_regular(path) as file:
                if now - os.fstat(file.fileno()).st_mtime > _SECONDS_WITHOUT_LOCK:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)


def open_regular(path):
    """Open a file to read its bytes; raise for a pipe or a device, which may have no end."""
    return open(path, "rb", opener=_open_without_waiting)


def _open_without_waiting(path, flags):
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    # Of a folder Python says by itself that it is one.
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        os.close(descriptor)
        raise ValueError("it is a pipe or a device, not a file")
    return descriptor


@contextmanager
def replacing(path, sweep=True):
    """Give the name of a temporary file that replaces `path` at the end, or goes on an error.

    The content is on the disk before it gets its name: a power cut leaves one of the two files.
    With `sweep`, temporary files that killed processes left in the folder are removed first.
    """
    path = os.fspath(path)
    if sweep:
        remove_abandoned(os.path.dirname(path) or ".")
    temporary = _temporary_name(path)
    # Unlike tempfile's, a file made in the ordinary way gets the permissions that users expect.
    open(temporary, "xb").close()
    try:
        with open(temporary, "r+b") as file:
            _lock(file)
            yield temporary
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(os.path.dirname(path) or ".")
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        is_full = isinstance(error, OSError) and error.errno in _FULL
        if is_full and error.filename in (None, temporary):
            raise OSError(error.errno, error.strerror, path) from error
        raise


def _temporary_name(path):
    """Name of a new file in the folder of a path."""
    folder, name = os.path.split(path)
    code = uuid.uuid4().hex
    temporary = os.path.join(folder, f".skpatch-{code}")
    try:
        check_length(temporary)
    except OSError:
        # The path is nearly as long as one may be.
        temporary = os.path.join(folder, f".{code}"[: len(name)])
    return temporary


def _lock(file):
    """Tell other processes that a file is in use, where the file system has locks."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_folder(folder):
    """Have the disk know the names of the files in a folder, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
