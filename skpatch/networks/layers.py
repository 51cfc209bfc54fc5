# SPDX-License-Identifier: BSD-3-Clause
"""Layers of a network whose maps are used: found, tapped, and measured on a probe.

Layers are nodes of the network's graph, which torch.fx traces, so that nothing after the last one
is computed or kept. Forward hooks see modules only, and could end the pass by an exception only, so
they are left to networks that cannot be traced.
"""

import contextlib
import math
import re
import sys
from collections import Counter

import torch
from torch import fx, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ..engines.padding import SameConv2d
from ..engines.shapes import node_shapes
from ..runtime.memory import memory_errors
from ..runtime.text import first_line
from .backbones import LITE0
from .grids import as_map, call, free_of_size, map_shape, needs_images, prefix_tokens
from .strides import PROBE_SIZE, stride
from .timm_models import declared_size
from .tracing import running, tracing
from .watching import Watched, watch

__all__ = ["TracedNetwork", "weighted"]

# What stands for a number in the messages of a network that was traced.
_SYMBOL = re.compile(r" ?\(Proxy\(\w+\)\)")


class TracedNetwork:
    """A network that is traced once, for everything that is asked of its layers.

    One that cannot be traced is watched while it runs.

    Parameters
    ----------
    backbone : str or nn.Module
        What the caller knows it by.
    module : nn.Module
        The network in evaluation mode, with values of its weights or without.

    Attributes
    ----------
    probe_size : tuple (H, W)
        A size of images that the network takes, if any is known.
    """

    @memory_errors()
    def __init__(self, backbone, module):
        self._backbone, self._module = backbone, module
        self.probe_size = declared_size(module) or PROBE_SIZE
        self._name = repr(backbone) if isinstance(backbone, str) else type(backbone).__name__
        self._n_prefix = prefix_tokens(module)
        try:
            with memory_errors(), tracing():
                self._graph = _tracer().trace(module)
        except MemoryError:
            raise
        except Exception:
            # torch.fx raises whatever the module's forward does with a symbolic input.
            self._graph, self._nodes = watch(module)
            self._root = nn.Module()
            self._root.watched = Watched(module, list(self._nodes))
        else:
            free_of_size(self._graph, module)
            self._root, self._nodes = module, _named_nodes(self._graph)

    @memory_errors()
    def default_layers(self):
        """Names of two middle layers.

        The last stages of the network whose maps are 8 and 16 times smaller than the image:
        "layer2" and "layer3" of ResNets, the paper's, or "features.3" and "features.5" of
        EfficientNets and of Swin transformers. Stages are the outermost modules that give such
        maps, parts of the same module if there are such.

        Vision transformers have blocks of one size: those at a half and at three quarters of the
        depth, "blocks.5" and "blocks.8" of twelve.
        """
        if self._backbone == LITE0:
            # What the search finds, which takes as long as all else that builds the network.
            return ("features.3", "features.5")
        try:
            shapes = self._shapes(self._graph, self.probe_size)
        except ValueError as error:
            raise ValueError(
                f"{error} If it is for one other size, name that as image_size=(height, width), "
                "and `layers`."
            ) from error
        plain = {
            node: shape[1:]
            for node, shape in shapes.items()
            if len(shape) == 4 and shape[2] == shape[3]
        }
        maps = {
            node: map_shape(one, self.probe_size, self._n_prefix) for node, one in shapes.items()
        }
        found = self._stages(plain) or self._stages(maps) or self._blocks(shapes, maps)
        if found is None:
            raise ValueError(
                f"backbone={self._name} has no maps (n, c, h, w) that are 8 and 16 times smaller "
                "than the image, and no sequence of blocks that give tokens (n, t, c) of its "
                "patches; name `layers` that give such maps or tokens."
            )
        return found

    def _stages(self, maps):
        """Layers of strides 8 and 16, by the shapes (c, h, w) of maps of nodes, or None."""
        strides = {
            node: stride(self.probe_size, one) for node, one in maps.items() if one and all(one)
        }
        for depth in range(1, self._depth() + 1):
            pair = _pair_of_stages(
                {layer: strides.get(node) for layer, node in self._layers(depth).items()}
            )
            if pair:
                return pair
        return None

    def _blocks(self, shapes, maps):
        """Two layers of the outermost sequence of modules that give tokens, or None."""
        for depth in range(1, self._depth() + 1):
            sequences = {}
            for layer, node in self._layers(depth).items():
                parent = layer.rpartition(".")[0]
                if len(shapes[node]) == 3 and maps[node] and self._is_sequence(parent):
                    sequences.setdefault(parent, []).append(layer)
            if sequences:
                blocks = max(sequences.values(), key=len)
                middle = (max(len(blocks) * part // 4, 1) - 1 for part in (2, 3))
                return tuple(dict.fromkeys(blocks[number] for number in middle))
        return None

    def _is_sequence(self, name):
        try:
            return isinstance(self._module.get_submodule(name), nn.ModuleList | nn.Sequential)
        except AttributeError:
            # Of an operation, which is no module.
            return False

    def _depth(self):
        return max(name.count(".") for name in self._nodes) + 1

    def _layers(self, depth):
        """Last nodes of the layers at a depth of names, in the order in which they end."""
        last = {}
        for name, node in self._nodes.items():
            layer = ".".join(name.split(".")[:depth])
            last.pop(layer, None)
            last[layer] = node
        return last

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
        model = fx.GraphModule(self._root, graph, type(self._module).__name__)
        if hasattr(self._root, "watched"):
            names = [name for name, node in self._nodes.items() if node in ends.values()]
            model.watched = Watched(self._module, names)
        if model.graph.eliminate_dead_code():
            model.delete_all_unused_submodules()
            model.recompile()
        self._turn(model)
        return model.eval()

    @memory_errors()
    def map_shapes(self, taps, size):
        """Shapes (c, h, w) of the maps that :meth:`taps` gives, for an image of a size (H, W)."""
        maps = self._maps(taps, size)
        for layer, shape in maps.items():
            if len(shape) != 4:
                raise ValueError(
                    f"layers: {layer!r} of {self._name} gives {_described(shape)} for an image of "
                    f"{size[0]} x {size[1]} pixels; expected maps of shape (n, c, h, w), or tokens "
                    f"(n, t, c) of a grid of square patches{self._others()}. The size must consist "
                    "of multiples of a patch's side."
                )
        return [shape[1:] for shape in maps.values()]

    def turns_tokens(self, taps):
        """Whether :meth:`taps` would make maps of tokens: some layers give such, or may do so."""
        return any(node.target is as_map for node in taps.graph.nodes)

    def gives_tokens(self, taps, size):
        """Whether a layer of :meth:`taps` gives tokens, for an image of a size (H, W)."""
        turned = [node for node in taps.graph.nodes if node.target is as_map]
        shapes = self._shapes(taps.graph, size) if turned else {}
        return any(len(shapes[node.args[0]]) == 3 for node in turned)

    def _others(self):
        if self._n_prefix is None:
            return ""
        return f" after the {self._n_prefix} others that the network says it has"

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

    def _turn(self, model):
        """Have layers give maps (n, c, h, w) that give tokens, or maps (n, h, w, c) as Swin's."""
        height, width = self.probe_size
        try:
            low, high = (self._maps(model, (tall, width)) for tall in (height, 2 * height))
        except ValueError:
            # A network for few sizes, or one: what a layer gives is seen when it is run.
            low = high = None
        output = model.graph.output_node()
        images, maps = next(iter(model.graph.nodes)), dict(output.args[0])
        with model.graph.inserting_before(output):
            for layer, node in maps.items():
                if low is None or len(low[layer]) == 3:
                    maps[layer] = call(model.graph, as_map, node, images, self._n_prefix)
                elif len(low[layer]) == 4 and low[layer][1] != high[layer][1]:
                    # Its second axis grows with the image.
                    maps[layer] = model.graph.call_method("permute", (node, 0, 3, 1, 2))
        output.args = (maps,)
        model.recompile()

    def _maps(self, taps, size):
        """Shape of the output at each layer, for an image of a size (H, W)."""
        shapes = self._shapes(taps.graph, size)
        return {layer: shapes[node] for layer, node in taps.graph.output_node().args[0].items()}

    @torch.inference_mode()
    def _shapes(self, graph, size):
        """Shape of what each node of a graph gives, for images of a size (H, W)."""
        try:
            with running():
                if not needs_images(self._module):
                    # As fast as one on the device "meta", which takes a second to load.
                    with contextlib.suppress(Exception):
                        return _run(graph, self._root, 0, size)
                # Own ones may look at what they compute.
                is_sketch = isinstance(self._backbone, str)
                with _ShapesAlone() if is_sketch else contextlib.nullcontext():
                    return _run(graph, self._root, 1, size)
        except Exception as error:
            raise ValueError(
                f"backbone={self._name} cannot process an image of {size[0]} x {size[1]} pixels "
                f"(height x width): {_SYMBOL.sub('', first_line(error))}"
            ) from error


class _ShapesAlone(TorchFunctionMode):
    """Gives zeros for what takes transformers their time."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Call a function of torch."""
        instead = _ZEROS.get(function, function)
        return instead(*args, **(kwargs or {}))


# By the names that torch has for the arguments.
def _zeros_of_linear(input, weight, bias=None):
    return input.new_zeros(*input.shape[:-1], len(weight))


def _zeros_of_attention(query, key, value, attn_mask=None, *args, **kwargs):
    if attn_mask is not None:
        # It may be a bias for images of one size, which does not fit those of another.
        torch.broadcast_shapes((*query.shape[:-1], key.shape[-2]), attn_mask.shape)
    return query.new_zeros(*query.shape[:-1], value.shape[-1])


_ZEROS = {
    functional.linear: _zeros_of_linear,
    functional.scaled_dot_product_attention: _zeros_of_attention,
}


def weighted(taps):
    """The part of :meth:`TracedNetwork.taps` whose weights have the names of the network."""
    return taps.watched.network if hasattr(taps, "watched") else taps


def _run(graph, module, n_images, size):
    images = torch.zeros(n_images, 3, *size, dtype=torch.float32, device="cpu")
    return node_shapes(module, graph, images)[0]


def _described(shape):
    return f"({', '.join(['n', *map(str, shape[1:])])})" if shape else "no tensor"


def _tracer():
    """Tracer that knows what symbols do not fit; whoever uses those libraries has loaded them."""
    modules = (math, *filter(None, [sys.modules.get("torchvision.ops")]))
    models = sys.modules.get("timm.models")
    functions = () if models is None else tuple(models.get_notrace_functions())
    return _Tracer(autowrap_modules=modules, autowrap_functions=functions)


class _Tracer(fx.Tracer):
    """Finds the modules and operations that a network calls."""

    def is_leaf_module(self, m, module_qualified_name):
        """Whether the layers within a module cannot be named."""
        kinds = [kind.__module__ for kind in type(m).__mro__]
        is_of_torchvision = any(kind.startswith("torchvision.ops.") for kind in kinds)
        models = sys.modules.get("timm.models")
        return (
            isinstance(m, SameConv2d)
            or (models is not None and models.is_notrace_module(type(m)))
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
