# SPDX-License-Identifier: BSD-3-Clause
"""Layers of a network whose maps are used: found, tapped, and measured on a probe.

Layers are nodes of the network's graph, which torch.fx traces, so that nothing after the last one
is computed or kept. Forward hooks see modules only, and could end the pass by an exception only.
"""

import copy

import torch
from torch import fx
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from ..runtime.memory import memory_errors
from ..runtime.text import first_line
from .backbones import LITE0, SameConv2d
from .tracing import running, tracing
from .view import PROBE_SIZE, stride

__all__ = ["default_layers", "feature_taps", "map_shapes"]


def default_layers(backbone, module):
    """Names of two middle layers.

    The last stages of the network whose maps are 8 and 16 times smaller than the image: "layer2"
    and "layer3" of ResNets, the paper's, or "features.3" and "features.5" of EfficientNets. Stages
    are the outermost modules that give such maps.
    """
    if backbone == LITE0:
        # What the search finds, which takes as long as all else that builds the network.
        return ("features.3", "features.5")
    nodes = [name.split(".") for name in _node_names(module)]
    for depth in range(1, max(map(len, nodes)) + 1):
        names = list(dict.fromkeys(".".join(node[:depth]) for node in nodes))
        taps = _create_feature_extractor(module, names)
        last = {}
        for name, value in _probe(backbone, taps, PROBE_SIZE).items():
            if torch.is_tensor(value) and value.ndim == 4 and value.shape[2] == value.shape[3]:
                last[stride(PROBE_SIZE, value.shape[1:])] = name
        if 8 in last and 16 in last:
            return (last[8], last[16])
    raise ValueError(
        f"backbone={_describe(backbone)} has no maps (n, c, h, w) that are 8 and 16 times "
        "smaller than the image; name `layers` that give such maps."
    )


@memory_errors()
def feature_taps(backbone, module, layers):
    """Network that returns a dict of the maps at `layers`, and computes nothing after the last."""
    if not layers or len(set(layers)) < len(layers):
        raise ValueError(f"layers={tuple(layers)} must name at least one layer, each of them once.")
    names = _node_names(module)
    for layer in layers:
        if layer not in names and not any(name.startswith(f"{layer}.") for name in names):
            modules = [name for name, _ in module.named_modules() if name.count(".") <= 1 and name]
            raise ValueError(
                f"layers={tuple(layers)}: {_describe(backbone)} has no layer {layer!r}. It has "
                f"{', '.join(modules)}."
            )
    taps = _create_feature_extractor(module, list(layers))
    _check_channels(backbone, taps)
    return taps


def _check_channels(backbone, taps):
    """Raise where the second axis grows with the image: maps (n, h, w, c), as Swin's are."""
    try:
        low, high = (_probe(backbone, taps, (height, 96)) for height in (96, 192))
    except ValueError:
        # A network for one size only, which map_shapes tries.
        return
    for layer, value in low.items():
        if torch.is_tensor(value) and value.ndim == 4 and value.shape[1] != high[layer].shape[1]:
            raise ValueError(
                f"layers: {layer!r} of {_describe(backbone)} gives maps whose second axis is not "
                "their channels; expected maps of shape (n, c, h, w)."
            )


@memory_errors()
def map_shapes(backbone, taps, layers, size):
    """Shapes (c, h, w) of the maps at each layer, for an image of a size (H, W)."""
    maps = _probe(backbone, taps, size)
    for layer in layers:
        if not torch.is_tensor(maps[layer]) or maps[layer].ndim != 4:
            value = maps[layer]
            shape = tuple(value.shape) if torch.is_tensor(value) else type(value).__name__
            raise ValueError(
                f"layers: {layer!r} of {_describe(backbone)} gives {shape}; expected maps of "
                "shape (n, c, h, w)."
            )
    return [tuple(maps[layer].shape[1:]) for layer in layers]


def _describe(backbone):
    return repr(backbone) if isinstance(backbone, str) else type(backbone).__name__


def _node_names(module):
    try:
        with tracing():
            return get_graph_node_names(
                module, tracer_kwargs={"leaf_modules": [SameConv2d]}, suppress_diff_warning=True
            )[1]
    except Exception as error:
        # torch.fx raises whatever the module's forward does with a symbolic input.
        raise ValueError(
            f"backbone={type(module).__name__} cannot be traced by torch.fx, which finds its "
            f"layers: {error}"
        ) from error


def _create_feature_extractor(module, layers):
    with tracing():
        taps = create_feature_extractor(
            module, layers, tracer_kwargs={"leaf_modules": [SameConv2d]}, suppress_diff_warning=True
        )
    # torchvision's class holds a second graph for training, and its copies are in training mode.
    return fx.GraphModule(taps, taps.eval_graph, type(module).__name__).eval()


def _without_values(taps):
    """The same network on the device "meta", where no numbers are kept or computed."""
    tensors = (*taps.parameters(), *taps.buffers())
    return copy.deepcopy(taps, {id(tensor): tensor.to("meta") for tensor in tensors})


@torch.inference_mode()
def _probe(backbone, taps, size):
    """Outputs of the network for one image of a size (H, W), which matter for their shapes only."""
    try:
        with running():
            try:
                return _without_values(taps)(torch.empty(1, 3, *size, device="meta"))
            except Exception:
                # A module of one's own may have operations that need numbers.
                if isinstance(backbone, str):
                    raise
                return taps(torch.zeros(1, 3, *size, dtype=torch.float32, device="cpu"))
    except Exception as error:
        raise ValueError(
            f"backbone={_describe(backbone)} cannot process an image of {size[0]} x {size[1]} "
            f"pixels (height x width): {first_line(error)}"
        ) from error
