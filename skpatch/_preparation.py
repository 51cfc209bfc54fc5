# SPDX-License-Identifier: BSD-3-Clause
"""From images to the input of the network, all of one size."""

import numpy as np
from PIL import Image

__all__ = ["common_size", "prepare", "visible_region"]


# The network's input would be a hundred times as long as it is wide.
_LARGEST_ASPECT = 100


def common_size(sizes, shorter, step):
    """Size (H, W) for images of many sizes: median aspect ratio, sides multiples of `step`."""
    heights, widths = np.array(sizes, float).T
    aspect = float(np.median(widths / heights))
    if max(aspect, 1 / aspect) > _LARGEST_ASPECT:
        raise ValueError(
            f"The median aspect ratio (width / height) of the images is {aspect:g}, beyond "
            f"{_LARGEST_ASPECT} to 1; name the size of the network's input, "
            "image_size=(height, width)."
        )
    sides = shorter * max(1, 1 / aspect), shorter * max(1, aspect)
    return tuple(max(1, round(side / step)) * step for side in sides)


def visible_region(size, extractor):
    """Part (top, left, bottom, right) of an image of a size (H, W) that the extractor looks at."""
    height, width = size
    if extractor.crop is None:
        return 0.0, 0.0, float(height), float(width)
    side = extractor.crop / extractor.resize * min(height, width)
    top, left = (height - side) / 2, (width - side) / 2
    return top, left, top + side, left + side


def prepare(images, index, extractor):
    """Decode one image and bring it to the size of the network's input."""
    pixels = images.load(index)
    size = pixels.shape[:2]
    images.check_size(index, size, extractor.grid_size_)
    top, left, bottom, right = visible_region(size, extractor)
    return np.asarray(
        Image.fromarray(pixels).resize(
            extractor.image_size_[::-1], Image.Resampling.BILINEAR, box=(left, top, right, bottom)
        )
    )
