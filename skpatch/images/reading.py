# SPDX-License-Identifier: BSD-3-Clause
"""One image of any form, read: a file, a PIL image, or what becomes an array.

Files and PIL images are opened, turned upright and decoded here and nowhere else.
"""

import os
import stat
import struct
import threading
import warnings
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from .arrays import to_rgb

__all__ = ["is_path", "on_picture", "read_image", "read_size", "upright"]

_EXIF_ORIENTATION = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
# ImageOps.exif_transpose writes all metadata again, and fails if others than the orientation are
# damaged; and it copies images that are upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Bytes a pixel, the least that decoding takes. libwebp has two canvases besides.
_ANY, _WEBP = 10, 18
# PIL decodes a lazily opened image in place, so two threads must not ask for the same one at once.
_PIL_LOCKS = [threading.Lock() for _ in range(64)]


def is_path(item):
    """Whether an image is given by the path of its file."""
    return isinstance(item, (str, os.PathLike))


def read_image(item, name):
    """Decode one image.

    Parameters
    ----------
    item : path, PIL image, array (H, W) or (H, W, 1|3|4), or tensor (H, W) or (1|3|4, H, W)
        Colours with transparency are laid over black. Files and PIL images are turned upright by
        their EXIF orientation. Sixteen-bit values, which uint16 arrays and sixteen-bit files hold,
        are divided by 257, so 65535 becomes 255. Other numbers must lie between 0 and 255; in
        tensors of floating point numbers white is 1, as in torchvision.
    name : str
        Names the image in error messages.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    with _memory_errors_of(item, name):
        if is_path(item):
            item = on_picture(item, _pixels)
        elif isinstance(item, Image.Image):
            item = _decoded(item, name)
        return to_rgb(item, name)


def read_size(item, name):
    """Height and width of an image as :func:`read_image` returns it; of a file only the header."""
    if not is_path(item):
        return read_image(item, name).shape[:2]
    with _memory_errors_of(item, name):
        return on_picture(item, _upright_size)


@contextmanager
def _memory_errors_of(item, name):
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


_quiet_pillow = _QuietPillow()


def on_picture(path, function):
    """Apply a function to an opened image file; every failure but that of memory names the file."""
    try:
        with _quiet_pillow, open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is a pipe or a device")
            _check_webp(file.read(30))
            file.seek(0)
            # Given a path, PIL would map some formats to memory, and the system kills a process
            # that reads a mapped file which has become shorter.
            with Image.open(file) as image:
                if image.format == "EPS":
                    raise ValueError("it is PostScript, a program, which is not run")
                return function(image)
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
        empty = " (it has 0 bytes)" if os.path.getsize(path) == 0 else ""
        raise ValueError(
            f"{os.fspath(path)!r} is not an image file of a known format{empty}."
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        # Decoders fail in many ways: OSError, SyntaxError, struct.error, DecompressionBombError...
        raise ValueError(
            f"{_file(path)} cannot be decoded: {str(error) or type(error).__name__}"
        ) from error


def _open_without_waiting(path, flags):
    """Open a file; a pipe, which has no end to wait for, too."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _decoded(image, name):
    """Array of a PIL image, in its own shape and type of numbers."""
    try:
        with _quiet_pillow, _PIL_LOCKS[id(image) // 64 % len(_PIL_LOCKS)]:
            return _pixels(image)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{name}, a PIL image, cannot be decoded: {error}") from error


def upright(image):
    """A PIL image, decoded and turned by its orientation, its numbers and colours as they are."""
    _reserve(image.size, _ANY)
    # Loading comes first: PIL turns TIFF files by itself then, and removes their orientation.
    image.load()
    method = _UPRIGHT.get(_orientation(image))
    return image if method is None else image.transpose(method)


def _pixels(image):
    """Array (H, W) or (H, W, 3|4) of an image, upright."""
    sixteen_bit = image.format in ("PNG", "PPM")
    image = upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        # PIL opens sixteen-bit PGM files, and in some versions PNG files, in 32 bits.
        return values.astype(np.uint16) if image.mode == "I" and sixteen_bit else values
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _upright_size(image):
    """Height and width of an image that was just opened, once it is turned upright."""
    width, height = image.size
    if image.format == "TIFF":
        # Some versions of PIL turn the size of a TIFF file by themselves, others do not.
        width, height = image.tag_v2[_TIFF_WIDTH], image.tag_v2[_TIFF_HEIGHT]
    if image.format == "PNG" and not _has_metadata(image):
        return height, width
    turned = _orientation(image) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def _orientation(image):
    try:
        return image.getexif().get(_EXIF_ORIENTATION)
    except Exception:
        # Damaged metadata, over which PIL raises many kinds of errors, leaves the pixels usable.
        return None


def _has_metadata(image):
    """Whether a PNG file may hold an orientation; asking PIL would decode the whole image."""
    if {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"} & image.info.keys():
        return True
    file, place = image.fp, image.fp.tell()
    try:
        file.seek(8)
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            if kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            file.seek(length + 4, os.SEEK_CUR)
    finally:
        file.seek(place)
    return False


def _reserve(size, bytes_per_pixel):
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
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > 2 * limit:
        raise Image.DecompressionBombError(
            f"its {size[0]} x {size[1]} pixels are more than {2 * limit}, as in a decompression "
            "bomb; twice PIL.Image.MAX_IMAGE_PIXELS are allowed"
        )
    _reserve(size, _WEBP)


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
