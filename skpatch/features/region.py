# SPDX-License-Identifier: BSD-3-Clause
"""The part of all images that is inspected, from a painted mask to patches of the grid."""

import os

import numpy as np
from PIL import Image

from ..images.proportions import have_same_proportions
from ..images.reading import read_image
from ..runtime.text import shown
from .view import central_region

__all__ = ["patches_inside", "read_region"]

# Share of a patch's cell that must be inside, less what rounding may take from it.
_LEAST_SHARE = 0.5 - 1e-6


def read_region(region):
    """Mask (H, W), bool, True where images are inspected, from a file or an array."""
    if isinstance(region, (str, os.PathLike)):
        if not os.path.isfile(region):
            raise FileNotFoundError(f"region={os.fspath(region)!r} is not a file.")
        pixels = read_image(region, shown(region))
        return np.asarray(Image.fromarray(pixels).convert("L")) > 127
    mask = np.asarray(region)
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"region has shape {mask.shape}; expected a mask (H, W) or a path.")
    if not any(np.isin(mask, values).all() for values in ((0, 1), (0, 255))):
        raise ValueError(
            "region must be a mask of two values: False and True, 0 and 1, or 0 and 255."
        )
    return mask != 0


def patches_inside(mask, images, sizes, crop_share, grid):
    """Which patches (h, w), bool, of a grid have at least half of their cell in the mask.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
    images : ImageList
    sizes : list of tuple (H, W)
        Sizes of the images.
    crop_share : float or None
        Side of the square in the middle of the mask that counts, as of the images; see
        :func:`~skpatch.features.view.central_region`.
    grid : tuple (h, w)
    """
    height, width = mask.shape
    for index, size in enumerate(sizes):
        if not have_same_proportions(mask.shape, size):
            raise ValueError(
                f"region has {height} x {width} pixels (height x width), and "
                f"{shown(images.name(index))} has {size[0]} x {size[1]}: "
                "one region for all images needs their proportions."
            )
    top, left, bottom, right = central_region(mask.shape, crop_share)
    rows = _shares(top, bottom, grid[0], height)
    columns = _shares(left, right, grid[1], width)
    inside = rows @ mask.astype(np.float32) @ columns.T >= _LEAST_SHARE
    if not inside.any():
        raise ValueError(
            f"region leaves none of the {grid[0]} x {grid[1]} patches to inspect: none has half of "
            "its cell inside. The mask must be white (or True) where images are inspected."
        )
    return inside


def _shares(start, stop, n_cells, n_pixels):
    """Share (n_cells, n_pixels) of each of the cells from `start` to `stop` that a pixel takes."""
    edges = np.linspace(start, stop, n_cells + 1)[:, np.newaxis]
    pixels = np.arange(n_pixels)
    shared = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (np.maximum(shared, 0) / (edges[1:] - edges[:-1])).astype(np.float32)
