# SPDX-License-Identifier: BSD-3-Clause
"""Networks that see images at several scales, each half of the one before."""

from torch import fx
from torch.nn import functional

from .grids import call

__all__ = ["at_scales"]


def at_scales(model, n_scales):
    """Network whose maps are means of those of images in full size, in half of it, and so on.

    Parameters
    ----------
    model : fx.GraphModule
        From images (n, 3, H, W) to a dict of maps (n, c, h, w).
    n_scales : int

    Returns
    -------
    fx.GraphModule
        With the same modules, each of which is called as many times, and maps of the same shapes.
    """
    if n_scales == 1:
        return model
    graph = fx.Graph()
    given = [node for node in model.graph.nodes if node.op == "placeholder"]
    copies = {node: graph.node_copy(node) for node in given}
    seen, found = copies[given[0]], []
    for number in range(n_scales):
        if number:
            seen = graph.call_function(functional.avg_pool2d, (seen, 2))
        found.append(graph.graph_copy(model.graph, {**copies, given[0]: seen}))
    graph.output(
        {layer: call(graph, _mean, *(maps[layer] for maps in found)) for layer in found[0]}
    )
    return fx.GraphModule(model, graph, type(model).__name__).eval()


def _mean(finest, *others):
    """Mean of maps (n, c, h, w) of any sizes, which are brought to the first one's."""
    grid, total = tuple(map(int, finest.shape[-2:])), finest
    for one in others:
        # Not of all at once: the sum keeps the order in memory, which what follows is fast in.
        total = total + functional.interpolate(one, grid, mode="bilinear", align_corners=False)
    return total / (1 + len(others))
