# SPDX-License-Identifier: BSD-3-Clause
"""Image files, opened here and nowhere else: only known formats, and no more than memory holds."""

import io
import os
import threading
import warnings
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..runtime.files import open_regular
from ..runtime.text import shown
from .formats import FORMATS, describe

__all__ = [
    "check_limit",
    "is_path",
    "memory_errors_of",
    "on_content",
    "on_file",
    "open_picture",
    "quiet_pillow",
    "reserve",
]

# Bytes a pixel that decoding takes, with the two canvases of libwebp.
_WEBP = 18
# Bytes by which formats are known.
_HEADER = 132
# Reads of a file until its size is known; photographs with much metadata take some hundred.
_MOST_READS = 20_000
_ALLOW_MORE = (
    "if it is none, allow as many as it has with --max-pixels on the command line, or half as many "
    "with PIL.Image.MAX_IMAGE_PIXELS in Python"
)


def is_path(item):
    """Whether an image is given by the path of its file."""
    return isinstance(item, (str, os.PathLike))


@contextmanager
def memory_errors_of(item, name):
    """Have errors of too little memory say for which image."""
    try:
        yield
    except MemoryError as error:
        said = f": {error}" if str(error) else ""
        raise MemoryError(
            f"{_file(item) if is_path(item) else name} is too large to decode in the memory that "
            f"is left{said}"
        ) from error


def _file(path):
    """Begin a sentence about a file."""
    return f"The image file {os.fspath(path)!r}"


class _QuietPillow:
    """Hide Pillow's warnings while any thread reads an image.

    They tell of large images, which are read, and of damaged metadata, which leaves the pixels
    usable. The filters of warnings belong to the whole process. Counting the users keeps threads
    that overlap in time from restoring each other's.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._users = 0
        self._before = None

    def __enter__(self):
        with self._lock:
            if self._users == 0:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._users += 1

    def __exit__(self, *_):
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._before.__exit__(None, None, None)


quiet_pillow = _QuietPillow()


def on_file(path, function):
    """Apply a function to an opened file and its first bytes.

    Every failure but that of memory names the file, and says what it is if it is no image.
    """
    try:
        with quiet_pillow, open_regular(path) as file:
            return _apply(function, file)
    except FileNotFoundError:
        raise FileNotFoundError(f"{_file(path)} does not exist.") from None
    except (IsADirectoryError, PermissionError) as error:
        if os.path.isdir(path):
            raise IsADirectoryError(
                f"{os.fspath(path)!r} is a folder, not an image file; "
                "skpatch.datasets.load_folder lists its images."
            ) from None
        raise PermissionError(f"{_file(path)} cannot be read.") from error
    except UnidentifiedImageError:
        raise _unidentified(repr(os.fspath(path)), os.path.getsize(path)) from None
    except MemoryError:
        raise
    except Exception as error:
        # Decoders fail in many ways: OSError, SyntaxError, struct.error, DecompressionBombError...
        raise ValueError(
            f"{_file(path)} cannot be decoded: {shown(error) or type(error).__name__}"
        ) from error


def on_content(content, name, function):
    """Apply a function to the bytes of a file, as :func:`on_file` does to a file with a path."""
    try:
        with quiet_pillow:
            return _apply(function, io.BytesIO(content))
    except UnidentifiedImageError:
        raise _unidentified(name, len(content)) from None
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"{name} cannot be decoded: {shown(error) or type(error).__name__}"
        ) from error


def _apply(function, file):
    """What a function makes of an opened file and its first bytes, unless it is no image."""
    header = file.read(_HEADER)
    if (other := describe(header)) is not None:
        raise ValueError(other)
    _check_webp(header[:30])
    file.seek(0)
    return function(file, header)


def _unidentified(name, n_bytes):
    """Error that says which formats are known."""
    empty = "" if n_bytes else " (it has 0 bytes)"
    return ValueError(
        f"{name} is not an image file of a known format{empty}. Known are {', '.join(FORMATS)}."
    )


class _CountedReads:
    """An open file that is read a limited number of times, until it is `is_known`.

    Of a header of a million parts Pillow would join some one by one, for minutes.
    """

    def __init__(self, file):
        self._file = file
        self._n_reads = 0
        self.is_known = False

    def read(self, *size):
        self._n_reads += not self.is_known
        if self._n_reads > _MOST_READS:
            raise ValueError("its header has more parts than any image's; save it again")
        return self._file.read(*size)

    def __getattr__(self, name):
        return getattr(self._file, name)


def open_picture(file):
    """Open a file with Pillow, as one of the known formats."""
    file = _CountedReads(file)
    try:
        # Given a path, PIL would map some formats to memory, and the system kills a process that
        # reads a mapped file which has become shorter.
        image = Image.open(file, formats=FORMATS)
        file.is_known = True
        return image
    except Image.DecompressionBombError as error:
        raise ValueError(f"{str(error).rstrip('.')}; {_ALLOW_MORE}") from error


def check_limit(size):
    """Raise for an image, given its width and height, of more pixels than Pillow allows."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > 2 * limit:
        raise ValueError(
            f"its {size[0]} x {size[1]} pixels are more than {2 * limit}, as in a decompression "
            f"bomb; {_ALLOW_MORE}"
        )


def reserve(size, bytes_per_pixel):
    """Raise unless there is memory for an image, given its width and height.

    Decoders that run out of memory say what they say of a damaged file, which would be skipped.
    """
    n_bytes = size[0] * size[1] * bytes_per_pixel
    try:
        np.empty(n_bytes, np.uint8)
    except MemoryError:
        said = f"its {size[0]} x {size[1]} pixels take more than {n_bytes / 2**20:.0f} MB"
        raise MemoryError(said) from None


def _check_webp(header):
    """Raise for a WebP file that is larger than Pillow's limit, or than memory.

    libwebp takes memory for all pixels when a file is opened, before some versions of Pillow
    compare their number with the limit.

    Parameters
    ----------
    header : bytes
        The first 30 bytes of a file of any format.
    """
    size = _webp_size(header)
    if size is None:
        return
    check_limit(size)
    reserve(size, _WEBP)


def _webp_size(header):
    """Width and height that a WebP file declares; None for others."""
    if len(header) < 30 or header[:4] != b"RIFF" or header[8:12] != b"WEBP":
        return None

    def number(start, stop):
        return int.from_bytes(header[start:stop], "little")

    kind = header[12:16]
    if kind == b"VP8X":
        return number(24, 27) + 1, number(27, 30) + 1
    if kind == b"VP8L":
        return (number(21, 25) & 0x3FFF) + 1, (number(21, 25) >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return number(26, 28) & 0x3FFF, number(28, 30) & 0x3FFF
    return None
