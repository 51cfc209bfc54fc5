# SPDX-License-Identifier: BSD-3-Clause
"""Pillow's bilinear filter as matrices, for images whose size is known only when they come.

ONNX has a resizing like Pillow's, but OpenVINO and TensorRT do not read it as such. Products of
matrices are the same everywhere. A grey level more or less in a few pixels, as from another way to
round, changes scores by up to 1 %, so all sums here are of whole numbers that float32 holds.
"""

from functools import cache

import numpy as np
import torch
from PIL import Image

__all__ = ["resample_pixels", "spread_map"]

# Pillow's weights are whole numbers, of which 2^22 are 1. They are taken in two halves.
_HALF = 2.0**11


def resample_pixels(pixels, region, size):
    """Resize pixels (n, 3, H, W), float32 from 0 to 255, as Pillow does, whole numbers included.

    Parameters
    ----------
    pixels : Tensor of shape (n, 3, H, W)
    region : tuple of four Tensors (top, left, bottom, right)
        Part of the images that becomes the result.
    size : tuple (h, w)

    Returns
    -------
    Tensor of shape (n, 3, h, w), float32
    """
    top, left, bottom, right = region
    height, width = pixels.shape[-2:]
    rows = _halves(_numerators(top, bottom, height, size[0]))
    columns = _halves(_numerators(left, right, width, size[1]))

    def along_rows(pixels):
        return _rounded(*(pixels @ half.T for half in columns))

    def along_columns(pixels):
        return _rounded(*(half @ pixels for half in rows))

    if not _has_columns_first():
        return along_columns(along_rows(pixels))
    fewer_rows, fewer_columns = (
        torch.scalar_tensor(length, dtype=torch.float32) - wanted
        for length, wanted in ((height, size[0]), (width, size[1]))
    )
    # Not a branch of the graph: OpenVINO 2026.4 overwrites what its branches give.
    return torch.where(
        (fewer_rows > 0) & (fewer_rows > 2 * fewer_columns),
        along_rows(along_columns(pixels)),
        along_columns(along_rows(pixels)),
    )


@cache
def _has_columns_first():
    """Whether this Pillow begins with the columns of tall images; 12.3 does not, 13.0 does."""
    pixels = np.random.RandomState(0).randint(0, 256, (40, 20), np.uint8)
    bilinear = Image.Resampling.BILINEAR
    image = Image.fromarray(pixels)
    rows_first = image.resize((15, 40), bilinear).resize((15, 10), bilinear)
    return image.resize((15, 10), bilinear).tobytes() != rows_first.tobytes()


def _numerators(first, last, n_inputs, n_outputs):
    """Weights (n_outputs, n_inputs) by which the part of an axis from `first` to `last` is resized.

    Those of an output add up to 1 when they are divided by their sum. They are whole numbers if the
    part is, as are all numbers on the way.
    """
    length = last - first
    centres = (2 * torch.arange(n_outputs, dtype=torch.float32) + 1) * length
    places = (2 * torch.arange(n_inputs, dtype=torch.float32) + 1 - 2 * first) * n_outputs
    support = 2 * torch.clamp(length, min=float(n_outputs))
    return torch.clamp(support - (places - centres[:, None]).abs(), min=0.0)


def _halves(numerators):
    """Pillow's weights, rounded whole numbers: how many times 2^11 is in them, and the rest."""
    sums = numerators.sum(dim=1, keepdim=True)
    high = torch.floor(numerators * _HALF / sums)
    rest = numerators * _HALF - high * sums
    return high, torch.floor(rest * _HALF / sums + 0.5)


def _rounded(high, low):
    """Grey levels of sums of pixels times both halves of the weights."""
    return torch.floor((high + torch.floor(low / _HALF) + _HALF / 2) / _HALF)


def spread_map(values, region, size):
    """Resize maps (n, h, w) to a part of images of a size (H, W); NaN elsewhere.

    Parameters
    ----------
    values : Tensor of shape (n, h, w)
    region : tuple of four Tensors (top, left, bottom, right)
        Whole numbers.
    size : tuple (H, W)

    Returns
    -------
    Tensor of shape (n, H, W)
    """
    top, left, bottom, right = region
    height, width = values.shape[-2:]
    columns = _spreading(left, right, size[1], width)
    return _spreading(top, bottom, size[0], height) @ values @ columns.T


def _spreading(first, last, n_outputs, n_inputs):
    """Matrix (n_outputs, n_inputs) that resizes an axis to the part from `first` to `last`."""
    scale = n_inputs / (last - first)
    outputs = torch.arange(n_outputs, dtype=torch.float32) + 0.5
    inputs = torch.arange(n_inputs, dtype=torch.float32) + 0.5
    distances = (inputs - ((outputs - first) * scale)[:, None]).abs()
    weights = torch.clamp(1 - distances / torch.clamp(scale, min=1.0), min=0.0)
    weights = weights / weights.sum(dim=1, keepdim=True)
    is_outside = (outputs < first) | (outputs > last)
    return torch.where(is_outside[:, None], torch.nan, weights)
