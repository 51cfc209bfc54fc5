# SPDX-License-Identifier: BSD-3-Clause
"""A network whose convolutions do what follows them, as oneDNN's do, for the CPU.

torch runs a convolution, its batch norm, the sum with a branch and the activation as four passes
over memory, and pads unevenly by a copy. Here they are one. These are the operators that
torch.compile calls, without the compiler it needs; torch.jit, which has them too, is deprecated.
"""

import copy
import operator
import sys

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from .padding import SameConv2d, padded_evenly
from .shapes import node_shapes

__all__ = ["can_pack", "fuse", "pack"]

_CONVOLUTIONS = (nn.Conv2d, SameConv2d)
# What does nothing in evaluation mode.
_IDLE = (nn.Identity, nn.Dropout, nn.Dropout2d)
_SUMS = (operator.add, operator.iadd, torch.add)
# Name, numbers and algorithm of each activation that oneDNN computes with a convolution.
_ACTIVATIONS = {
    nn.ReLU: lambda _: ("relu", [], ""),
    nn.ReLU6: lambda _: ("hardtanh", [0.0, 6.0], ""),
    nn.SiLU: lambda _: ("swish", [], ""),
    nn.Hardswish: lambda _: ("hardswish", [], ""),
    nn.GELU: lambda module: ("gelu", [], module.approximate),
}
_FUNCTIONS = {
    "none": lambda x: x,
    "relu": functional.relu,
    "hardtanh": functional.hardtanh,
    "swish": functional.silu,
    "hardswish": functional.hardswish,
}
_RELU_FUNCTIONS = (torch.relu, functional.relu)


def can_pack(device, dtype):
    """Whether oneDNN's operators run on a device in a number type."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32


def fuse(model, size):
    """Copy of a network that gives the same maps, to rounding errors, in fewer steps.

    Parameters
    ----------
    model : fx.GraphModule
        In evaluation mode, float32 on the CPU. It is not changed; modules that stay as they are
        are shared with it.
    size : tuple (H, W)
        Of the images, as which those of all later calls must be.

    Returns
    -------
    fx.GraphModule
    """
    fused = fx.GraphModule(model, copy.deepcopy(model.graph))
    # Whoever uses those of torchvision, which takes a second to load, has loaded it.
    depth = sys.modules.get("torchvision.ops.stochastic_depth")
    idle = _IDLE if depth is None else (*_IDLE, depth.StochasticDepth)
    for node in list(fused.graph.nodes):
        if _calls(fused, node, idle):
            node.replace_all_uses_with(node.args[0])
            fused.graph.erase_node(node)
    with torch.no_grad():
        shapes, constants = node_shapes(fused, fused.graph, torch.zeros(1, 3, *size))
    for number, (node, value) in enumerate(constants.items()):
        _replace_by_value(fused, node, value, f"skpatch_constant_{number}")
    for number, node in enumerate(list(fused.graph.nodes)):
        if _calls(fused, node, _CONVOLUTIONS):
            _fuse_from(fused, node, shapes, f"skpatch_fused_{number}")
    # A new module has none of those that are not called any more.
    return fx.GraphModule(fused, fused.graph)


def _replace_by_value(model, node, value, name):
    model.register_buffer(name, value)
    with model.graph.inserting_before(node):
        node.replace_all_uses_with(model.graph.get_attr(name))
    model.graph.erase_node(node)


def pack(fused):
    """Have oneDNN compute a fused network, each convolution with its sum and activation at once."""
    for module in fused.modules():
        if isinstance(module, _FusedConv2d):
            module.pack()


class _FusedConv2d(nn.Module):
    """A convolution, what is added to its result, and an activation."""

    def __init__(self, weight, bias, arguments, activation, size):
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.arguments = arguments
        self.activation = activation
        self.size = size
        self.is_packed = False

    def pack(self):
        """Bring the weights into the order in which oneDNN reads them."""
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            self.weight, *self.arguments, self.size
        )
        self.is_packed = True

    def forward(self, x, other=None):
        if not self.is_packed:
            return self._steps(x, other)
        name, numbers, algorithm = self.activation
        given = self.weight, self.bias, *self.arguments
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *given, name, numbers, algorithm)
        name = None if name == "none" else name
        return torch.ops.mkldnn._convolution_pointwise(
            x, other, *given, "add", None, name, numbers, algorithm
        )

    def _steps(self, x, other):
        padding, stride, dilation, groups = self.arguments
        name, numbers, algorithm = self.activation
        x = functional.conv2d(x, self.weight, self.bias, stride, padding, dilation, groups)
        if other is not None:
            x = x + other
        if name == "gelu":
            return functional.gelu(x, approximate=algorithm)
        return _FUNCTIONS[name](x, *numbers)


def _calls(model, node, types):
    """Whether a node calls a module of one of these very types, without hooks, on one value."""
    if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
        return False
    module = model.get_submodule(node.target)
    return type(module) in types and not (module._forward_hooks or module._forward_pre_hooks)


def _fuse_from(model, node, shapes, name):
    """Replace a convolution, and what follows it directly, by one module."""
    convolution, source = model.get_submodule(node.target), node.args[0]
    if len(shapes[source]) != 4:
        return
    try:
        weight, padding = padded_evenly(convolution, shapes[source][-2:])
    except ValueError:
        return
    bias, last = convolution.bias, node
    following = _follower(last)
    if following is not None and _is_fixed_norm(model, following):
        norm = model.get_submodule(following.target)
        weight, bias = fuse_conv_bn_weights(
            weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        last, following = following, _follower(following)
    other = None if following is None else _added(following, last, shapes)
    if other is not None:
        last, following = following, _follower(following)
    activation = None if following is None else _activation(model, following)
    # oneDNN has no other activation after a sum.
    if activation is not None and (other is None or activation[0] == "relu"):
        last = following
    else:
        activation = ("none", [], "")
    arguments = padding, list(convolution.stride), list(convolution.dilation), convolution.groups
    bias = None if bias is None else bias.detach()
    fused = _FusedConv2d(weight.detach(), bias, arguments, activation, shapes[source])
    model.add_submodule(name, fused)
    with model.graph.inserting_after(last):
        new = model.graph.call_module(name, (source,) if other is None else (source, other))
    last.replace_all_uses_with(new)
    shapes[new] = shapes[last]
    while new.prev is not node:
        model.graph.erase_node(new.prev)
    model.graph.erase_node(node)


def _follower(node):
    """The next node if it alone uses this one, so nothing happens between both."""
    return node.next if list(node.users) == [node.next] else None


def _is_fixed_norm(model, node):
    """Whether a node is a batch norm that does not depend on the batch."""
    if not _calls(model, node, (nn.BatchNorm2d,)):
        return False
    return model.get_submodule(node.target).running_mean is not None


def _added(node, value, shapes):
    """What a node adds to `value`, of the same shape; None if the node is no such sum."""
    if node.op != "call_function" or node.target not in _SUMS or node.kwargs:
        return None
    if node.target is operator.iadd and node.args[0] is not value:
        # It changes the other one, which may be used again.
        return None
    others = [one for one in node.args if one is not value]
    return others[0] if others and shapes.get(others[0]) == shapes[value] else None


def _activation(model, node):
    """Name, numbers and algorithm of an activation; None for any other node."""
    if node.op == "call_function" and node.target in _RELU_FUNCTIONS:
        return _ACTIVATIONS[nn.ReLU](None)
    if _calls(model, node, tuple(_ACTIVATIONS)):
        module = model.get_submodule(node.target)
        return _ACTIVATIONS[type(module)](module)
    return None
