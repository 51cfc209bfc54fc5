# SPDX-License-Identifier: BSD-3-Clause
"""TIFF files: which of them Pillow reads rightly, and all others that can be read, with tifffile.

Pillow takes planes of 16-bit colours for one grey plane, does not invert 16-bit negatives, and
keeps the upper 8 bits of colours; others it does not open at all.
"""

import logging
import struct
import zlib
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

__all__ = ["SAVE_IT", "Layout", "Tiff", "is_tiff", "tag_layout"]

# Of tags, as in the specification of TIFF 6.0.
_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 254, 258, 259, 262, 277
_ORIENTATION, _PLANES, _PREDICTOR, _EXTRA, _NUMBERS = 274, 284, 317, 338, 339
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _INKS = 0, 1, 2, 5
_ALPHA = 2
_PACKBITS, _DEFLATE = 32773, (8, 32946)
_COMPRESSIONS = {5: "LZW", _PACKBITS: "PackBits", 34925: "LZMA", 50000: "Zstandard"}
_OF_PILLOW = (1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32946, 34676, 34677, 34925, 50000, 50001)
_MOST_CHANNELS = 8
# Sizes of numbers that need no unpacking.
_WHOLE = (8, 16, 32, 64)
SAVE_IT = "save it as grey or RGB, of 8 or 16 bits"
# That are counted; each may begin anywhere in a damaged file.
_MOST_PAGES = 2**16
# Pages that are copies of another at a smaller size, or say which of its pixels are seen.
_REDUCED_OR_MASK = 1 | 4

# It reports damage to its log too, which would show it on standard error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class Layout(NamedTuple):
    """How the pixels of a page are stored."""

    bits: int
    numbers: int
    samples: int
    photometric: int
    planes: int
    compression: int
    predictor: int
    is_little_endian: bool

    @property
    def is_read_by_pillow(self):
        """Whether Pillow reads it rightly, as it was compared with tifffile."""
        ignores_predictor = self.compression == _PACKBITS and self.predictor != 1
        if ignores_predictor or self.compression not in _OF_PILLOW:
            return False
        is_one, is_black = self.samples == 1, self.photometric == _MIN_IS_BLACK
        if self.numbers == 3:
            is_native = self.is_little_endian or self.compression == 1
            return self.bits == 32 and is_one and is_black and is_native
        if self.numbers not in (1, 4):
            return False
        if self.bits == 16:
            return is_one and is_black
        if self.photometric in (_MIN_IS_WHITE, _MIN_IS_BLACK):
            has_alpha = self.samples == 2 and self.planes == 1 and self.bits == 8
            return (is_one and self.bits in (1, 2, 4, 8)) or has_alpha
        if is_one:
            return self.bits <= 8
        are_planes_joined = self.planes == 1 or self.photometric in (_RGB, _INKS)
        return self.bits == 8 and self.samples <= 4 and are_planes_joined


def is_tiff(header):
    """Whether a file that begins with these bytes is a TIFF file."""
    return header[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def tag_layout(get, is_little_endian):
    """Layout from a function from the number of a tag and a default to the tag's value."""

    def number(tag, default):
        values = np.unique(np.atleast_1d(get(tag, default)))
        if len(values) > 1 and tag in (_BITS, _NUMBERS):
            raise ValueError(f"its channels have different types of numbers, {values.tolist()}")
        return int(values[0])

    return Layout(
        bits=number(_BITS, 1),
        numbers=number(_NUMBERS, 1),
        samples=number(_SAMPLES, 1),
        photometric=number(_PHOTOMETRIC, _MIN_IS_WHITE),
        planes=number(_PLANES, 1),
        compression=number(_COMPRESSION, 1),
        predictor=number(_PREDICTOR, 1),
        is_little_endian=is_little_endian,
    )


class Tiff:
    """The first page of an opened TIFF file.

    Attributes
    ----------
    layout : Layout
    size : tuple (H, W)
        As stored.
    orientation : int
        As in EXIF.
    n_left_out : int
        Number of the other pages that are images of their own.
    """

    def __init__(self, file):
        import tifffile

        try:
            self._read_header(tifffile.TiffFile(file))
        except MemoryError:
            raise
        except Exception as error:
            # Damage ends in many kinds of errors.
            said = str(error) or type(error).__name__
            raise ValueError(f"it is a TIFF file with a damaged header ({said})") from error

    def _read_header(self, file):
        pages = file.pages
        self._handle, self._page = file.filehandle, pages[0]
        self.layout = tag_layout(self._page.tags.valueof, file.byteorder == "<")
        self.size = self._page.imagelength, self._page.imagewidth
        self.orientation = self._page.tags.valueof(_ORIENTATION, 1)
        self._extra = int(np.atleast_1d(self._page.tags.valueof(_EXTRA, 0))[0])
        self.n_left_out = _n_other_pages(file.filehandle, file.tiff, self._page.offset)

    @property
    def is_eight_bit(self):
        """Whether all values are at most eight-bit, so that what white is need not be learned."""
        return self._page.dtype in (np.uint8, np.bool_)

    @property
    def n_bytes(self):
        """Bytes of all channels once they are decoded."""
        return int(np.prod(self._page.shaped, dtype=object)) * self._page.dtype.itemsize

    @property
    def is_negative(self):
        """Whether the smallest value is white."""
        return self.layout.photometric == _MIN_IS_WHITE

    def check(self):
        """Raise for what cannot be read rightly, before anything is decoded; say what it is."""
        layout, page = self.layout, self._page
        is_grey = layout.photometric in (_MIN_IS_WHITE, _MIN_IS_BLACK)
        if page.dtype is None or page.dtype.kind not in "buif":
            raise ValueError(f"{self.words} with numbers of an unknown type; {SAVE_IT}")
        _check_codec(layout, self.words)
        if layout.photometric not in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB):
            raise ValueError(f"{self.words}, which is not converted to RGB; {SAVE_IT}")
        if is_grey and layout.samples > 2:
            raise ValueError(
                f"{self.words}: it does not say which of its channels are colours; {SAVE_IT}"
            )
        if layout.photometric == _RGB and not 3 <= layout.samples <= _MOST_CHANNELS:
            raise ValueError(f"{self.words}, not 3 to {_MOST_CHANNELS}; {SAVE_IT}")
        if page.imagedepth != 1:
            raise ValueError(f"{self.words}, a volume; pass its slices as images")
        if 0 in page.shaped:
            raise ValueError("it has no pixels")
        self._check_segments()

    def decode(self):
        """Array (H, W) or (H, W, 3|4) of the numbers as stored; raise for what is damaged."""
        values = self._page.asarray(squeeze=False, maxworkers=1)
        # To (H, W, channels), from (planes, 1, H, W, channels of a plane).
        values = np.moveaxis(values[:, 0], 0, 2).reshape(*self.size, -1)
        n_colours = 3 if self.layout.photometric == _RGB else 1
        # Colours that are premultiplied already lie over black.
        if values.shape[2] == n_colours or self._extra != _ALPHA:
            return values[:, :, 0] if n_colours == 1 else values[:, :, :3]
        colours = np.broadcast_to(values[:, :, :n_colours], (*self.size, 3))
        return np.concatenate([colours, values[:, :, n_colours : n_colours + 1]], axis=2)

    @property
    def words(self):
        """What it is, to begin a sentence."""
        layout = self.layout
        number = {1: "bit", 2: "bit signed", 3: "bit floating-point"}.get(layout.numbers, "bit")
        name = getattr(self._page.photometric, "name", layout.photometric)
        channels = f"{layout.samples} channel{'s' * (layout.samples != 1)}"
        return f"it is a TIFF file of {channels} of {layout.bits}-{number} numbers ({name})"

    def _check_segments(self):
        """Raise if strips or tiles are missing; tifffile would leave them black."""
        page, end = self._page, self._handle.size
        places = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        # tifffile joins strips that are not compressed and follow each other.
        is_joined = page.is_contiguous and len(places) == 1
        is_complete = is_joined or len(places) == int(np.prod(page.chunked, dtype=object))
        if not is_complete or any(n <= 0 or place + n > end for place, n in places):
            raise ValueError("it is incomplete: strips or tiles are missing")
        if self.layout.compression in _DEFLATE and not _has_codecs():
            for place, count in places:
                self._check_inflated(place, count)

    def _check_inflated(self, place, count):
        """Raise if a strip or tile holds more than it may; zlib alone would fill the memory."""
        page = self._page
        most = int(np.prod(page.chunks, dtype=object)) * page.dtype.itemsize
        self._handle.seek(place)
        if len(zlib.decompressobj().decompress(self._handle.read(count), most + 1)) > most:
            raise ValueError("its strips or tiles hold more pixels than the image")


def _n_other_pages(handle, kind, offset):
    """Number of pages behind one that are images of their own; a loop of pages ends the count.

    tifffile itself goes around some loops for ever.
    """
    seen, n_images = set(), 0
    while offset and offset not in seen and len(seen) < _MOST_PAGES:
        seen.add(offset)
        handle.seek(offset)
        try:
            (n_tags,) = struct.unpack(kind.tagnoformat, handle.read(kind.tagnosize))
            tags = handle.read(n_tags * kind.tagsize)
            (offset,) = struct.unpack(kind.offsetformat, handle.read(kind.offsetsize))
        except struct.error:
            break
        n_images += not _subfile(tags, kind) & _REDUCED_OR_MASK
    return max(0, n_images - 1)


def _subfile(tags, kind):
    """What a page is to others, by the bytes of its tags, the lowest of which comes first."""
    if len(tags) < kind.tagsize or struct.unpack_from(kind.byteorder + "H", tags)[0] != _SUBFILE:
        return 0
    return struct.unpack_from(kind.byteorder + "I", tags, kind.tagsize - kind.offsetsize)[0]


def _has_codecs():
    return find_spec("imagecodecs") is not None


def _check_codec(layout, words):
    """Raise unless the pixels can be decompressed, with no more memory than they take."""
    compression, bits = layout.compression, layout.bits
    # Neither says whether rows of several channels begin with a byte of their own.
    if 1 < bits < 8 or (bits == 1 and layout.samples > 1):
        raise ValueError(f"{words}; {SAVE_IT}")
    if compression not in (1, *_DEFLATE, *_COMPRESSIONS):
        import tifffile

        known = {code.value: code.name for code in tifffile.COMPRESSION}
        raise ValueError(
            f"{words}, compressed as {known.get(compression, compression)}; save it without "
            "compression, or with LZW or deflate"
        )
    is_simple = layout.predictor == 1 or (layout.predictor == 2 and layout.numbers != 3)
    is_plain = compression in (1, *_DEFLATE) and is_simple and bits in (1, *_WHOLE)
    if not is_plain and not _has_codecs():
        name = _COMPRESSIONS.get(compression, "packed or predicted numbers")
        raise ValueError(
            f"{words}, stored with {name}, which takes the package imagecodecs: install "
            "skpatch[tiff], or save the file without compression"
        )
