# SPDX-License-Identifier: BSD-3-Clause
"""Pillow's bilinear filter as products, for images whose size is known only when they come.

ONNX has a resizing like Pillow's, but OpenVINO and TensorRT do not read it as such. Products are
the same everywhere. A grey level more or less in a few pixels, as from another way to
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
    """Resize pixels (n, H, W, 3), float32 from 0 to 255, as Pillow does, whole numbers included.

    Parameters
    ----------
    pixels : Tensor of shape (n, H, W, 3)
    region : tuple of four Tensors (top, left, bottom, right)
        Part of the images that becomes the result.
    size : tuple (h, w)

    Returns
    -------
    Tensor of shape (n, h, w, 3), float32
    """
    top, left, bottom, right = region
    height, width = pixels.shape[1:3]

    def along_rows(pixels):
        return _resized(pixels.transpose(1, 2), left, right, size[1]).transpose(1, 2)

    def along_columns(pixels):
        return _resized(pixels, top, bottom, size[0])

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


def _resized(pixels, first, last, n_outputs):
    """Pixels (n, n_outputs, m, 3) of (n, L, m, 3): an axis from `first` to `last`, resized."""
    n_images, length, n_others, n_colours = pixels.shape
    # Few inputs count for an output: a product of whole matrices takes two to four times as long.
    n_taps = 2 * ((length + n_outputs - 1) // n_outputs) + 2
    inputs, numerators = _taps(first, last, length, n_outputs, n_taps)
    halves = torch.stack(_halves(numerators), dim=1)
    taken = pixels.reshape(n_images, length, -1).index_select(1, inputs.reshape(-1))
    sums = halves @ taken.reshape(n_images, n_outputs, n_taps, -1)
    resized = _rounded(sums[:, :, 0], sums[:, :, 1])
    return resized.reshape(n_images, n_outputs, n_others, n_colours)


def _taps(first, last, n_inputs, n_outputs, n_taps):
    """Inputs that count for each output, and their weights, both (n_outputs, n_taps).

    Weights of an output add up to 1 when they are divided by their sum. They are whole numbers if
    the part from `first` to `last` is, as are all numbers on the way.
    """
    length = last - first
    centres = (2 * torch.arange(n_outputs, dtype=torch.float32) + 1) * length
    support = 2 * torch.clamp(length, min=float(n_outputs))
    lowest = torch.floor((centres - support) / (2 * n_outputs) + first)
    inputs = lowest[:, None] + torch.arange(n_taps, dtype=torch.float32)
    places = (2 * inputs + 1 - 2 * first) * n_outputs
    numerators = torch.clamp(support - (places - centres[:, None]).abs(), min=0.0)
    is_inside = (inputs >= 0) & (inputs < n_inputs)
    inputs = torch.clamp(inputs, min=0.0, max=n_inputs - 1.0).to(torch.int64)
    return inputs, torch.where(is_inside, numerators, 0.0)


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
