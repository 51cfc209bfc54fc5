# SPDX-License-Identifier: BSD-3-Clause
"""Bit depth: which number is white in images that are not 8-bit, learned from a set of them."""

import warnings
from typing import NamedTuple

import numpy as np

__all__ = ["Numbers", "does_not_fit", "learn_range", "measure", "to_uint8"]

# Of 8-bit, 10-bit, 12-bit, 14-bit and 16-bit cameras; of floating-point numbers 1, too.
_WHITES = 255, 1023, 4095, 16383, 65535
# Resampling takes floating-point numbers beyond black and white by some of their difference.
_OVERSHOOT = 0.1
# An image none of whose values reaches that part of white is black to the eye. Two sensors that
# differ by four bits differ by that much.
_DARK = 1 / 16
# Names that a message lists.
_SHOWN = 3
# Of an image, converted at a time.
_ROWS = 256


class Numbers(NamedTuple):
    """Which numbers an image holds that is not 8-bit."""

    is_float: bool
    low: float
    high: float


def measure(values, name):
    """Smallest and largest value of an image, Numbers; None if it is 8-bit or has two values.

    Raises
    ------
    TypeError, ValueError
        If its values are not real, or not finite.
    """
    kind = values.dtype.kind
    if values.dtype == np.uint8 or kind == "b":
        return None
    if kind not in "iuf":
        raise TypeError(f"{name} has values of type {values.dtype}; expected real numbers.")
    if kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    return Numbers(kind == "f", float(values.min()), float(values.max()))


def to_uint8(values, name, intensity_range=None):
    """Convert values of any real numbers to uint8, black to 0 and white to 255, others clipped.

    Parameters
    ----------
    values : ndarray
    name : str
        Begins the error messages.
    intensity_range : (black, white), "auto" or None
        For what is not 8-bit. "auto" learns it from the image alone. None has it by the type of
        numbers: white is 65535 for uint16, 1 for floating-point numbers up to 1, and 255 for all
        others, which must not be larger.
    """
    numbers = measure(values, name)
    if numbers is None:
        return values if values.dtype == np.uint8 else values.astype(np.uint8) * 255
    if intensity_range == "auto":
        intensity_range = learn_range([numbers], [name])
    black, white = intensity_range or _usual_range(numbers, values.dtype, name)
    scaled = np.empty(values.shape, np.uint8)
    convert = _converter(values.dtype, black, white)
    # Numbers take up to eight times the memory while they are converted.
    for start in range(0, len(values), _ROWS):
        scaled[start : start + _ROWS] = convert(values[start : start + _ROWS])
    return scaled


def _converter(dtype, black, white):
    """Function from values of a type to uint8."""
    if dtype.kind == "u" and dtype.itemsize == 2:
        table = _scale(np.arange(2**16, dtype=np.float64), black, white)
        return table.__getitem__
    is_short = dtype.kind == "f" and dtype.itemsize <= 4
    return lambda values: _scale(values.astype(np.float32 if is_short else float), black, white)


def _scale(values, black, white):
    """Scale a fresh array of floating-point numbers, in place."""
    values -= black
    values *= 255 / (white - black)
    np.clip(values, 0, 255, out=values)
    return np.rint(values, out=values).astype(np.uint8)


def _usual_range(numbers, dtype, name):
    """Range by the type of numbers."""
    if dtype.kind == "u" and dtype.itemsize == 2:
        return 0, 65535
    if numbers.low < 0 or numbers.high > 255:
        raise ValueError(
            f"{name} has values from {numbers.low:g} to {numbers.high:g} of type {dtype}; expected "
            "0 to 255 (or uint16 with 0 to 65535). PatchFeatureExtractor(intensity_range=(black, "
            "white)) reads others."
        )
    return (0, 1) if numbers.is_float and numbers.high <= 1 else (0, 255)


def learn_range(numbers, names):
    """Range (black, white) of a set of images: black is 0, and white the smallest that holds them.

    Parameters
    ----------
    numbers : list of Numbers or None
        Of each image; None for those that are 8-bit, which are read as they are.
    names : list of str

    Returns
    -------
    (float, float), or None if all images are 8-bit

    Raises
    ------
    ValueError
        If values are negative or beyond all that white can be, or if white is another for images
        of integers and for those of floating-point numbers.

    Warns
    -----
    UserWarning
        If images are so much darker than others that they are likely of another bit depth.
    """
    deep = [(one, name) for one, name in zip(numbers, names, strict=True) if one is not None]
    if not deep:
        return None
    found = {}
    for is_float in {one.is_float for one, _ in deep}:
        highest = max(((one, name) for one, name in deep if one.is_float == is_float), key=_high)
        found[_white(*highest)] = highest
    if len(found) > 1:
        first, second = (f"{name} {_values(one)}" for one, name in found.values())
        raise ValueError(
            f"Images differ in which number is white: {first}, {second}. Convert them to one type "
            "of numbers, or pass intensity_range=(black, white)."
        )
    white = float(*found)
    lowest, name = min(deep, key=lambda pair: pair[0].low)
    if lowest.low < (-_OVERSHOOT * white if lowest.is_float else 0):
        raise ValueError(
            f"{name} {_values(lowest)}; negative ones have no range that can be learned. "
            "intensity_range=(black, white) says it."
        )
    _warn_of_dark(deep, white)
    return 0.0, white


def _high(pair):
    return pair[0].high


def _values(numbers):
    kind = "floating-point" if numbers.is_float else "integer"
    return f"has {kind} values from {numbers.low:g} to {numbers.high:g}"


def _white(numbers, name):
    """White of a set of images, by the one with the largest value."""
    whites, most = _WHITES, numbers.high
    if numbers.is_float:
        whites, most = (1, *_WHITES), most / (1 + _OVERSHOOT)
    for white in whites:
        if most <= white:
            return white
    raise ValueError(
        f"{name} {_values(numbers)}, beyond {_WHITES[-1]}; pass intensity_range=(black, white)."
    )


def _warn_of_dark(deep, white):
    dark = [name for one, name in deep if one.high <= _DARK * white]
    if 0 < len(dark) < len(deep):
        warnings.warn(
            f"{len(dark)} of {len(deep)} images that are not 8-bit have values below {_DARK:.0%} "
            f"of those of others, and will be nearly black: {_listed(dark)}. White is "
            f"{white:g}, the largest of all. Are they of another bit depth? Then convert them, or "
            "pass intensity_range=(black, white).",
            stacklevel=4,
        )


def does_not_fit(numbers, intensity_range):
    """Whether an image is likely of another kind than those that the range was learned from.

    It has values beyond the range, or none that reaches a sixteenth of it.
    """
    if numbers is None:
        return False
    black, white = intensity_range
    beyond = _OVERSHOOT * white if numbers.is_float else 0
    is_dark = numbers.high <= _DARK * white
    return is_dark or numbers.high > white + beyond or numbers.low < black - beyond


def _listed(names):
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
