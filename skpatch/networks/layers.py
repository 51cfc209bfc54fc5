# SPDX-License-Identifier: BSD-3-Clause
"""Layers of a network whose maps are used: found, tapped, and measured on a probe.

Layers are nodes of the network's graph, which torch.fx traces, so that nothing after the last one
is computed or kept. Forward hooks see modules only, and could end the pass by an exception only.
"""

import math
import re
import sys
from collections import Counter

import torch
from torch import fx, nn

from ..engines.padding import SameConv2d
from ..engines.shapes import node_shapes
from ..runtime.memory import memory_errors
from ..runtime.text import first_line
from .backbones import LITE0
from .strides import PROBE_SIZE, stride
from .tracing import running, tracing

__all__ = ["TracedNetwork"]


class TracedNetwork:
    """A network that is traced once, for everything that is asked of its layers.

    Parameters
    ----------
    backbone : str or nn.Module
        What the caller knows it by.
    module : nn.Module
        The network in evaluation mode, with values of its weights or without.
    """

    @memory_errors()
    def __init__(self, backbone, module):
        self._backbone, self._module = backbone, module
        self._name = repr(backbone) if isinstance(backbone, str) else type(backbone).__name__
        # As symbols do not fit the operations of torchvision, which whoever uses them has loaded.
        wrapped = (math, *filter(None, [sys.modules.get("torchvision.ops")]))
        try:
            with tracing():
                self._graph = _Tracer(wrapped).trace(module)
        except Exception as error:
            # torch.fx raises whatever the module's forward does with a symbolic input.
            raise ValueError(
                f"backbone={type(module).__name__} cannot be traced by torch.fx, which finds its "
                f"layers: {error}"
            ) from error
        self._nodes = _named_nodes(self._graph)

    @memory_errors()
    def default_layers(self):
        """Names of two middle layers.

        The last stages of the network whose maps are 8 and 16 times smaller than the image:
        "layer2" and "layer3" of ResNets, the paper's, or "features.3" and "features.5" of
        EfficientNets. Stages are the outermost modules that give such maps, parts of the same
        module if there are such.
        """
        if self._backbone == LITE0:
            # What the search finds, which takes as long as all else that builds the network.
            return ("features.3", "features.5")
        strides = {
            node: stride(PROBE_SIZE, shape[1:])
            for node, shape in self._shapes(self._graph, PROBE_SIZE).items()
            if len(shape) == 4 and shape[2] == shape[3]
        }
        for depth in range(1, max(name.count(".") for name in self._nodes) + 2):
            last = {}
            for name, node in self._nodes.items():
                layer = ".".join(name.split(".")[:depth])
                # In the order in which they end.
                last.pop(layer, None)
                last[layer] = strides.get(node)
            if pair := _pair_of_stages(last):
                return pair
        raise ValueError(
            f"backbone={self._name} has no maps (n, c, h, w) that are 8 and 16 times smaller than "
            "the image; name `layers` that give such maps."
        )

    @memory_errors()
    def taps(self, layers):
        """Network that returns a dict of the maps at `layers`, and computes nothing after them."""
        if not layers or len(set(layers)) < len(layers):
            raise ValueError(
                f"layers={tuple(layers)} must name at least one layer, each of them once."
            )
        ends = {layer: self._end_of(layer, layers) for layer in layers}
        graph, copies = fx.Graph(), {}
        for node in self._graph.nodes:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            if copies.keys() >= set(ends.values()):
                break
        graph.output({layer: copies[node] for layer, node in ends.items()})
        model = fx.GraphModule(self._module, graph, type(self._module).__name__)
        if model.graph.eliminate_dead_code():
            model.delete_all_unused_submodules()
            model.recompile()
        self._check_channels(model)
        return model.eval()

    @memory_errors()
    def map_shapes(self, taps, size):
        """Shapes (c, h, w) of the maps that :meth:`taps` gives, for an image of a size (H, W)."""
        maps = self._maps(taps, size)
        for layer, shape in maps.items():
            if len(shape) != 4:
                raise ValueError(
                    f"layers: {layer!r} of {self._name} gives {_described(shape)}; expected maps "
                    "of shape (n, c, h, w)."
                )
        return [shape[1:] for shape in maps.values()]

    def _end_of(self, layer, layers):
        """The last node of a layer."""
        for name, node in reversed(self._nodes.items()):
            if f"{name}.".startswith(f"{layer}."):
                return node
        modules = [name for name, _ in self._module.named_modules() if name.count(".") <= 1]
        raise ValueError(
            f"layers={tuple(layers)}: {self._name} has no layer {layer!r}. It has "
            f"{', '.join(filter(None, modules))}."
        )

    def _check_channels(self, taps):
        """Raise where the second axis grows with the image: maps (n, h, w, c), as Swin's are."""
        try:
            low, high = (self._maps(taps, (height, 96)) for height in (96, 192))
        except ValueError:
            # A network for one size only, which map_shapes tries.
            return
        for layer, shape in low.items():
            if len(shape) == 4 and shape[1] != high[layer][1]:
                raise ValueError(
                    f"layers: {layer!r} of {self._name} gives maps whose second axis is not their "
                    "channels; expected maps of shape (n, c, h, w)."
                )

    def _maps(self, taps, size):
        """Shape of the output at each layer, for an image of a size (H, W)."""
        shapes = self._shapes(taps.graph, size)
        return {layer: shapes[node] for layer, node in taps.graph.output_node().args[0].items()}

    @torch.inference_mode()
    def _shapes(self, graph, size):
        """Shape of what each node of a graph gives, for images of a size (H, W)."""
        try:
            with running():
                try:
                    # As fast as one on the device "meta", which takes a second to load.
                    return _run(graph, self._module, 0, size)
                except Exception:
                    # A module of one's own may need an image.
                    if isinstance(self._backbone, str):
                        raise
                    return _run(graph, self._module, 1, size)
        except Exception as error:
            raise ValueError(
                f"backbone={self._name} cannot process an image of {size[0]} x {size[1]} pixels "
                f"(height x width): {first_line(error)}"
            ) from error


def _run(graph, module, n_images, size):
    images = torch.zeros(n_images, 3, *size, dtype=torch.float32, device="cpu")
    return node_shapes(module, graph, images)


def _described(shape):
    return f"({', '.join(['n', *map(str, shape[1:])])})" if shape else "no tensor"


class _Tracer(fx.Tracer):
    """Finds the modules and operations that a network calls."""

    def is_leaf_module(self, m, module_qualified_name):
        """Whether the layers within a module cannot be named."""
        kinds = [kind.__module__ for kind in type(m).__mro__]
        is_of_torchvision = any(kind.startswith("torchvision.ops.") for kind in kinds)
        return (
            isinstance(m, SameConv2d)
            or (is_of_torchvision and not isinstance(m, nn.Sequential))
            or super().is_leaf_module(m, module_qualified_name)
        )


def _named_nodes(graph):
    """Nodes by the names of the modules they call, or of the operation within one.

    Another call of the same has a number: "layer2.0.relu_1".
    """
    nodes, calls = {}, Counter()
    for node in graph.nodes:
        if node.op in ("get_attr", "output"):
            continue
        own = node.target
        if node.op != "call_module":
            # torch.fx numbers its names in the whole graph.
            within = [path for path, _ in node.meta.get("nn_module_stack", {}).values()][-1:]
            own = ".".join([*filter(None, within), re.sub(r"_\d+$", "", node.name)])
        name = own
        while name in nodes:
            calls[own] += 1
            name = f"{own}_{calls[own]}"
        nodes[name] = node
    return nodes


def _pair_of_stages(strides):
    """Last layers of strides 8 and 16, parts of the same module if there are such, or None."""
    stages = {None: {}}
    for layer, step in strides.items():
        for module in (None, layer.rpartition(".")[0]):
            stages.setdefault(module, {})[step] = layer
    pairs = [(last[8], last[16]) for last in stages.values() if {8, 16} <= last.keys()]
    return pairs[-1] if pairs else None
