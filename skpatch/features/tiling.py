# SPDX-License-Identifier: BSD-3-Clause
"""A network on overlapping tiles of an image, so that its memory does not grow with the image."""

from functools import partial
from itertools import pairwise, product

import numpy as np

from .view import largest_stride

__all__ = ["MARGIN", "plan_tiles", "tiled_maps"]

# Pixels at a tile's edge whose maps are thrown away, since the network sees no more beyond them; or
# the next multiple of the stride. Of photographs of solar cells, cookies and ball screws
# (768 x 768, tiles of 512), EfficientNet-Lite0's features differ from those of one pass by at most
# 0.8 % of their norm, 0.03 % on average (benchmarks/tiling.py: at most 1.1 %); 16, 32, 64 and 96
# pixels give 49, 31, 12 and 4 %, and 176, its receptive field, rounding errors. So does 128 with a
# ResNet-18.
MARGIN = 128

_empty = partial(np.empty, dtype=np.float32)


def plan_tiles(shapes_at, probe_size, image_size, tile_size, n_scales):
    """Size (H, W) of the tiles of an image, and the shapes of the maps of the whole image.

    Parameters
    ----------
    shapes_at : callable
        From a size (H, W) to the shapes (c, h, w) of the layers' maps.
    probe_size : tuple (H, W)
        A size that the network takes.
    image_size : tuple (H, W)
    tile_size : int or None
        Largest side of a tile. None is one tile, the image.
    n_scales : int
        Each half as large as the one before sees twice as far beyond a tile's edge.

    Returns
    -------
    tile : tuple (H, W)
    margin : int
        Pixels at an inner edge of a tile whose maps are not used.
    shapes : list of tuple (c, h, w)
    """
    if tile_size is None:
        return image_size, 0, shapes_at(image_size)
    step = largest_stride(shapes_at, probe_size, n_scales)
    seen = MARGIN << (n_scales - 1)
    side, margin = tile_size // step * step, -(seen // -step) * step
    if side <= 2 * margin:
        raise ValueError(
            f"tile_size={tile_size} must be at least {2 * margin + step}: tiles overlap by "
            f"{2 * margin} pixels, and their sides are multiples of {step}, the network's stride."
        )
    tile = tuple(_smallest(length, side, step, margin) for length in image_size)
    if tile == image_size:
        return tile, 0, shapes_at(tile)
    if any(length % step for length in image_size):
        raise ValueError(
            f"tile_size={tile_size}: the size of the network's input, {image_size}, must consist "
            f"of multiples of {step}, its stride, to be cut into tiles."
        )
    shapes = []
    for channels, *size in shapes_at(tile):
        stride = tile[0] // size[0]
        if [length // stride for length in tile] != size or step % stride:
            raise ValueError(
                f"tile_size={tile_size} needs a network whose maps are smaller than its input by "
                f"whole numbers; for an input of {tile}, this one gives a map of {tuple(size)}. "
                "Pass tile_size=None."
            )
        shapes.append((channels, *(length // stride for length in image_size)))
    return tile, margin, shapes


def _smallest(length, side, step, margin):
    """Smallest side of as many tiles along an axis as there are of `side`, or the whole axis."""
    if length <= side:
        return length
    inner = length - 2 * margin
    n_tiles = -(inner // -(side - 2 * margin))
    return -((-(inner // -n_tiles) + 2 * margin) // -step) * step


def tiled_maps(network, pixels, tile, margin):
    """Maps of the layers, joined from those of tiles.

    Parameters
    ----------
    network : callable
        From images (n, 3, H, W) to a dict of maps (n, c, h, w).
    pixels : Tensor or ndarray of shape (n, 3, H, W)
    tile : tuple (H, W)
    margin : int
        Size and margin of the tiles, from :func:`plan_tiles`.

    Returns
    -------
    dict of Tensor
        Or of arrays, if the network gives such.
    """
    size = tuple(pixels.shape[-2:])
    if size == tile:
        return network(pixels)
    joined = {}
    spans = map(partial(_spans, margin=margin), size, tile)
    for (top, *rows), (left, *columns) in product(*spans):
        part = network(pixels[..., top : top + tile[0], left : left + tile[1]])
        for layer, values in part.items():
            stride = tile[0] // values.shape[-2]
            if layer not in joined:
                shape = *values.shape[:2], *(length // stride for length in size)
                joined[layer] = getattr(values, "new_empty", _empty)(shape)
            first, last, start, stop = (edge // stride for edge in (*rows, *columns))
            inner = values[..., first - top // stride : last - top // stride, :]
            joined[layer][..., first:last, start:stop] = inner[
                ..., start - left // stride : stop - left // stride
            ]
    return joined


def _spans(length, tile, margin):
    """Along an axis: where each tile begins, and the part (first, last) that is taken from it."""
    starts = [*range(0, length - tile, tile - 2 * margin), length - tile]
    edges = [0, *(start + margin for start in starts[1:]), length]
    return [(start, *edge) for start, edge in zip(starts, pairwise(edges), strict=True)]
