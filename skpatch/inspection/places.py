# SPDX-License-Identifier: BSD-3-Clause
"""The worst place of an image as the camera has seen it, and the normal place most like it."""

import os

import numpy as np

from ..images.collection import check_images
from ..runtime.telling import untold
from .regions import find_regions

__all__ = [
    "cut",
    "find_normal_places",
    "find_training_image",
    "patch_box",
    "side_of",
    "worst_patch",
]

# Sides of a square that is cut out, in pixels of the image, and in those of the worst region. Of a
# small image it is a part, or nothing would be seen larger than it is beside it.
_LEAST, _MOST, _AROUND, _PART = 128, 384, 2, 3
# Share of the threshold up to which patches are the same, but for another version of a library.
_SAME = 0.1


def worst_patch(scores):
    """Row and column of the worst of the patches (h, w)."""
    row, column = np.unravel_index(np.nanargmax(scores), scores.shape)
    return int(row), int(column)


def patch_box(patch, grid, region):
    """Edges (left, top, right, bottom) of a patch (row, column), in pixels of its image.

    Patches of the grid (h, w) cover the region (top, left, bottom, right).
    """
    (row, column), (n_rows, n_columns) = patch, grid
    top, left, bottom, right = region
    height, width = (bottom - top) / n_rows, (right - left) / n_columns
    y, x = top + row * height, left + column * width
    return x, y, x + width, y + height


def side_of(scores, region):
    """Side in pixels of a square around the worst region."""
    top, left, bottom, right = region
    shorter = min(bottom - top, right - left)
    if shorter < _PART * _LEAST:
        return max(1, int(shorter // _PART))
    regions = find_regions(scores, region)
    if not regions:
        return _LEAST
    left, top, right, bottom = regions[0]["box"]
    return int(np.clip(_AROUND * max(right - left, bottom - top), _LEAST, _MOST))


def cut(pixels, box, side):
    """Square around the middle of a box, or as much of it as fits into the image (H, W, 3).

    Returns
    -------
    pixels : ndarray
    corner : tuple (top, left)
        Where the square is in the image.
    """
    left, top, right, bottom = box
    y, x = (
        round(np.clip(middle - side / 2, 0, max(0, length - side)))
        for middle, length in zip(
            ((top + bottom) / 2, (left + right) / 2), pixels.shape, strict=False
        )
    )
    return pixels[y : y + side, x : x + side], (y, x)


def find_normal_places(state, numbers, device):
    """Memory patches that the worst patches of training images are most like.

    Those of the images themselves, which pass for suspicious, are left out.

    Parameters
    ----------
    state : FittedState
    numbers : ndarray of shape (k,), int64
        The suspicious images, numbered as they were given.
    device : str
        Torch device of the search.

    Returns
    -------
    ndarray of shape (k, 3), int64
        Image, row and column of each; -1 where no memory patch is left.
    """
    identity = state.given.identity[numbers]
    if len(numbers) == 0:
        return np.empty((0, 3), int)
    worst = state.training.worst_patches[identity, 0]
    excluded = np.ones(len(worst), int), np.isin(state.bank.source[:, 0], identity).astype(int)
    _, rows = state.bank.on(device).search.kneighbors(worst, 1, excluded)
    return np.where(rows >= 0, state.bank.source[rows[:, 0]], -1)


def find_training_image(model, image, patch):
    """Pixels of a training image if its file is still there, and still what a memory patch is of.

    Parameters
    ----------
    model : Pipeline
    image : int
        Its number.
    patch : tuple (row, column)
        Place of the memory patch.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8, or None
    """
    detector, names = model.steps[-1][1], getattr(model, "image_names_", None) or {}
    path = os.path.join(getattr(model, "image_folder_", None) or "", names[image] if names else "")
    if not os.path.isfile(path):
        return None
    is_place = (detector.memory_source_ == [image, *patch]).all(axis=1)
    try:
        with untold():
            found = model[:-1].transform([path])[0][tuple(patch)]
        gaps = np.linalg.norm(detector.memory_bank_[is_place] - found, axis=1)
        is_same = gaps.min() <= -_SAME * detector.offset_
        return check_images([path]).read_by(model.steps[0][1]).load(0) if is_same else None
    except (OSError, ValueError):
        # Another file took its name.
        return None
