# SPDX-License-Identifier: BSD-3-Clause
"""Networks that torch.fx cannot trace: what their modules give is seen while they run.

Such are those of Hugging Face and whatever else decides by the size of the image. All of the
network is computed, also what comes after the last layer in use.
"""

import inspect
import operator
import threading
from functools import partial

import torch
from torch import fx, nn

__all__ = ["Watched", "watch"]

# Of each thread: outputs of the layers that it wants to see.
_wanted = threading.local()


class Watched(nn.Module):
    """A network that gives a dict of the outputs of its layers, None for one that was not called.

    Parameters
    ----------
    network : nn.Module
        One that :func:`watch` has seen.
    layers : list of str
        Names of modules of the network.
    """

    def __init__(self, network, layers):
        super().__init__()
        self.network, self.layers = network, layers
        # Position embeddings of Hugging Face's networks are for one size unless they are asked.
        option = "interpolate_pos_encoding"
        known = inspect.signature(network.forward).parameters
        self.options = {option: True} if option in known else {}

    def forward(self, x):
        """Run the network on images (n, 3, H, W)."""
        _wanted.outputs = outputs = dict.fromkeys(self.layers)
        try:
            self.network(x, **self.options)
        finally:
            _wanted.outputs = {}
        return outputs


def watch(network):
    """Have the modules of a network show what they give.

    Returns
    -------
    graph : fx.Graph
        From images to nothing, by way of all layers; it calls a :class:`Watched` as "watched".
    nodes : dict of str to fx.Node
        The output of each module, in the order in which they end.
    """
    names = {module: name for name, module in network.named_modules()}
    names = [names[module] for module in _inside_out(network) if names.get(module)]
    graph = fx.Graph()
    outputs = graph.call_module("watched", (graph.placeholder("images"),))
    nodes = {}
    for name in names:
        network.get_submodule(name).register_forward_hook(partial(_record, name))
        nodes[name] = graph.call_function(operator.getitem, (outputs, name))
    graph.output(None)
    return graph, nodes


def _inside_out(module):
    """Modules, each after those within it, without lists, which nobody calls."""
    for child in module.children():
        yield from _inside_out(child)
    if not isinstance(module, nn.ModuleList | nn.ModuleDict):
        yield module


def _record(name, module, inputs, output):
    wanted = getattr(_wanted, "outputs", {})
    if name in wanted:
        wanted[name] = _first_tensor(output)


def _first_tensor(output):
    """The output itself, or the first tensor in it, or None."""
    if isinstance(output, dict):
        output = tuple(output.values())
    values = output if isinstance(output, tuple | list) else (output,)
    return next(filter(torch.is_tensor, values), None)
