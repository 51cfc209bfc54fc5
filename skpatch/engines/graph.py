# SPDX-License-Identifier: BSD-3-Clause
"""A network in the form of an engine, which runs it where torch is not installed."""

from abc import ABC, abstractmethod

import numpy as np

__all__ = ["Graph", "LayerGraph"]


class Graph(ABC):
    """A network that an engine runs, from arrays to arrays.

    Whoever calls it lends its own thread, and images pass one by one: both were faster than
    OpenVINO's streams and batches of two.

    Attributes
    ----------
    inputs, outputs : list of tuple
        Shapes of what goes in and of what comes out, for one image.
    """

    inputs: list
    outputs: list

    @abstractmethod
    def run(self, arrays):
        """Outputs (1, ...) of one image, from inputs (1, ...), C-contiguous."""

    def __call__(self, *arrays):
        """Outputs (n, ...), float32, of inputs (n, ...)."""
        arrays = [np.ascontiguousarray(array) for array in arrays]
        outputs = [np.empty((len(arrays[0]), *shape), np.float32) for shape in self.outputs]
        for number in range(len(arrays[0])):
            found = self.run([array[number : number + 1] for array in arrays])
            for output, values in zip(outputs, found, strict=True):
                output[number] = values[0]
        return outputs


class LayerGraph:
    """A network that an engine runs, from the pixels of images to the maps of layers.

    Parameters
    ----------
    graph : Graph
        From pixels (n, H, W, 3) to maps (n, h, w, c).
    layers : sequence of str
    """

    def __init__(self, graph, layers):
        self.graph, self._layers = graph, layers

    def __call__(self, pixels):
        """Maps (n, c, h, w), a dict by layers, of uint8 images (n, 3, H, W)."""
        maps = self.graph(pixels.transpose(0, 2, 3, 1))
        return {
            layer: one.transpose(0, 3, 1, 2) for layer, one in zip(self._layers, maps, strict=True)
        }
