# SPDX-License-Identifier: BSD-3-Clause
"""Files written by the library: checked beforehand, whole or not at all; numbers in them."""

import errno
import math
import mmap
import os
import time
import uuid
from contextlib import contextmanager, suppress

import numpy as np

try:
    import fcntl
except ImportError:
    # Windows, where temporary files of killed processes stay.
    fcntl = None

_TEMPORARY = ".skpatch-"
# A file may be this young and not locked: just created, or about to take its place.
_SECONDS_WITHOUT_LOCK = 60
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_output(output, suffix=".npy", name="output"):
    """Raise before the work when the output could not be written after it.

    Temporary files that killed processes left in its folder are removed.
    """
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
    remove_abandoned(folder)


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
        if name.startswith(_TEMPORARY):
            path = os.path.join(folder, name)
            with suppress(OSError), open(path, "rb") as file:
                if now - os.fstat(file.fileno()).st_mtime > _SECONDS_WITHOUT_LOCK:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)


def empty_features(shape):
    """Array for float32 features whose memory goes back to the system once it is freed.

    The C library would keep the memory of arrays up to 32 MB, and use it for small ones.
    """
    if not hasattr(mmap, "MAP_PRIVATE"):
        return np.empty(shape, np.float32)
    try:
        pages = mmap.mmap(-1, max(1, 4 * math.prod(shape)), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise MemoryError(
            f"Unable to allocate {4 * math.prod(shape) / 2**30:.3g} GiB for an array with shape "
            f"{shape}"
        ) from error
    return np.ndarray(shape, np.float32, pages)


def create_memmap(path, shape):
    """Create a .npy file for float32 features, mapped to memory."""
    features = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    if hasattr(os, "posix_fallocate"):
        # A disk that fills up under a memory map kills the process; this raises OSError instead.
        with open(path, "r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
            except OSError as error:
                # File systems that cannot allocate ahead.
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise
    return features


@contextmanager
def replacing(path):
    """Give the name of a temporary file that replaces `path` at the end, or goes on an error.

    The content is on the disk before it gets its name: a power cut leaves one of the two files.
    """
    path = os.fspath(path)
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
    temporary = os.path.join(folder, f"{_TEMPORARY}{code}")
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


def number(value, form=".6g", missing=""):
    """Text of a number that may be NaN."""
    return missing if math.isnan(value) else format(value, form)
