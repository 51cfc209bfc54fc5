# SPDX-License-Identifier: BSD-3-Clause
"""Shapes of everything within a network, and its constants, found by running it."""

import torch
from torch import fx

__all__ = ["node_shapes"]


def node_shapes(module, graph, images):
    """Run a graph of a module on images.

    Returns
    -------
    shapes : dict of fx.Node to tuple
        Of what each node gives; () for what is no tensor.
    constants : dict of fx.Node to Tensor
        What functions that are not looked into make of nothing but weights and the images' size,
        such as position embeddings for it.
    """
    shapes = _Shapes(module, graph)
    shapes.run(images)
    return shapes.found, shapes.constants


class _Shapes(fx.Interpreter):
    def __init__(self, module, graph):
        super().__init__(module, graph=graph)
        self.extra_traceback = False
        self.found, self.constants, self._from_images = {}, {}, set()

    def run_node(self, n):
        """Run a node."""
        value = super().run_node(n)
        self.found[n] = tuple(value.shape) if torch.is_tensor(value) else ()
        # The size of the images is known, so what follows from numbers alone is a constant.
        if _holds_tensors(value):
            if n.op == "placeholder" or not self._from_images.isdisjoint(n.all_input_nodes):
                self._from_images.add(n)
            elif n.meta.get("is_wrapped") and torch.is_tensor(value):
                self.constants[n] = value
        return value


def _holds_tensors(value):
    """Whether a value is a tensor or has one in it, as the parts of a map are a tuple."""
    values = value.values() if isinstance(value, dict) else value
    return torch.is_tensor(value) or (
        isinstance(value, tuple | list | dict) and any(map(_holds_tensors, values))
    )
