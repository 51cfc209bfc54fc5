# SPDX-License-Identifier: BSD-3-Clause
"""One image of any form, read: a file, a PIL image, or what becomes an array.

Files and PIL images are turned upright and decoded here and nowhere else.
"""

import os
import struct
import threading
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..runtime.text import shown
from .arrays import measure_colours, to_array, to_rgb
from .files import (
    check_limit,
    is_path,
    memory_errors_of,
    on_content,
    on_file,
    open_picture,
    quiet_pillow,
    reserve,
)
from .formats import PROGRAMS, jpeg_2000_bits
from .tiff import SAVE_IT, Tiff, is_tiff, tag_layout

__all__ = [
    "Pixels",
    "decode",
    "read_content",
    "read_image",
    "read_size",
    "survey",
]

_EXIF_ORIENTATION = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
# ImageOps.exif_transpose writes all metadata again, and fails if others than the orientation are
# damaged.
_UPRIGHT = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}
# Bytes a pixel, the least that decoding takes.
_LEAST = 10
# Of a JPEG file; encoders write ten or so.
_MOST_SCANS = 64
# PIL decodes a lazily opened image in place, so two threads must not ask for the same one at once.
_PIL_LOCKS = [threading.Lock() for _ in range(64)]


class Pixels(NamedTuple):
    """An image decoded, upright, with its numbers as they were stored.

    Attributes
    ----------
    values : ndarray of shape (H, W) or (H, W, 1|3|4)
    is_negative : bool
        Whether the smallest value is white.
    n_left_out : int
        Number of the other pages of its file, or pictures of its animation.
    """

    values: np.ndarray
    is_negative: bool = False
    n_left_out: int = 0


def read_image(item, name, intensity_range=None):
    """Decode one image.

    Parameters
    ----------
    item : path, PIL image, array (H, W) or (H, W, 1|3|4), or tensor (H, W) or (1|3|4, H, W)
        Colours with transparency are laid over black. Files and PIL images are turned upright by
        their EXIF orientation, which a PIL image keeps when it is turned by hand.
    name : str
        Names the image in error messages.
    intensity_range : (black, white), "auto" or None
        Of what is not 8-bit; see :func:`~skpatch.images.intensity.to_uint8`.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    with memory_errors_of(item, name):
        pixels = decode(item, name)
        return to_rgb(pixels.values, name, intensity_range, pixels.is_negative)


def read_content(content, name, intensity_range=None):
    """Decode the bytes of an image file, as :func:`read_image` does a file with a path."""
    with memory_errors_of(None, name):
        pixels = on_content(content, name, _file_pixels)
        return to_rgb(pixels.values, name, intensity_range, pixels.is_negative)


def read_size(item, name):
    """Height and width of an image as :func:`read_image` returns it; of a file only the header."""
    with memory_errors_of(item, name):
        if is_path(item):
            return on_file(item, _file_survey)[0]
        return decode(item, name).values.shape[:2]


def survey(item, name):
    """Height and width of an image, and its Numbers, or None for one that is 8-bit.

    Of a file whose header says that it is 8-bit no more is read.
    """
    with memory_errors_of(item, name):
        if is_path(item):
            size, is_eight_bit = on_file(item, _file_survey)
            if is_eight_bit:
                return size, None
        values = decode(item, name).values
        return values.shape[:2], measure_colours(values, name)


def decode(item, name):
    """Pixels of one image of any form."""
    if is_path(item):
        return on_file(item, _file_pixels)
    if isinstance(item, Image.Image):
        return Pixels(_decoded(item, name))
    return Pixels(to_array(item, name))


def _file_pixels(file, header):
    """Pixels of an opened file."""
    tiff = Tiff(file) if is_tiff(header) else None
    if tiff is not None and not tiff.layout.is_read_by_pillow:
        _check_tiff(tiff)
        values = _turned(tiff.decode(), tiff.orientation)
        return Pixels(values, tiff.is_negative, tiff.n_left_out)
    with _opened(file, tiff) as image:
        n_left_out = _other_frames(image) if tiff is None else tiff.n_left_out
        is_deep = _is_deep_png(image)
        values = _deep_png(image, file) if is_deep else _picture_pixels(image)
        return Pixels(values, n_left_out=n_left_out)


def _file_survey(file, header):
    """Height and width of an opened file once it is turned upright, and whether it is 8-bit."""
    tiff = Tiff(file) if is_tiff(header) else None
    if tiff is not None and not tiff.layout.is_read_by_pillow:
        _check_tiff(tiff)
        size = tiff.size[::-1] if tiff.orientation in (5, 6, 7, 8) else tiff.size
        return size, tiff.is_eight_bit
    with _opened(file, tiff) as image:
        is_deep = _is_deep(image) or _is_deep_png(image)
        return _upright_size(image), not is_deep if tiff is None else tiff.is_eight_bit


def _opened(file, tiff=None):
    """Open a file with Pillow from its beginning, if Pillow reads it rightly."""
    file.seek(0)
    try:
        image = open_picture(file)
    except UnidentifiedImageError:
        if tiff is None:
            raise
        raise ValueError(f"{tiff.words}, which is damaged or not read; {SAVE_IT}") from None
    _check_picture(image)
    return image


def _check_tiff(tiff):
    """Raise for a TIFF file that is not read, or larger than memory."""
    check_limit(tiff.size[::-1])
    tiff.check()
    reserve(tiff.size[::-1], max(_LEAST, tiff.n_bytes // max(1, tiff.size[0] * tiff.size[1])))


def _check_picture(image):
    """Raise for an image that Pillow has opened and must not, or cannot rightly, decode."""
    if image.format in PROGRAMS:
        raise ValueError("it is PostScript, a program, which is not run")
    if image.format == "TIFF" and hasattr(image, "tag_v2"):
        is_little_endian = image.tag_v2.prefix == b"II"
        if not tag_layout(image.tag_v2.get, is_little_endian).is_read_by_pillow:
            raise ValueError(
                "Pillow does not read this kind of TIFF file rightly; pass its path, or save it "
                "as grey or RGB of 8 bits"
            )
    if image.format == "JPEG2000" and not _is_deep(image) and image.fp is not None:
        # Pillow rounds the brightest values beyond white, to black.
        place = image.fp.tell()
        image.fp.seek(0)
        bits = jpeg_2000_bits(image.fp.read())
        image.fp.seek(place)
        if bits > 8:
            raise ValueError(
                f"it is a JPEG 2000 file with colours of {bits} bits, which Pillow does not read "
                "rightly; convert it to 8 bits, or to PNG or TIFF"
            )


def _decoded(image, name):
    """Array of a PIL image, in its own shape and type of numbers."""
    try:
        with quiet_pillow, _PIL_LOCKS[id(image) // 64 % len(_PIL_LOCKS)]:
            _check_picture(image)
            return _picture_pixels(image)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{name}, a PIL image, cannot be decoded: {shown(error)}") from error


def _load(image):
    """Decode a PIL image in place, and return the orientation that it is to be turned by."""
    reserve(image.size, _LEAST)
    if image.format in ("JPEG", "MPO") and image.fp is not None:
        _check_scans(image.fp)
    # Loading comes first: PIL turns TIFF files by itself then, and removes their orientation.
    image.load()
    return _orientation(image)


def _check_scans(file):
    """Raise for a JPEG file that goes over its pixels again and again, for minutes of decoding."""
    place = file.tell()
    file.seek(0)
    # In the pixels' own code these two bytes do not follow each other.
    n_scans = file.read().count(b"\xff\xda")
    file.seek(place)
    if n_scans > _MOST_SCANS:
        raise ValueError(
            f"it is a JPEG file of {n_scans} scans, as only an attack has; save it again"
        )


def _turned(values, orientation):
    """Pixels (H, W) or (H, W, c) turned upright."""
    return _UPRIGHT.get(orientation, np.asarray)(values)


def _picture_pixels(image):
    """Array (H, W) or (H, W, 3|4) of an image, upright."""
    orientation = _load(image)
    sixteen_bit = image.format in ("PNG", "PPM")
    if _is_deep(image):
        values = np.asarray(image)
        # PIL opens sixteen-bit PGM files, and in some versions PNG files, in 32 bits.
        values = values.astype(np.uint16) if image.mode == "I" and sixteen_bit else values
    else:
        mode = "RGBA" if image.has_transparency_data else "RGB"
        values = np.asarray(image if image.mode == mode else image.convert(mode))
    return _turned(values, orientation)


def _is_deep(image):
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _is_deep_png(image):
    """Whether PIL would keep the upper 8 bits only of colours that were just opened."""
    is_deep = image.format == "PNG" and image.tile and image.tile[0][3] in ("RGB;16B", "RGBA;16B")
    return is_deep and "transparency" not in image.info


def _deep_png(image, file):
    """Array (H, W, 3|4), uint16, of an opened PNG file with colours of 16 bits."""
    upper = _picture_pixels(image)
    file.seek(0)
    with open_picture(file) as image:
        # PIL takes the first byte of each number, or for the other order of bytes the second.
        *place, order = image.tile[0]
        image.tile = [(*place, order.replace("16B", "16L"))]
        lower = _picture_pixels(image)
    return upper.astype(np.uint16) << 8 | lower


def _other_frames(image):
    """Number of pictures of an animation that was just opened, but for the first."""
    # Photographs of telephones hold copies of themselves, which do not count.
    if image.format not in ("GIF", "PNG", "WEBP"):
        return 0
    try:
        return getattr(image, "n_frames", 1) - 1
    except Exception:
        # Damage behind the first picture leaves it usable.
        return 0


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
