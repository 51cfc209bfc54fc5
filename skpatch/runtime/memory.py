# SPDX-License-Identifier: BSD-3-Clause
"""One error for memory that runs out, which libraries report in many ways."""

from contextlib import contextmanager

__all__ = ["memory_errors"]

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
