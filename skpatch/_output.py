# SPDX-License-Identifier: BSD-3-Clause
"""Files: checked beforehand, written whole or not at all."""

import errno
import os
import uuid
from contextlib import contextmanager

import numpy as np


def check_output(output):
    """Raise before the work when the output could not be written after it."""
    if output is None:
        return
    if not os.fspath(output).endswith(".npy"):
        raise ValueError(f"output={os.fspath(output)!r} must be the name of a .npy file.")
    check_place("output", output)


def check_place(parameter, path):
    """Raise where no file `path` can be, naming the parameter that holds it."""
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{parameter}={path!r}: the folder {folder!r} does not exist.")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{parameter}={path!r} is a folder.")


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
    folder = os.path.dirname(os.path.abspath(path))
    temporary = os.path.join(folder, f".skpatch-{uuid.uuid4().hex}.npy")
    open(temporary, "xb").close()
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
