# SPDX-License-Identifier: BSD-3-Clause
"""Memory: how much a text means, and one error where it runs out."""

import re
from contextlib import contextmanager

__all__ = ["memory_bytes", "memory_errors"]

_LIMIT = re.compile(r"\s*(\d*\.?\d+(?:E-?\d+)?)\s*([KMGT])(?:I?B)?\s*", re.IGNORECASE)

# What torch, torch on a GPU, oneDNN, C++ and Python's threads say in a RuntimeError.
_SIGNS = (
    "can't allocate memory",
    "out of memory",
    "could not create a primitive",
    "bad_alloc",
    "can't start new thread",
)
_ADVICE = (
    "Less is needed for fewer images at a time, fewer threads, and a smaller image_size, "
    "coreset_size or batch_size; with output= the extractor keeps features in a file."
)


def memory_bytes(limit):
    """Number of bytes from the parameter memory_limit, a number or text such as "2G" or "2 GiB"."""
    if not isinstance(limit, str):
        return limit
    match = _LIMIT.fullmatch(limit)
    if match is None:
        raise ValueError(
            f"memory_limit={limit!r} must be a number of bytes or text such as '500M' or '2G'."
        )
    return int(float(match[1]) * 1024 ** ("KMGT".index(match[2].upper()) + 1))


@contextmanager
def memory_errors():
    """Raise MemoryError, with what to do, for any error that memory caused."""
    try:
        yield
    except Exception as error:
        cause = error
        while cause is not None and not _is_of_memory(cause):
            cause = cause.__cause__
        if cause is None or _ADVICE in str(error):
            raise
        said = f" ({str(cause).splitlines()[0]})" if str(cause) else ""
        raise MemoryError(f"Not enough memory{said}. {_ADVICE}") from error


def _is_of_memory(error):
    if isinstance(error, RuntimeError):
        return any(sign in str(error) for sign in _SIGNS)
    return isinstance(error, MemoryError)
