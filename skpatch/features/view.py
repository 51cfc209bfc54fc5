# SPDX-License-Identifier: BSD-3-Clause
"""From images to the input of the network: the part that is seen, at one size for all."""

from functools import partial
from numbers import Integral

import numpy as np
from PIL import Image

from ..images.collection import check_images
from ..networks.strides import stride

__all__ = [
    "central_region",
    "check_geometry",
    "input_views",
    "largest_stride",
    "learn_geometry",
    "prepare",
    "sizes_in_words",
    "visible_region",
]

# The network's input would be a hundred times as long as it is wide.
_LARGEST_ASPECT = 100
# With image_size="auto": pixels of the network's input, which all times grow with, by how
# much images are enlarged at most for it, and the shorter side that is never undercut, which
# elongated images and small files have (benchmarks/resolution.py).
_AREA, _ENLARGED, _SHORTEST = 320**2, 1.5, 224
# With n_scales="auto": from this shorter side on, images are seen at two scales
# (benchmarks/resolution.py).
_LARGE = 224


def check_geometry(extractor):
    """Check the parameters of an extractor that depend on each other."""
    image_size, resize, crop = extractor.image_size, extractor.resize, extractor.crop
    if (resize is None) != (crop is None):
        raise ValueError(
            f"resize={resize} and crop={crop} go together, as in resize=256, crop=224; image_size "
            "alone resizes the whole image."
        )
    if crop is not None and crop > resize:
        raise ValueError(f"crop={crop} is larger than resize={resize}.")
    if extractor.patch_size != "auto" and extractor.patch_size % 2 == 0:
        raise ValueError(f"patch_size={extractor.patch_size} must be odd.")
    if isinstance(image_size, Integral) or (isinstance(image_size, str) and image_size == "auto"):
        return
    if len(image_size) != 2 or not all(
        isinstance(side, Integral) and side > 0 for side in image_size
    ):
        raise ValueError(
            f"image_size={image_size!r} must be 'auto', the shorter side or a pair (height, width)."
        )


def learn_geometry(extractor, sizes, shapes_at, probe_size, has_tokens):
    """Size (H, W) of the network's input for images of many sizes, and the number of its scales.

    `shapes_at` is a function from a size to the shapes (c, h, w) of the layers' maps, `probe_size`
    a size that the network takes; `has_tokens` says whether some layers may give tokens.
    """
    learn_size = partial(_learn_size, extractor, sizes, shapes_at, probe_size)
    if extractor.n_scales != "auto":
        size = learn_size(extractor.n_scales)
        for number in range(1, extractor.n_scales):
            _check_scale(extractor.n_scales, _smaller(size, number), shapes_at)
        return size, extractor.n_scales
    if not (has_tokens or extractor.crop or extractor.tile_size):
        size = learn_size(2)
        if min(size) >= _LARGE and _is_possible(_smaller(size, 1), shapes_at):
            return size, 2
    return learn_size(1), 1


def _smaller(size, number):
    """Size of images of a size that were halved a number of times."""
    return tuple(side >> number for side in size)


def _check_scale(n_scales, size, shapes_at):
    """Raise unless a network takes the images of a scale."""
    try:
        if min(size) < 1:
            raise ValueError("they would have no pixels left")
        shapes_at(size)
    except ValueError as error:
        raise ValueError(
            f"n_scales={n_scales} halves images down to {size[0]} x {size[1]} pixels: {error}"
        ) from error


def _learn_size(extractor, sizes, shapes_at, probe_size, n_scales):
    """Size (H, W) of the network's input at its largest scale."""
    if extractor.crop is not None:
        return (extractor.crop, extractor.crop)
    is_auto = isinstance(extractor.image_size, str)
    if not (is_auto or isinstance(extractor.image_size, Integral)):
        return tuple(int(side) for side in extractor.image_size)
    step = largest_stride(shapes_at, probe_size, n_scales)
    heights, widths = np.array(sizes, float).T
    aspect = float(np.median(widths / heights))
    if max(aspect, 1 / aspect) > _LARGEST_ASPECT:
        raise ValueError(
            f"The median aspect ratio (width / height) of the images is {aspect:g}, beyond "
            f"{_LARGEST_ASPECT} to 1; name the size of the network's input, "
            "image_size=(height, width)."
        )
    shorter = _automatic_side(heights, widths, aspect) if is_auto else extractor.image_size
    sides = shorter * max(1, 1 / aspect), shorter * max(1, aspect)
    size = tuple(max(1, round(side / step)) * step for side in sides)
    return probe_size if is_auto and not _is_possible(size, shapes_at) else size


def _is_possible(size, shapes_at):
    """Whether a network takes images of a size; some, as MaxViT, are for a single one."""
    try:
        shapes_at(size)
    except ValueError:
        return False
    return True


def _automatic_side(heights, widths, aspect):
    """Shorter side for images of such sizes (n,) and proportions."""
    affordable = np.sqrt(_AREA / max(aspect, 1 / aspect))
    useful = _ENLARGED * np.median(np.minimum(heights, widths))
    return max(_SHORTEST, min(affordable, useful))


def largest_stride(shapes_at, probe_size, n_scales):
    """Largest stride of the layers, at the smallest scale; arguments as of `learn_geometry`."""
    largest = max(stride(probe_size, shape) for shape in shapes_at(probe_size))
    return largest << (n_scales - 1)


def sizes_in_words(image_size, n_scales):
    """Sizes (H, W) at which images pass the network, as width x height."""
    height, width = image_size
    return " and ".join(f"{width >> number} x {height >> number}" for number in range(n_scales))


def central_region(size, share):
    """Part (top, left, bottom, right) of an image of a size (H, W): a square in its middle.

    `share` is the side of the square relative to the shorter side; None is the whole image.
    """
    height, width = size
    if share is None:
        return 0.0, 0.0, float(height), float(width)
    side = share * min(height, width)
    top, left = (height - side) / 2, (width - side) / 2
    return top, left, top + side, left + side


def visible_region(size, extractor):
    """Part of an image of a size (H, W) that a fitted extractor looks at."""
    return central_region(size, extractor.crop_share_)


def input_views(extractor, images):
    """Sizes (H, W) of images, and the parts of them that a fitted extractor looks at.

    Returns
    -------
    list of ((height, width), (top, left, bottom, right))
        In pixels of each image.
    """
    images = check_images(images)
    sizes = (images.size(index) for index in range(len(images)))
    return [(size, visible_region(size, extractor)) for size in sizes]


def prepare(images, index, extractor):
    """Decode one image and bring it to the size of a fitted extractor's input."""
    pixels = images.load(index)
    size = pixels.shape[:2]
    images.check_size(index, size, extractor.grid_size_)
    top, left, bottom, right = visible_region(size, extractor)
    return np.asarray(
        Image.fromarray(pixels).resize(
            extractor.image_size_[::-1], Image.Resampling.BILINEAR, box=(left, top, right, bottom)
        )
    )
