# SPDX-License-Identifier: BSD-3-Clause
"""From pixels to patch features, by torch and the engine that runs the network."""

import copy
from functools import partial

import torch

from ..engines.choosing import make_network
from .tiling import tiled_maps

__all__ = ["TorchSteps", "by_arrays"]


class TorchSteps:
    """The network of a fitted extractor and what follows it, as they run on a device.

    Parameters
    ----------
    extractor : PatchFeatureExtractor
    device : torch.device
        On which its engine runs.

    Attributes
    ----------
    network : TorchNetwork or LayerGraph
    maps : callable
        The same from tensors (n, 3, H, W), uint8, to tensors, whatever the engine takes.
    """

    def __init__(self, extractor, device):
        self._device, self._layers = device, extractor.layers_
        self._tile, self._margin = extractor._tile, extractor._margin
        self.network = make_network(
            *(extractor.engine, extractor.model_, extractor.layers_, extractor._tile),
            *(extractor._mean, extractor._std, device, extractor.dtype),
        )
        self.maps = self.network
        if extractor.engine != "torch":
            self.maps = partial(by_arrays, self.network)
        # Moving the fitted one itself would leave it there.
        self._embedding = copy.deepcopy(extractor._embedding).to(device)

    @torch.inference_mode()
    def __call__(self, pixels, features):
        """Write features (n, h, w, d), float32, of pixels (n, H, W, 3), uint8."""
        pixels = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2)
        maps = tiled_maps(self.maps, pixels, self._tile, self._margin)
        values = self._embedding([maps[layer].float() for layer in self._layers])
        torch.from_numpy(features).copy_(values)


def by_arrays(network, pixels):
    """Maps as tensors of a network that takes and gives arrays."""
    return {layer: torch.from_numpy(one) for layer, one in network(pixels.numpy()).items()}
