# SPDX-License-Identifier: BSD-3-Clause
"""A tiny synthetic set of textured, aligned images with known defects."""

from numbers import Integral

import numpy as np
from scipy import ndimage
from sklearn.utils import Bunch, check_random_state, check_scalar

__all__ = ["make_contaminated_images"]


def make_contaminated_images(
    n_normal: int = 20,
    n_defective: int = 2,
    *,
    image_size: int | tuple[int, int] = 64,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Make an unlabelled training folder with defects in it, small enough for tests.

    All images show the same striped, grained surface in the same place. They differ in
    brightness and pixel noise. A defective image has one blob or one scratch, brighter or darker
    than its surroundings, somewhere.

    Parameters
    ----------
    n_normal : int, default=20
        Number of images without a defect.
    n_defective : int, default=2
        Number of images with a defect.
    image_size : int or (height, width), default=64
        Size in pixels, at least 16.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same images every time.

    Returns
    -------
    Bunch
        - images : ndarray of shape (n_images, height, width, 3), uint8, in random order;
        - labels : ndarray of shape (n_images,), 1 = defective, 0 = normal;
        - masks : ndarray of shape (n_images, height, width), bool, True where defective.

    Raises
    ------
    ValueError
        If a number is negative, both are 0, or `image_size` is not one or two integers of at
        least 16.

    Examples
    --------
    >>> from skpatch.datasets import make_contaminated_images
    >>> surface = make_contaminated_images(8, 2, image_size=(32, 48), random_state=0)
    >>> surface.images.shape, surface.images.dtype
    ((10, 32, 48, 3), dtype('uint8'))
    >>> int(surface.labels.sum()), surface.masks.any(axis=(1, 2)).tolist() == [
    ...     bool(label) for label in surface.labels
    ... ]
    (2, True)
    """
    check_scalar(n_normal, "n_normal", Integral, min_val=0)
    check_scalar(n_defective, "n_defective", Integral, min_val=0)
    n_images = n_normal + n_defective
    if n_images == 0:
        raise ValueError("n_normal and n_defective are both 0; at least one image is needed.")
    sizes = np.atleast_1d(image_size)
    if sizes.dtype.kind not in "iu" or sizes.shape not in ((1,), (2,)) or sizes.min() < 16:
        raise ValueError(
            f"image_size={image_size!r} must be one integer or (height, width), at least 16."
        )
    height, width = int(sizes[0]), int(sizes[-1])

    rng = check_random_state(random_state)
    surface = _surface(height, width, rng)
    labels = rng.permutation(np.repeat([0, 1], [n_normal, n_defective]))
    images = np.empty((n_images, height, width, 3), np.uint8)
    masks = np.zeros((n_images, height, width), bool)
    for i, label in enumerate(labels):
        image = surface * rng.uniform(0.95, 1.05) + rng.normal(0, 3, surface.shape)
        if label:
            masks[i] = _defect(height, width, rng)
            image[masks[i]] += rng.choice([-1, 1]) * rng.uniform(50, 70)
        images[i] = np.clip(image, 0, 255)
    return Bunch(images=images, labels=labels, masks=masks)


def _surface(height, width, rng):
    """Stripes and grain around a middle grey, (height, width, 3)."""
    phase = rng.uniform(0, 2 * np.pi)
    stripes = 15 * np.sin(2 * np.pi * np.arange(width) / 16 + phase)
    grain = ndimage.gaussian_filter(rng.normal(0, 1, (height, width)), 2, mode="wrap")
    grain *= 12 / grain.std()
    tint = rng.uniform(110, 140, 3)
    return (stripes + grain)[:, :, np.newaxis] + tint


def _defect(height, width, rng):
    """Mask of one blob (an ellipse) or scratch (a thin long one), turned at random."""
    shorter = min(height, width)
    if rng.uniform() < 0.5:
        radii = rng.uniform(0.06, 0.12, 2) * shorter
    else:
        radii = np.array([rng.uniform(0.15, 0.25) * shorter, 1.0])
    row, column = rng.uniform(0.25, 0.75, 2) * (height, width)
    angle = rng.uniform(0, np.pi)
    rows, columns = np.mgrid[:height, :width]
    along = (columns - column) * np.cos(angle) + (rows - row) * np.sin(angle)
    across = (rows - row) * np.cos(angle) - (columns - column) * np.sin(angle)
    return (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1
