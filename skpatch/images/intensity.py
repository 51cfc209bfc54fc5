# SPDX-License-Identifier: BSD-3-Clause
"""Bit depth: which number is white in images that are not 8-bit, learned from a set of them."""

import warnings
from typing import NamedTuple

import numpy as np

from ..runtime.text import first_few

__all__ = ["Numbers", "does_not_fit", "learn_range", "measure", "to_uint8"]

# Of 8-bit, 10-bit, 12-bit, 14-bit and 16-bit cameras; of floating-point numbers 1, too.
_WHITES = 255, 1023, 4095, 16383, 65535
_SIXTEEN_BIT = 0, 65535
# Resampling takes floating-point numbers beyond black and white by some of their difference.
_OVERSHOOT = 0.1
# An image none of whose values reaches that part of white is black to the eye. Two sensors that
# differ by four bits differ by that much.
_DARK = 1 / 16
# Of an image, converted at a time.
_ROWS = 256


class Numbers(NamedTuple):
    """Which numbers an image holds that is not 8-bit."""

    dtype: np.dtype
    low: float
    high: float

    @property
    def is_float(self):
        """Whether they are floating-point numbers."""
        return self.dtype.kind == "f"

    @property
    def is_sixteen_bit(self):
        """Whether they are unsigned numbers of 16 bits, in any order of bytes."""
        return self.dtype.kind == "u" and self.dtype.itemsize == 2


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
    return Numbers(values.dtype, float(values.min()), float(values.max()))


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
        intensity_range = learn_range([numbers], lambda _: name)
    black, white = intensity_range or _usual_range(numbers, name)
    scaled = np.empty(values.shape, np.uint8)
    convert = _converter(numbers, black, white)
    # Numbers take up to eight times the memory while they are converted.
    for start in range(0, len(values), _ROWS):
        scaled[start : start + _ROWS] = convert(values[start : start + _ROWS])
    return scaled


def _converter(numbers, black, white):
    """Function from values of an image to uint8."""
    if numbers.is_sixteen_bit:
        table = _scale(np.arange(2**16, dtype=np.float64), black, white)
        return table.__getitem__
    is_short = numbers.is_float and numbers.dtype.itemsize <= 4
    return lambda values: _scale(values.astype(np.float32 if is_short else float), black, white)


def _scale(values, black, white):
    """Scale a fresh array of floating-point numbers, in place."""
    values -= black
    values *= 255 / (white - black)
    np.clip(values, 0, 255, out=values)
    return np.rint(values, out=values).astype(np.uint8)


def _usual_range(numbers, name):
    """Range by the type of numbers."""
    if numbers.is_sixteen_bit:
        return _SIXTEEN_BIT
    if numbers.low < 0 or numbers.high > 255:
        raise ValueError(
            f"{name} has values from {numbers.low:g} to {numbers.high:g} of type {numbers.dtype}; "
            "expected 0 to 255 (or uint16 with 0 to 65535). "
            "PatchFeatureExtractor(intensity_range=(black, white)) reads others."
        )
    return (0, 1) if numbers.is_float and numbers.high <= 1 else (0, 255)


def learn_range(numbers, name):
    """Range (black, white) of a set of images: black is 0, and white the smallest that holds them.

    Parameters
    ----------
    numbers : list of Numbers or None
        Of each image; None for those that are 8-bit, which are read as they are.
    name : callable
        Gives the name of an image by its number.

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
        If images are so much darker than others that they are likely of another bit depth, or all
        of them use a small part of the range.
    """
    deep = [(one, index) for index, one in enumerate(numbers) if one is not None]
    if not deep:
        return None

    def said(pair):
        one, index = pair
        kind = "floating-point" if one.is_float else "integer"
        return f"{name(index)} has {kind} values from {one.low:g} to {one.high:g}"

    found = {}
    for is_float in {one.is_float for one, _ in deep}:
        highest = max((pair for pair in deep if pair[0].is_float == is_float), key=_high)
        white = _smallest_white(highest[0])
        if white is None:
            raise ValueError(
                f"{said(highest)}, beyond {_WHITES[-1]}; pass intensity_range=(black, white)."
            )
        found[float(white)] = highest
    if len(found) > 1:
        raise ValueError(
            f"Images differ in which number is white: {', '.join(map(said, found.values()))}. "
            "Convert them to one type of numbers, or pass intensity_range=(black, white)."
        )
    (white,) = found
    lowest = min(deep, key=_low)
    if lowest[0].low < (-_OVERSHOOT * white if lowest[0].is_float else 0):
        raise ValueError(
            f"{said(lowest)}; no range is learned from negative ones. Pass "
            "intensity_range=(black, white)."
        )
    _warn_of_dark(deep, white, name)
    _warn_of_narrow(lowest[0].low, max(map(_high, deep)), white)
    return 0.0, white


def _low(pair):
    return pair[0].low


def _high(pair):
    return pair[0].high


def _smallest_white(numbers):
    """White of a set of images whose largest values these are; None if it has no known one."""
    if numbers.is_float:
        whites, most = (1, *_WHITES), numbers.high / (1 + _OVERSHOOT)
    else:
        whites, most = _WHITES, numbers.high
    return next((white for white in whites if most <= white), None)


def _warn_of_dark(deep, white, name):
    dark = [index for one, index in deep if one.high <= _DARK * white]
    if 0 < len(dark) < len(deep):
        warnings.warn(
            f"{len(dark)} of {len(deep)} images that are not 8-bit will be nearly black: "
            f"{first_few([name(index) for index in dark])}. White is {white:g} for all, and their "
            "values stay below a sixteenth of it. Are they of another bit depth? Then convert "
            "them, or pass intensity_range=(black, white).",
            stacklevel=4,
        )


def _warn_of_narrow(low, high, white):
    if low < high <= low + _DARK * white:
        warnings.warn(
            f"Images that are not 8-bit have values from {low:g} to {high:g} only, less than a "
            f"sixteenth of the range 0 to {white:g} in which they are read: few grey levels are "
            f"left. Pass intensity_range=({low:g}, {high:g}), or a wider range that new images "
            "stay in.",
            stacklevel=4,
        )


def does_not_fit(numbers, intensity_range):
    """Whether an image is likely of another kind than those that the range was learned from.

    It has values beyond the range, or none that reaches a sixteenth of it. Without a range, since
    all those were 8-bit, it is a 16-bit image that may be one of 14 bits or less.
    """
    if intensity_range is None:
        is_sixteen_bit = numbers is not None and numbers.is_sixteen_bit
        return is_sixteen_bit and numbers.high <= _WHITES[-2]
    if numbers is None:
        return False
    black, white = intensity_range
    beyond = _OVERSHOOT * white if numbers.is_float else 0
    is_dark = numbers.high <= _DARK * white
    return is_dark or numbers.high > white + beyond or numbers.low < black - beyond
