# SPDX-License-Identifier: BSD-3-Clause
"""Maps (n, c, h, w) of what transformers give: tokens (n, t, c), or maps with channels last."""

import math
import sys

import torch
from torch.nn import functional

from .timm_models import declared_size

__all__ = ["as_map", "call", "free_of_size", "map_shape", "needs_images", "prefix_tokens"]

# Class, distillation and register tokens before those of the patches.
_MOST_OTHERS = 16


def prefix_tokens(module):
    """How many tokens stand before those of the patches, if a network says so, or None."""
    for declares in (module, getattr(module, "config", None)):
        if isinstance(n_tokens := getattr(declares, "num_prefix_tokens", None), int):
            return n_tokens
        if isinstance(n_registers := getattr(declares, "num_register_tokens", None), int):
            return 1 + n_registers
    return None


def as_map(values, images, n_prefix):
    """Map (n, c, h, w) of what a layer gives for images (n, 3, H, W).

    Parameters
    ----------
    values : Tensor
        Tokens (n, t, c), of which the last are a grid of the images' proportions, or maps. What
        is neither is returned as it is.
    images : Tensor
    n_prefix : int or None
        How many tokens stand before those of the patches. If it is not known, as many as leave the
        finest grid.
    """
    shape, size = tuple(map(int, values.shape)), tuple(map(int, images.shape[-2:]))
    found = map_shape(shape, size, n_prefix)
    if found is None or found == shape[1:]:
        return values
    _, *grid = found
    if len(shape) == 3:
        values = values[:, shape[1] - math.prod(grid) :].unflatten(1, grid)
    return values.permute(0, 3, 1, 2)


def map_shape(shape, size, n_prefix):
    """Shape (c, h, w) of the map that :func:`as_map` makes for images of a size (H, W), or None."""
    if len(shape) == 3:
        grid = _grid(shape[1], size, n_prefix)
        return grid and (shape[2], *grid)
    if len(shape) != 4:
        return None
    if _is_grid(shape[1:3], size) and not _is_grid(shape[2:], size):
        return (shape[3], *shape[1:3])
    return shape[1:]


def _grid(n_tokens, size, n_prefix):
    """Grid (h, w) of the last of some tokens, in the proportions of a size (H, W), or None."""
    for cell in range(1, math.gcd(*size) + 1):
        height, width = (side // cell for side in size)
        n_others = n_tokens - height * width
        if n_others >= 0 and _is_grid((height, width), size):
            # Tokens of patches have none before them yet.
            known = range(_MOST_OTHERS + 1) if n_prefix is None else (0, n_prefix)
            if n_others in known:
                return height, width
            if n_prefix is None:
                return None
    return None


def _is_grid(grid, size):
    """Whether an image is cut into a grid (h, w) of squares."""
    height, width = grid
    if not (height and width):
        return False
    cell, rest = divmod(size[0], height)
    return rest == 0 and width * cell == size[1]


def call(graph, function, *arguments):
    """Node of a call of a function, into which pickle does not look, though it traces again."""
    node = graph.call_function(function, arguments)
    node.meta["is_wrapped"] = True
    return node


def free_of_size(graph, module):
    """Have the graph of a vision transformer of torchvision take images of any size.

    It checks that they have the size of its position embedding, which is resampled instead, as
    torchvision resamples it for another size of the weights.
    """
    if not _is_of_torchvision(module, "vision_transformer", "VisionTransformer"):
        return
    images = next(iter(graph.nodes))
    for node in list(graph.nodes):
        if node.target is torch._assert:
            graph.erase_node(node)
        elif node.op == "get_attr" and node.target.endswith("pos_embedding"):
            with graph.inserting_before(node.next):
                size = [graph.call_method("size", (images, axis)) for axis in (2, 3)]
                resampled = call(graph, _resampled_positions, node, *size, module.patch_size)
            node.replace_all_uses_with(resampled, lambda user, own=resampled: user is not own)


def needs_images(module):
    """Whether a network seems to take images of any size where there are none, and does not."""
    return _is_of_torchvision(module, "maxvit", "MaxVit") or declared_size(module) is not None


def _is_of_torchvision(module, family, kind):
    """Whether a network is of a class of torchvision, which whoever uses it has loaded."""
    models = sys.modules.get(f"torchvision.models.{family}")
    return models is not None and isinstance(module, getattr(models, kind))


def _resampled_positions(embedding, height, width, patch_size):
    """Embedding (1, 1 + h w, c) of the class token and of the positions of patches."""
    grid = [int(side) // patch_size for side in (height, width)]
    side = math.isqrt(embedding.shape[1] - 1)
    if grid == [side, side]:
        return embedding
    positions = embedding[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    positions = functional.interpolate(positions, grid, mode="bicubic", align_corners=True)
    return torch.cat([embedding[:, :1], positions.flatten(2).transpose(1, 2)], dim=1)
