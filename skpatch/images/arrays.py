# SPDX-License-Identifier: BSD-3-Clause
"""Arrays and tensors of any numbers and shapes that images come in, made uint8 (H, W, 3)."""

import sys

import numpy as np

__all__ = ["to_rgb"]


def to_rgb(item, name):
    """Convert (H, W) or (H, W, 1|3|4) of any numbers, or a tensor, to uint8 (H, W, 3).

    `name` begins the error messages. The conventions are those of
    :func:`~skpatch.images.reading.read_image`.
    """
    values = _to_array(item, name)
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
        # In place: a photograph of a hundred million pixels would take gigabytes otherwise.
        colours = values[:, :, :3].astype(np.uint16)
        colours *= values[:, :, 3:]
        colours += 127
        colours //= 255
        values = colours.astype(np.uint8)
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    return np.ascontiguousarray(values)


def _to_array(item, name):
    if not (hasattr(item, "__array__") or isinstance(item, (list, tuple))):
        raise TypeError(
            f"{name} is a {type(item).__name__}; expected a path, a PIL image or an array."
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
    """Array of a tensor, with the channels last and white at 255."""
    tensor = tensor.detach().cpu()
    if tensor.ndim == 3 and tensor.shape[0] in (1, 3, 4):
        tensor = tensor.permute(1, 2, 0)
    if tensor.is_floating_point():
        tensor = tensor.float()
        if tensor.numel() and tensor.max() <= 1:
            tensor = tensor * 255
    return tensor.numpy()


def _to_uint8(values, name):
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if kind == "b":
        return values.astype(np.uint8) * 255
    if kind == "u" and values.dtype.itemsize == 2:
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
