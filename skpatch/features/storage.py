# SPDX-License-Identifier: BSD-3-Clause
"""Memory and files that features are written to."""

import errno
import math
import mmap
import os

import numpy as np

__all__ = ["create_memmap", "empty_features"]


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


def create_memmap(file, shape):
    """Make an open, empty file a .npy file for float32 features, mapped to memory."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    file.flush()
    start = file.tell()
    if hasattr(os, "posix_fallocate"):
        # A disk that fills up under a memory map kills the process; this raises OSError instead.
        try:
            os.posix_fallocate(file.fileno(), 0, start + 4 * math.prod(shape))
        except OSError as error:
            # File systems that cannot allocate ahead.
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    return np.memmap(file, np.float32, "r+", start, shape)
