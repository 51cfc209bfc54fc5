# SPDX-License-Identifier: BSD-3-Clause
"""Arrays and tensors of any numbers and shapes that images come in, made uint8 (H, W, 3)."""

import sys

import numpy as np

from .intensity import measure, to_uint8

__all__ = ["measure_colours", "to_array", "to_rgb"]


def to_array(item, name):
    """Array (H, W) or (H, W, 1|3|4) of an array, a list or a tensor; `name` begins the errors."""
    values = _any_array(item, name)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)):
        raise ValueError(
            f"{name} has shape {values.shape}; expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)."
        )
    if values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}: it has no pixels.")
    return values


def to_rgb(values, name, intensity_range=None, is_negative=False):
    """Convert an array of :func:`to_array` to uint8 (H, W, 3).

    `intensity_range` is that of :func:`~skpatch.images.intensity.to_uint8`; in a negative, black
    is white. Transparent colours are laid over black.
    """
    if values.ndim == 2:
        values = values[:, :, np.newaxis]
    has_alpha = values.shape[2] == 4
    colours = to_uint8(values[:, :, :3], name, intensity_range)
    if is_negative:
        colours = 255 - colours
    if has_alpha:
        # In place: a photograph of a hundred million pixels would take gigabytes otherwise.
        mixed = colours.astype(np.uint16)
        mixed *= to_uint8(values[:, :, 3:], name)
        mixed += 127
        mixed //= 255
        colours = mixed.astype(np.uint8)
    if colours.shape[2] == 1:
        colours = np.repeat(colours, 3, axis=2)
    return np.ascontiguousarray(colours)


def measure_colours(values, name):
    """Range of an image's numbers, opacity apart; see :func:`~skpatch.images.intensity.measure`."""
    return measure(values if values.ndim == 2 else values[:, :, :3], name)


def _any_array(item, name):
    if not (hasattr(item, "__array__") or isinstance(item, (list, tuple))):
        raise TypeError(
            f"{name} is a {type(item).__name__}; expected a path, the bytes of a file, a PIL "
            "image or an array."
        )
    torch = sys.modules.get("torch")
    try:
        if torch is not None and isinstance(item, torch.Tensor):
            return _from_tensor(item)
        return np.asarray(item)
    except (TypeError, ValueError, RuntimeError) as error:
        # A ragged list, or a tensor that has no counterpart in NumPy.
        raise ValueError(f"{name} cannot be made an array: {error}") from error


def _from_tensor(tensor):
    """Array of a tensor, with the channels last."""
    tensor = tensor.detach().cpu()
    if tensor.ndim == 3 and tensor.shape[0] in (1, 3, 4):
        tensor = tensor.permute(1, 2, 0)
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
