# SPDX-License-Identifier: BSD-3-Clause
"""Image input: whatever users have, one by one, as uint8 RGB arrays."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["ImageList", "check_images", "read_image"]

_EXIF_ORIENTATION = 0x0112
_SHOWN = 5


class ImageList:
    """Validated sequence of images, decoded when asked for.

    Parameters
    ----------
    items : sequence
        Paths, PIL images and arrays, indexed by integers.
    """

    def __init__(self, items):
        self._items = items

    def __len__(self):
        return len(self._items)

    def name(self, index):
        """Name the image in messages: its path or its position."""
        return _name(self._items[index], index)

    def load(self, index):
        """Decode one image to uint8 (H, W, 3)."""
        item = self._items[index]
        return read_image(item, _name(item, index))

    def size(self, index):
        """Height and width of one image in pixels; of a file only the header is read."""
        item = self._items[index]
        if _is_path(item):
            return _on_file(item, _oriented_size)
        if isinstance(item, Image.Image):
            return _oriented_size(item)
        return read_image(item, _name(item, index)).shape[:2]


def check_images(X):
    """Validate a collection of images.

    Parameters
    ----------
    X : sequence of images, or array
        Paths, PIL images or arrays (H, W) or (H, W, 1|3|4), in a list or in any object with a
        length and integer indexing; or one array (n, H, W) or (n, H, W, 1|3|4).

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
    elif hasattr(X, "iloc"):
        X = list(X)
    if len(X) == 0:
        raise ValueError("X is empty: found 0 images, while at least 1 is required.")
    if isinstance(X, (list, tuple, np.ndarray)):
        _check_files(X)
    return ImageList(X)


def _check_array(X):
    """Check the shape of an array of images; a torch tensor or a Series becomes an array."""
    X = np.asarray(X)
    if X.ndim == 1 and X.dtype.kind in "OUT":
        return X
    if X.ndim == 3 and X.shape[-1] in (3, 4) and X.shape[0] > 4:
        raise ValueError(
            f"X has shape {X.shape}, which looks like a single colour image; pass X[np.newaxis], "
            "or for many grey images an array of shape (n, H, W, 1)."
        )
    if X.ndim not in (3, 4) or (X.ndim == 4 and X.shape[-1] not in (1, 3, 4)):
        raise ValueError(
            f"X has shape {X.shape}; an array of images must have shape (n, H, W), (n, H, W, 1), "
            "(n, H, W, 3) or (n, H, W, 4)."
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
    item : path, PIL image or array of shape (H, W) or (H, W, 1|3|4)
        Colours with transparency are laid over black. Files and PIL images are turned upright by
        their EXIF orientation. Sixteen-bit values are divided by 257, so 65535 becomes 255. Other
        numbers must lie between 0 and 255.
    name : str
        Names the image in error messages.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    if _is_path(item):
        return _on_file(item, lambda image: _from_pil(image, name))
    if isinstance(item, Image.Image):
        return _from_pil(item, name)
    if hasattr(item, "__array__") or isinstance(item, (list, tuple)):
        return _from_array(np.asarray(item), name)
    raise TypeError(f"{name} is a {type(item).__name__}; expected a path, a PIL image or an array.")


def _is_path(item):
    return isinstance(item, (str, os.PathLike))


def _name(item, index):
    return os.fspath(item) if _is_path(item) else f"image {index}"


def _on_file(path, function):
    """Apply a function to an opened image file; every failure names the file."""
    try:
        with Image.open(path) as image:
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
    except Exception as error:
        # Decoders fail in many ways: OSError, SyntaxError, struct.error, DecompressionBombError...
        raise ValueError(
            f"The image file {os.fspath(path)!r} cannot be decoded: {error}"
        ) from error


def _oriented_size(image):
    width, height = image.size
    turned = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    return (width, height) if turned else (height, width)


def _from_pil(image, name):
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if image.mode != "F" and values.size and values.min() >= 0 and values.max() <= 65535:
            values = values.astype(np.uint16)
        return _from_array(values, name)
    if image.has_transparency_data:
        return _from_array(np.asarray(image.convert("RGBA")), name)
    return np.asarray(image.convert("RGB"))


def _from_array(values, name):
    """Convert an array (H, W) or (H, W, 1|3|4) of any numbers to uint8 (H, W, 3)."""
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)):
        raise ValueError(
            f"{name} has shape {values.shape}; expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)."
        )
    if values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}: it has no pixels.")
    values = _to_uint8(values, name)
    if values.ndim == 2:
        values = values[:, :, np.newaxis]
    if values.shape[2] == 4:
        alpha = values[:, :, 3:].astype(np.uint16)
        values = ((values[:, :, :3] * alpha + 127) // 255).astype(np.uint8)
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    return np.ascontiguousarray(values)


def _to_uint8(values, name):
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if kind == "b":
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind not in "iuf":
        raise TypeError(f"{name} has values of type {values.dtype}; expected real numbers.")
    if kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    low, high = values.min(), values.max()
    if low < 0 or high > 255:
        raise ValueError(
            f"{name} has values from {low:g} to {high:g} of type {values.dtype}; expected 0 to 255 "
            "(or uint16 with 0 to 65535)."
        )
    if kind == "f" and 0 < high <= 1:
        raise ValueError(
            f"{name} has {values.dtype} values from {low:g} to {high:g}; expected 0 to 255. "
            "If white is 1 in this image, multiply it by 255."
        )
    return np.rint(values).astype(np.uint8)
