# SPDX-License-Identifier: BSD-3-Clause
"""From the scores of a patch grid to an anomaly map at an image's own size."""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from ..features.view import input_views

__all__ = ["SIGMA", "image_map", "image_maps", "resize_map"]

# Of the filter that smooths maps where nothing else is asked for, in pixels of the network's input.
SIGMA = 4.0


def resize_map(scores, size):
    """Resize a map (h, w) bilinearly to `size` (H, W), pixel centres aligned."""
    image = Image.fromarray(np.asarray(scores, np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))


def image_maps(extractor, grids, images, sigma=SIGMA):
    """Anomaly map of each image, at its own size, from the scores (n, h, w) of their patches."""
    return [
        image_map(scores, extractor.image_size_, size, region, sigma)
        for scores, (size, region) in zip(grids, input_views(extractor, images), strict=True)
    ]


def image_map(scores, input_size, image_size, region, sigma):
    """Anomaly map at an image's own size.

    Parameters
    ----------
    scores : ndarray of shape (h, w)
        Scores of the patch grid; NaN for patches that are not inspected.
    input_size : tuple (H, W)
        Size of the network's input, at which the map is smoothed.
    image_size : tuple (H, W)
        The image's own size.
    region : tuple (top, left, bottom, right)
        Part of the image, in its own pixels, that the network has seen.
    sigma : float
        Standard deviation of the Gaussian filter, in pixels of the network's input.

    Returns
    -------
    ndarray of shape image_size, float32
        NaN outside the region, and where patches are not inspected.
    """
    top, left, bottom, right = (round(edge) for edge in region)
    size = bottom - top, right - left

    def smooth(grid):
        resized = resize_map(grid, input_size)
        return resize_map(gaussian_filter(resized, sigma) if sigma > 0 else resized, size)

    inspected = ~np.isnan(scores)
    if inspected.all():
        seen = smooth(scores)
    else:
        # Each pixel is the mean of inspected patches only, with the weights that these have.
        weights = smooth(inspected)
        cells = Image.fromarray(inspected).resize(size[::-1], Image.Resampling.NEAREST)
        seen = np.full(size, np.nan, np.float32)
        np.divide(smooth(np.where(inspected, scores, 0)), weights, out=seen, where=cells)
    whole = np.full(image_size, np.nan, np.float32)
    whole[top:bottom, left:right] = seen
    return whole
