# SPDX-License-Identifier: BSD-3-Clause
"""From the scores of a patch grid to an anomaly map at an image's own size."""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

__all__ = ["image_map", "image_maps", "resize_map"]


def resize_map(scores, size):
    """Resize a map (h, w) bilinearly to `size` (H, W), pixel centres aligned."""
    image = Image.fromarray(np.asarray(scores, np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))


def image_maps(extractor, grids, images, sigma=4.0):
    """Anomaly map of each image, at its own size, from the scores (n, h, w) of their patches."""
    regions = extractor.input_regions(images)
    return [
        image_map(scores, extractor.image_size_, size, region, sigma)
        for scores, (size, region) in zip(grids, regions, strict=True)
    ]


def image_map(scores, input_size, image_size, region, sigma):
    """Anomaly map at an image's own size.

    Parameters
    ----------
    scores : ndarray of shape (h, w)
        Scores of the patch grid.
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
        NaN outside the region.
    """
    smooth = resize_map(scores, input_size)
    if sigma > 0:
        smooth = gaussian_filter(smooth, sigma)
    top, left, bottom, right = (round(edge) for edge in region)
    whole = np.full(image_size, np.nan, np.float32)
    whole[top:bottom, left:right] = resize_map(smooth, (bottom - top, right - left))
    return whole
