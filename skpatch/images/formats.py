# SPDX-License-Identifier: BSD-3-Clause
"""Which formats of files are decoded, and what a file of another one is."""

__all__ = ["FORMATS", "HEIF", "PROGRAMS", "describe", "jpeg_2000_bits", "reads_heif"]

# Pillow tries no others, whatever the name of a file: some of its formats start programs.
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# The format of HEIC files, which another package has Pillow read.
HEIF = "HEIF"
# Formats that Pillow has another program run.
PROGRAMS = ("EPS",)

_CONVERT = "convert it to PNG or JPEG"
_HEIF = "install the package extra skpatch[heic], or convert it to PNG or JPEG"
_ARRAY = "read it with its own library, and pass arrays"
# Place and bytes by which files are known that are often met among images.
_KNOWN = (
    (0, b"%!PS", "PostScript, a program, which is not run", _CONVERT),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript, a program, which is not run", _CONVERT),
    (0, b"%PDF", "a PDF document", _CONVERT),
    (4, b"ftyphei", "a HEIC photograph", _HEIF),
    (4, b"ftyphev", "a HEIC photograph", _HEIF),
    (4, b"ftypmif1", "a HEIF photograph", _HEIF),
    (4, b"ftypmsf1", "a HEIF photograph", _HEIF),
    (4, b"ftypavi", "an AVIF image", _CONVERT),
    (4, b"ftypcrx", "a raw photograph of a camera", _CONVERT),
    (4, b"ftyp", "a video", "pass single images of it"),
    (8, b"AVI ", "a video", "pass single images of it"),
    (0, b"\xff\x0a", "a JPEG XL image", _CONVERT),
    (4, b"JXL ", "a JPEG XL image", _CONVERT),
    (0, b"II\xbc\x01", "a JPEG XR image", _CONVERT),
    (0, b"8BPS", "a Photoshop document", _CONVERT),
    (0, b"\0\0\x01\0", "an icon", _CONVERT),
    (0, b"<svg", "an SVG drawing", _CONVERT),
    (0, b"<?xml", "an XML document", "pass images"),
    (0, b"<!DOCTYPE html", "a web page", "download the image itself"),
    (0, b"<html", "a web page", "download the image itself"),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "run git lfs pull to get the file"),
    (0, b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (0, b"Rar!", "a RAR archive", "unpack it"),
    (0, b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it"),
    (128, b"DICM", "a DICOM image", _ARRAY),
    (0, b"v/1\x01", "an OpenEXR image", _ARRAY),
    (0, b"SIMPLE  =", "a FITS image", _ARRAY),
    (0, b"\x89HDF", "an HDF5 file", _ARRAY),
    (0, b"\x93NUMPY", "a NumPy array", "read it with numpy.load, and pass the array"),
)


def reads_heif():
    """Whether HEIC and HEIF files are read: from now on if pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def describe(header):
    """Say what a file is that is not decoded, and what to do, by its first bytes; None if unknown.

    Parameters
    ----------
    header : bytes
        The first 132 bytes, or all there are.
    """
    for place, magic, what, advice in _KNOWN:
        if header[place : place + len(magic)] == magic:
            if advice == _HEIF and reads_heif():
                return None
            return f"it is {what}; {advice}"
    return None


def jpeg_2000_bits(data):
    """Most bits of a channel that a JPEG 2000 file declares; 0 if it declares none.

    Parameters
    ----------
    data : bytes
        The whole file, with or without boxes around the code.
    """
    # The code begins with the sizes; 40 bytes on is the number of channels, then 3 bytes for each.
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 42:
        return 0
    n_channels = int.from_bytes(data[start + 40 : start + 42], "big")
    channels = data[start + 42 : start + 42 + 3 * n_channels : 3]
    return max(((bits & 0x7F) + 1 for bits in channels), default=0)
