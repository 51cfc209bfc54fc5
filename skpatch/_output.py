# SPDX-License-Identifier: BSD-3-Clause
"""Files written by the library: checked beforehand, whole or not at all; numbers in them."""

import errno
import math
import mmap
import os
import uuid
from contextlib import contextmanager

import numpy as np


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


def empty_features(shape):
    """Array for float32 features whose memory goes back to the system once it is freed.

    The C library would keep the memory of arrays up to 32 MB, and use it for small ones.
    """
    if not hasattr(mmap, "MAP_PRIVATE"):
        return np.empty(shape, np.float32)
    pages = mmap.mmap(-1, max(1, 4 * math.prod(shape)), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
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
    """Give the name of a temporary file that replaces `path` at the end, or goes on an error."""
    # Unlike tempfile's, a file made in the ordinary way gets the permissions that users expect.
    folder, name = os.path.split(os.path.abspath(path))
    suffix = os.path.splitext(name)[1]
    temporary = os.path.join(folder, f".skpatch-{uuid.uuid4().hex}{suffix}")
    open(temporary, "xb").close()
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def number(value, form=".6g", missing=""):
    """Text of a number that may be NaN."""
    return missing if math.isnan(value) else format(value, form)
