# SPDX-License-Identifier: BSD-3-Clause
from collections import OrderedDict

import torch
from sklearn.base import clone
from torch import nn

from skpatch import PatchFeatureExtractor
from skpatch.networks.backbones import build_backbone


def small_network():
    """ResNet-like network of three stages."""
    torch.manual_seed(1)
    stages = {
        "stem": nn.Conv2d(3, 4, 3, 4, 1),
        "layer2": nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()),
        "layer3": nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()),
        "layer4": nn.Conv2d(16, 16, 3, 2, 1),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
        "fc": nn.Linear(16, 5),
    }
    return nn.Sequential(OrderedDict(stages))


def whole_network(backbone, weights, seed):
    """A network all of whose layers are in use, with its weights."""
    built = build_backbone(backbone, weights, seed)
    built.load(built.module)
    return built.module


def small_extractor(**parameters):
    """Extractor with a network that is built at once, and the strides of the default one."""
    parameters = {"backbone": small_network(), "layers": ["layer2", "layer3"], **parameters}
    return PatchFeatureExtractor(**parameters)


def with_parameters(fitted, **parameters):
    """A fitted estimator with other parameters, without another fit."""
    other = clone(fitted)
    vars(other).update(vars(fitted))
    return other.set_params(**parameters)


class Pixels(nn.Module):
    """Network whose "maps" are its input."""

    def __init__(self):
        super().__init__()
        self.same = nn.Identity()
        self.negative = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.negative.weight, -1)

    def forward(self, x):
        return self.negative(self.same(x))


class Strange(nn.Module):
    """A network with an operation that only torch knows."""

    def __init__(self):
        super().__init__()
        self.pixels = Pixels()

    def forward(self, x):
        return self.pixels(torch.special.bessel_j0(x))
