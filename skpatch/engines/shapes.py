# SPDX-License-Identifier: BSD-3-Clause
"""Shapes of everything within a network, found by running it."""

import torch
from torch import fx

__all__ = ["node_shapes"]


def node_shapes(module, graph, images):
    """Shape of what each node of a graph of a module gives for images; () for what is no tensor."""
    shapes = _Shapes(module, graph)
    shapes.run(images)
    return shapes.found


class _Shapes(fx.Interpreter):
    def __init__(self, module, graph):
        super().__init__(module, graph=graph)
        self.extra_traceback = False
        self.found = {}

    def run_node(self, n):
        """Run a node."""
        value = super().run_node(n)
        self.found[n] = tuple(value.shape) if torch.is_tensor(value) else ()
        return value
