# SPDX-License-Identifier: BSD-3-Clause
"""A network that is ready to run: on its device, in its number type, from pixels to maps."""

import copy

import torch

from .fusing import can_pack, fuse, pack

__all__ = ["TorchNetwork"]


class TorchNetwork:
    """A network run by torch, from the pixels of images of one size.

    Parameters
    ----------
    model : fx.GraphModule
        From normalised images (n, 3, H, W) to a dict of maps; float32 on the CPU, not changed.
    size : tuple (H, W)
    mean, std : sequence of 3 floats
        Of the colours, between 0 and 1, by which images are normalised.
    device : torch.device
    dtype : torch.dtype
    """

    def __init__(self, model, size, mean, std, device, dtype):
        self._dtype = dtype
        self._model = fuse(model, size)
        if device.type != "cpu" or dtype != torch.float32:
            # Modules that are shared stay what they are in the fitted network.
            self._model = copy.deepcopy(self._model).to(device, dtype)
        if can_pack(device, dtype):
            pack(self._model)
        # A value for each number of a row: torch is slow where an axis has three of them.
        scale = torch.tensor([255 * one for one in std], device=device)
        shift = torch.tensor([a / b for a, b in zip(mean, std, strict=True)], device=device)
        self._scale, self._shift = scale.repeat(size[1]), shift.repeat(size[1])

    def __call__(self, pixels):
        """Maps of uint8 images (n, 3, H, W) whose colours lie side by side in memory."""
        values = pixels.permute(0, 2, 3, 1).to(torch.float32, memory_format=torch.contiguous_format)
        rows = values.flatten(2)
        rows /= self._scale
        rows -= self._shift
        return self._model(values.permute(0, 3, 1, 2).to(self._dtype))
