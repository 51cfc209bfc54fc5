# SPDX-License-Identifier: BSD-3-Clause
"""Too little memory for an image is noticed before a library runs out of it while it decodes.

Several then say what they say of a damaged file, which would be skipped.
"""

from contextlib import contextmanager

import numpy as np
from PIL import Image

__all__ = ["check_webp", "naming", "reserve"]

# Bytes a pixel, the least that decoding takes. libwebp has two canvases besides.
_ANY, _WEBP = 10, 18


@contextmanager
def naming(name):
    """Have errors of too little memory say for which image."""
    try:
        yield
    except MemoryError as error:
        said = f": {error}" if str(error) else ""
        raise MemoryError(
            f"{name} is too large to decode in the memory that is left{said}"
        ) from error


def reserve(size, pixel=_ANY):
    """Raise unless there is memory for an image, given its width and height."""
    n_bytes = size[0] * size[1] * pixel
    try:
        np.empty(n_bytes, np.uint8)
    except MemoryError:
        said = f"its {size[0]} x {size[1]} pixels take more than {n_bytes / 2**20:.0f} MB"
        raise MemoryError(said) from None


def check_webp(header):
    """Raise for a WebP file that is larger than Pillow's limit, or than memory.

    libwebp takes memory for all pixels when a file is opened, before some versions of Pillow
    compare their number with the limit.

    Parameters
    ----------
    header : bytes
        The first 30 bytes of a file of any format.
    """
    size = _canvas(header)
    if size is None:
        return
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > 2 * limit:
        raise Image.DecompressionBombError(
            f"its {size[0]} x {size[1]} pixels are more than {2 * limit}, as in a decompression "
            "bomb; twice PIL.Image.MAX_IMAGE_PIXELS are allowed"
        )
    reserve(size, _WEBP)


def _canvas(header):
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
