# SPDX-License-Identifier: BSD-3-Clause
"""Turned and mirrored copies of training images, whose patches are put where they came from."""

import numpy as np

__all__ = ["AS_IS", "AUGMENTS", "turn", "turn_back", "views_of"]

# A view is a number of quarter turns, and whether it is mirrored before; the image itself first.
AS_IS = ((0, False),)
_HALF, _QUARTERS = (2, False), ((1, False), (3, False))
AUGMENTS = {
    "rotation": (*AS_IS, _HALF, *_QUARTERS),
    "flip": (*AS_IS, (0, True), (2, True), _HALF),
}


def views_of(augment, image_size):
    """Views of an image of that size (H, W). Elongated ones are not turned on their side."""
    if augment is None:
        return AS_IS
    height, width = image_size
    return tuple(one for one in AUGMENTS[augment] if height == width or one not in _QUARTERS)


def turn(images, view):
    """Images (n, H, W, 3), turned and mirrored."""
    n_turns, is_mirrored = view
    images = images[:, :, ::-1] if is_mirrored else images
    return np.ascontiguousarray(np.rot90(images, n_turns, axes=(1, 2)))


def turn_back(grids, view):
    """Grids (n, h, w, d) of turned images, with each patch at its place in the image itself."""
    n_turns, is_mirrored = view
    grids = np.rot90(grids, -n_turns, axes=(1, 2))
    return grids[:, :, ::-1] if is_mirrored else grids
