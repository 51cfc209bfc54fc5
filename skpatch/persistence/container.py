# SPDX-License-Identifier: BSD-3-Clause
"""The file of a saved model: JSON and arrays under a SHA-256. Reading it runs no code.

=============  =============================================================
8 bytes        0x89 and "skpatch"
8 bytes        version of the format
8 bytes        number of bytes of the JSON
32 bytes       SHA-256 of all other bytes of the file
JSON, UTF-8    ``{"arrays": [[name, dtype, shape], ...], "content": ...}``
the rest       the arrays in that order, in C order, without gaps
=============  =============================================================

All numbers are little-endian.
"""

import hashlib
import json
import math
import os
import struct

import numpy as np

from ..runtime.files import open_regular, replacing

__all__ = [
    "StoredArrays",
    "check_distance",
    "check_scales",
    "entries",
    "read_container",
    "write_container",
]

_MAGIC = b"\x89skpatch"
_VERSION = 1
_PREFIX = struct.Struct("<8sQQ")
_START = _PREFIX.size + hashlib.sha256().digest_size
_DTYPES = ("|b1", "|u1", "<i4", "<i8", "<f2", "<f4", "<f8")
# Of the JSON: its bytes, and its lists and objects, which take thirty times as much memory.
_LARGEST_JSON = 2**25
_MOST_LISTS = 20_000
# Of any array.
_MOST_AXES = 4
_CHUNK = 2**20
# Scores, products of a weight and a squared distance, stay finite.
_LARGEST_NUMBER = 1e200


def write_container(path, content, arrays):
    """Write JSON content and arrays, a dict, to a file that appears when it is complete."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    listed = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    text = json.dumps({"arrays": listed, "content": content}).encode()
    if len(text) > _LARGEST_JSON:
        raise ValueError(
            f"the names of images and features take {len(text)} bytes, and a model at most "
            f"{_LARGEST_JSON}; fit with shorter paths, or leave them out: del model.image_names_"
        )
    prefix = _PREFIX.pack(_MAGIC, _VERSION, len(text))
    parts = [text, *(array.reshape(-1).view(np.uint8) for array in arrays.values())]
    digest = hashlib.sha256(prefix)
    for part in parts:
        digest.update(part)
    with replacing(path) as file:
        for part in (prefix, digest.digest(), *parts):
            file.write(part)


def read_container(path):
    """Read what :func:`write_container` wrote: the content, and the arrays as StoredArrays.

    Raises
    ------
    ValueError
        For any other file. Nothing is allocated before its size is known to be in the file, and
        no array is read before all that is said of it makes sense.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        prefix, digest, length = _check_start(file, size)
        text = file.read(length)
        listed, content = entries(_parse(text), "arrays", "content")
        _check_listed(listed, size - _START - length)
        _check_digest(file, digest, prefix, text)
        file.seek(_START + length)
        arrays = {
            name: np.fromfile(file, dtype, math.prod(shape)).reshape(shape)
            for name, dtype, shape in listed
        }
    return content, StoredArrays(arrays)


def entries(mapping, *names, **defaults):
    """Values of a JSON object that must have these entries and no others but with defaults."""
    if isinstance(mapping, dict):
        mapping = {**defaults, **mapping}
    names = *names, *defaults
    found = sorted(mapping) if isinstance(mapping, dict) else type(mapping).__name__
    if found != sorted(names):
        raise ValueError(f"its JSON has {found}, not {sorted(names)}")
    return [mapping[name] for name in names]


def check_scales(n_scales, size):
    """Raise unless images of a size (H, W) can be halved for so many scales."""
    if type(n_scales) is not int or not 1 <= n_scales <= min(size).bit_length():
        raise ValueError(f"images of size {size!r} have no {n_scales!r} scales")


def check_distance(value, name):
    """Return a finite number that is at least 0, or raise."""
    value = float(value)
    if not 0 <= value < np.inf:
        raise ValueError(f"its {name} is no distance")
    return value


def _check_start(file, size):
    """Check format and version of an open file; its prefix, its SHA-256 and the JSON's length."""
    start = file.read(_START)
    if not start.startswith(_MAGIC):
        raise ValueError("it is not a model saved by skpatch.save")
    if len(start) < _START:
        raise ValueError("it is incomplete")
    prefix, expected = start[: _PREFIX.size], start[_PREFIX.size :]
    _, version, length = _PREFIX.unpack(prefix)
    if version != _VERSION:
        raise ValueError(
            f"its format has version {version}, and this skpatch reads version {_VERSION}; it is "
            "damaged, or was saved by another skpatch"
        )
    if length > min(size - _START, _LARGEST_JSON):
        raise ValueError("it is damaged or incomplete")
    return prefix, expected, length


def _parse(text):
    """Content of JSON that is not much larger in memory than in the file."""
    data = np.frombuffer(text.replace(rb"\\", b"").replace(rb"\"", b""), np.uint8)
    is_in_string = np.logical_xor.accumulate(data == ord('"'))
    begins = (data == ord("[")) | (data == ord("{"))
    if np.count_nonzero(begins & ~is_in_string) > _MOST_LISTS:
        raise ValueError(f"its JSON has more than {_MOST_LISTS} lists and objects")
    # Of bytes json would try other encodings, in which quotes are other bytes.
    return json.loads(text.decode())


def _check_digest(file, expected, *read):
    """Check the SHA-256 of what was read of an open file, and of the rest."""
    digest = hashlib.sha256(b"".join(read))
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    if digest.digest() != expected:
        raise ValueError("it is damaged or incomplete: its SHA-256 is not the stored one")


def _check_listed(listed, n_bytes):
    """Raise unless the arrays have names and known types, and fill `n_bytes` exactly."""
    names = set()
    for name, dtype, shape in listed:
        if not isinstance(name, str) or name in names:
            raise ValueError(f"its array {name!r} has no name of its own")
        names.add(name)
        if dtype not in _DTYPES:
            raise ValueError(f"its array {name!r} has the type {dtype!r}; known are {_DTYPES}")
        if len(shape) > _MOST_AXES:
            raise ValueError(f"its array {name!r} has {len(shape)} axes, more than {_MOST_AXES}")
        if not all(type(side) is int and 0 <= side <= n_bytes for side in shape):
            raise ValueError(f"its array {name!r} has the shape {shape}, and the file is too short")
    used = sum(np.dtype(dtype).itemsize * math.prod(shape) for _, dtype, shape in listed)
    if used != n_bytes:
        raise ValueError(
            f"it is damaged or incomplete: its arrays take {used} bytes, and the file has {n_bytes}"
        )


class StoredArrays:
    """The arrays of a file, taken out one by one.

    Parameters
    ----------
    arrays : dict of str to ndarray

    Attributes
    ----------
    sizes : dict of str to int
        The sizes that letters stand for, as far as they are known.
    """

    def __init__(self, arrays):
        self._arrays = arrays
        self.sizes = {}

    def __contains__(self, name):
        return name in self._arrays

    def take(self, name, dtype, axes, least=None, may_be_nan=False, most=_LARGEST_NUMBER):
        """Take an array out; its shape is checked against letters and digits, as in "md" or "m3".

        The same letter means the same size in all arrays. Floating point numbers must be finite,
        unless they may be NaN, at least `least` if there is such a limit, and at most `most`.
        """
        if name not in self._arrays:
            raise ValueError(f"it has no array {name!r}")
        array = self._arrays.pop(name)
        sizes = {axis: int(axis) for axis in axes if axis.isdigit()}
        sizes.update((axis, self.sizes[axis]) for axis in axes if axis in self.sizes)
        expected = tuple(sizes.get(axis, axis) for axis in axes)
        if array.dtype != dtype or array.ndim != len(axes):
            raise ValueError(
                f"its array {name!r} is {array.dtype} {array.shape}, not {dtype} {expected}"
            )
        for axis, size in zip(axes, array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(f"its array {name!r} has the shape {array.shape}, not {expected}")
        self.sizes.update(sizes)
        if array.dtype.kind == "f":
            most = min(most, float(np.finfo(array.dtype).max))
            is_valid = (array >= (-most if least is None else least)) & (array <= most)
            if not (is_valid | (may_be_nan & np.isnan(array))).all():
                raise ValueError(f"its array {name!r} has numbers that no model has")
        return array

    def take_bytes(self, name):
        """Take out an array of bytes, of any length."""
        array = self._arrays.pop(name)
        if array.dtype != np.uint8 or array.ndim != 1:
            raise ValueError(f"its array {name!r} is {array.dtype} {array.shape}, not bytes")
        return array.tobytes()

    @staticmethod
    def check_below(name, array, limits):
        """Raise unless the entries of an integer array are at least 0 and below the limits."""
        if (array < 0).any() or (array >= limits).any():
            raise ValueError(f"its array {name!r} points at what does not exist")

    def finish(self):
        """Raise if an array was not taken out."""
        if self._arrays:
            raise ValueError(f"it has unknown arrays: {', '.join(map(repr, self._arrays))}")
