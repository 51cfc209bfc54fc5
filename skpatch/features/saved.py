# SPDX-License-Identifier: BSD-3-Clause
"""From pixels to patch features where torch is not installed, by the engine of a saved model."""

from typing import NamedTuple

from ..engines.choosing import make_graph, unpack_graph
from ..engines.graph import LayerGraph
from .tiling import tiled_maps

__all__ = ["SavedNetwork", "SavedSteps"]


class SavedNetwork(NamedTuple):
    """The network of a fitted extractor, and what follows it, in the form of an engine.

    Attributes
    ----------
    engine : str
    network, embedding : list of bytes
        Parts of the file that it was saved to.
    weights : str
        SHA-256 of the network's weights, as torch has them.
    module : str or None
        Class of a network that was a module.
    """

    engine: str
    network: list
    embedding: list
    weights: str
    module: str | None


class SavedSteps:
    """The steps of an extractor that has a SavedNetwork.

    Parameters
    ----------
    saved : SavedNetwork
    engine, dtype : str
        As of the extractor.
    layers : sequence of str
    margin : int
        As of :func:`~skpatch.features.tiling.plan_tiles`.

    Attributes
    ----------
    tile : tuple (H, W)
    network, embedding : Graph
    """

    def __init__(self, saved, engine, dtype, layers, margin):
        if engine != saved.engine:
            raise ValueError(
                f"engine={engine!r}: torch is not installed here, and the model was saved with its "
                f"network for engine={saved.engine!r} alone. Use that, or install torch."
            )
        form = unpack_graph(engine, saved.network)
        self.network = make_graph(engine, form, dtype)
        form = unpack_graph(engine, saved.embedding)
        self.embedding = make_graph(engine, form, "float32")
        self._layers, self._margin = layers, margin
        self._maps = LayerGraph(self.network, layers)
        self.tile = tuple(self.network.inputs[0][:2])

    def __call__(self, pixels, features):
        """Write features (n, h, w, d), float32, of pixels (n, H, W, 3), uint8."""
        maps = tiled_maps(self._maps, pixels.transpose(0, 3, 1, 2), self.tile, self._margin)
        maps = [maps[layer].transpose(0, 2, 3, 1) for layer in self._layers]
        (features[:],) = self.embedding(*maps)
