# SPDX-License-Identifier: BSD-3-Clause
"""Image input: whatever users have, one by one, as uint8 RGB arrays."""

import os
import stat
import struct
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from .arrays import from_array, to_array
from .memory import check_webp, naming, reserve

__all__ = ["ImageList", "Images", "check_images", "read_image"]

_EXIF_ORIENTATION = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SHOWN = 5
# PIL decodes a lazily opened image in place, so two threads must not ask for the same one at once.
_PIL_LOCKS = [threading.Lock() for _ in range(64)]


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


class Images(Protocol):
    """Type of what is taken for images: anything with a length and integer indexing.

    Lists, arrays, torch Datasets and lazy sequences, most of which are no `Sequence` of Python's.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class ImageList:
    """Validated sequence of images, decoded when asked for.

    Parameters
    ----------
    items : sequence
        Paths, PIL images, arrays and tensors, indexed by integers; or with anything after them in
        a tuple, as the items of a torch Dataset have their labels.
    """

    def __init__(self, items):
        self._items = items

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        """One image as it was given, without what comes after it."""
        item = self._items[index]
        is_labelled = isinstance(item, tuple) and item and _is_image(item[0])
        return item[0] if is_labelled else item

    def take(self, numbers):
        """Some of the images, not decoded yet; of a lazy sequence not even asked for."""
        if isinstance(self._items, (list, tuple, np.ndarray)):
            return ImageList([self._items[number] for number in numbers])
        from torch.utils.data import Subset

        return ImageList(Subset(self._items, numbers.tolist()))

    def name(self, index):
        """Name the image in messages: its path or its position."""
        return _name(self[index], index)

    def load(self, index):
        """Decode one image to uint8 (H, W, 3)."""
        item = self[index]
        return read_image(item, _name(item, index))

    def size(self, index):
        """Height and width of one image in pixels; of a file only the header is read."""
        item = self[index]
        if _is_path(item):
            with naming(_subject(item, self.name(index))):
                return _on_file(item, _oriented_size)
        return read_image(item, _name(item, index)).shape[:2]

    def check_size(self, index, size, grid):
        """Raise for an image whose size (H, W) has fewer pixels than the grid has patches."""
        if size[0] < grid[0] or size[1] < grid[1]:
            raise ValueError(
                f"{self.name(index)} has {size[0]} x {size[1]} pixels (height x width), fewer "
                f"than the {grid[0]} x {grid[1]} patches of the grid."
            )


def check_images(X):
    """Validate a collection of images.

    Parameters
    ----------
    X : sequence of images, or array
        Paths, PIL images or arrays (H, W) or (H, W, 1|3|4), in a list or in any object with a
        length and integer indexing; or one array (n, H, W) or (n, H, W, 1|3|4). A torch Dataset
        is such an object; the labels of its items are ignored.

    Returns
    -------
    ImageList

    Raises
    ------
    TypeError
        If `X` is no collection of images.
    ValueError
        If it is empty or an array of the wrong shape.
    FileNotFoundError
        If files do not exist; all of them are counted.
    """
    if isinstance(X, ImageList):
        X = X._items
    if isinstance(X, (str, bytes, os.PathLike)):
        raise TypeError(
            f"X is a single path, {os.fspath(X)!r}; pass a list of paths (skpatch.datasets."
            "load_folder lists the images of a folder)."
        )
    if isinstance(X, Image.Image):
        raise TypeError("X is a single PIL image; pass a list: [image].")
    if isinstance(X, Mapping) or not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        raise TypeError(
            f"X is a {type(X).__name__}; expected a sequence of images with a length and integer "
            "indexing. Turn a generator into a list: list(X)."
        )
    if hasattr(X, "ndim"):
        X = _check_array(X)
    if len(X) == 0:
        raise ValueError("X is empty: found 0 images, while at least 1 is required.")
    if isinstance(X, (list, tuple, np.ndarray)):
        _check_files(X)
    return ImageList(X)


def _check_array(X):
    """Check the shape of an array of images, pixels unread; a Series becomes an array."""
    if X.ndim == 1:
        X = np.asarray(X)
        if X.dtype.kind in "OUT":
            return X
    shape = tuple(X.shape)
    if len(shape) == 3 and shape[-1] in (3, 4) and shape[0] > 4:
        raise ValueError(
            f"X has shape {shape}, which looks like a single colour image; pass X[np.newaxis], "
            "or for many grey images an array of shape (n, H, W, 1)."
        )
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[-1] not in (1, 3, 4)):
        first = len(shape) == 4 and shape[1] in (1, 3, 4)
        hint = " Move the channels from the second axis to the last." if first else ""
        raise ValueError(
            f"X has shape {shape}; an array of images must have shape (n, H, W), (n, H, W, 1), "
            f"(n, H, W, 3) or (n, H, W, 4).{hint}"
        )
    return X


def _check_files(items):
    """Report all missing files at once, before any work."""
    missing = [os.fspath(item) for item in items if _is_path(item) and not os.path.exists(item)]
    if missing:
        shown = ", ".join(map(repr, missing[:_SHOWN]))
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise FileNotFoundError(
            f"{len(missing)} of {len(items)} image files do not exist: {shown}{more}."
        )


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
    with naming(_subject(item, name)):
        return from_array(_values(item, name), name)


def _values(item, name):
    """Array of any image, in its own shape and type of numbers."""
    if _is_path(item):
        return _on_file(item, _pixels)
    if isinstance(item, Image.Image):
        try:
            with _quiet_pillow, _PIL_LOCKS[id(item) // 64 % len(_PIL_LOCKS)]:
                return _pixels(item)
        except MemoryError:
            raise
        except Exception as error:
            raise ValueError(f"{name}, a PIL image, cannot be decoded: {error}") from error
    if hasattr(item, "__array__") or isinstance(item, (list, tuple)):
        try:
            return np.asarray(to_array(item))
        except (TypeError, ValueError, RuntimeError) as error:
            # A ragged list, or a tensor that has no counterpart in NumPy.
            raise ValueError(f"{name} cannot be made an array: {error}") from error
    raise TypeError(f"{name} is a {type(item).__name__}; expected a path, a PIL image or an array.")


def _is_image(item):
    """Whether it is an image rather than a row of one."""
    return _is_path(item) or isinstance(item, Image.Image) or getattr(item, "ndim", 0) > 1


def _is_path(item):
    return isinstance(item, (str, os.PathLike))


def _name(item, index):
    return os.fspath(item) if _is_path(item) else f"image {index}"


def _subject(item, name):
    """Begin a sentence about an image: a file is called one, with its path in quotes."""
    return f"The image file {os.fspath(item)!r}" if _is_path(item) else name


def _on_file(path, function):
    """Apply a function to an opened image file; every failure names the file."""
    try:
        with _quiet_pillow, open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is a pipe or a device")
            check_webp(file.read(30))
            file.seek(0)
            # Given a path, PIL would map some formats to memory, and the system kills a process
            # that reads a mapped file which has become shorter.
            with Image.open(file) as image:
                if image.format == "EPS":
                    raise ValueError("it is PostScript, a program, which is not run")
                return function(image)
    except FileNotFoundError:
        raise FileNotFoundError(f"The image file {os.fspath(path)!r} does not exist.") from None
    except (IsADirectoryError, PermissionError) as error:
        if Path(path).is_dir():
            raise IsADirectoryError(
                f"{os.fspath(path)!r} is a folder, not an image file; "
                "skpatch.datasets.load_folder lists its images."
            ) from None
        raise PermissionError(f"The image file {os.fspath(path)!r} cannot be read.") from error
    except UnidentifiedImageError:
        empty = " (it has 0 bytes)" if os.path.getsize(path) == 0 else ""
        raise ValueError(
            f"{os.fspath(path)!r} is not an image file of a known format{empty}."
        ) from None
    except MemoryError:
        # Callers name the image.
        raise
    except Exception as error:
        # Decoders fail in many ways: OSError, SyntaxError, struct.error, DecompressionBombError...
        raise ValueError(
            f"The image file {os.fspath(path)!r} cannot be decoded: "
            f"{str(error) or type(error).__name__}"
        ) from error


def _open_without_waiting(path, flags):
    """Open a file; a pipe, which has no end to wait for, too."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _oriented_size(image):
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


def _pixels(image):
    """Array (H, W) or (H, W, 3|4) of an image, upright."""
    reserve(image.size)
    # Loading comes first: PIL turns TIFF files by itself then, and removes their orientation.
    image.load()
    sixteen_bit = image.format in ("PNG", "PPM")
    method = _UPRIGHT.get(_orientation(image))
    if method is not None:
        image = image.transpose(method)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        # PIL opens sixteen-bit PGM files, and in some versions PNG files, in 32 bits.
        return values.astype(np.uint16) if image.mode == "I" and sixteen_bit else values
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))
