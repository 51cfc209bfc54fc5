# SPDX-License-Identifier: BSD-3-Clause
"""Defective images among the normal training images: the protocol of the SoftPatch paper."""

import os
from numbers import Real

import numpy as np
from scipy import ndimage
from sklearn.utils import Bunch, check_random_state, check_scalar

from ..images.collection import Images
from ..images.reading import read_image

__all__ = ["inject_noise"]


def inject_noise(
    train_normal: Images,
    defects: Images,
    *,
    noise_ratio: float = 0.1,
    overlap: bool = False,
    augment: str | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Hide defective images among the normal training images.

    This is the protocol with which noise-robust detectors are compared [1]_.

    Parameters
    ----------
    train_normal, defects : sequence of paths, arrays or PIL images
        Any object with a length and indexing. Paths stay paths unless they are augmented.
    noise_ratio : float in [0, 1], default=0.1
        Number of injected images divided by ``len(train_normal)``; the number is rounded.
    overlap : bool, default=False
        Whether the injected defects also stay in the test set. True is cleaning the very folder
        that is inspected; False takes them out of the test set.
    augment : {None, "rotation", "affine", "blur", "noise"}, default=None
        Inject altered copies of the chosen defects, as uint8 arrays (height, width, 3):

        - "rotation": by an angle between -15 and 15 degrees;
        - "affine": rotation within 5 degrees, scale 0.9 to 1.1, shear within 5 degrees, shift
          within 5 % of the image, all at once;
        - "blur": Gaussian, sigma 0.5 % to 1.5 % of the shorter side, at least half a pixel;
        - "noise": Gaussian, standard deviation 5 to 15 grey levels.

        Every copy draws its own values, uniformly. What a rotation or shift uncovers is filled
        by reflection, so that no black corner gives the copy away. The magnitudes are this
        library's choice.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same result every time. For a given seed, the same defects are chosen
        whatever `overlap` and `augment` are.

    Returns
    -------
    Bunch
        - train_images : list of n_train items, normal and injected ones in random order;
        - is_noise : ndarray of shape (n_train,), bool, True for the injected ones;
        - injected_indices : ndarray of shape (n_injected,), the position in `defects` of each
          injected image, in the order of `train_images`;
        - test_defects : list, the defects that remain for the test set, in their order; empty
          if all were injected and `overlap` is False;
        - test_indices : ndarray of shape (n_test_defects,), their positions in `defects`, for
          picking their labels and masks.

    Raises
    ------
    ValueError
        If there are fewer defects than `noise_ratio` needs, `noise_ratio` is not in [0, 1],
        `train_normal` is empty, `augment` is unknown, or an image cannot be read.
    TypeError
        If an input has no length, or is a string.

    References
    ----------
    .. [1] X. Jiang et al., "SoftPatch: Unsupervised anomaly detection with noisy data", NeurIPS
       2022.

    Examples
    --------
    >>> from skpatch.datasets import inject_noise
    >>> normal = [f"good/{i}.png" for i in range(20)]
    >>> defects = [f"dent/{i}.png" for i in range(5)]
    >>> noisy = inject_noise(normal, defects, noise_ratio=0.1, random_state=0)
    >>> len(noisy.train_images), int(noisy.is_noise.sum()), len(noisy.test_defects)
    (22, 2, 3)
    """
    for name, images in (("train_normal", train_normal), ("defects", defects)):
        _check_sequence(images, name)
    check_scalar(noise_ratio, "noise_ratio", Real, min_val=0, max_val=1)
    if augment is not None and augment not in _AUGMENTATIONS:
        known = ", ".join(map(repr, _AUGMENTATIONS))
        raise ValueError(f"Unknown augment {augment!r}; known are None, {known}.")
    n_normal = len(train_normal)
    if n_normal == 0:
        raise ValueError("train_normal is empty; at least one image is needed.")
    n_injected = round(noise_ratio * n_normal)
    if n_injected > len(defects):
        raise ValueError(
            f"noise_ratio={noise_ratio} of {n_normal} normal images needs {n_injected} defects, "
            f"but there are {len(defects)}. Pass more defects, or a noise_ratio of at most "
            f"{np.floor(1000 * len(defects) / n_normal) / 1000:g}."
        )

    rng = check_random_state(random_state)
    chosen = rng.permutation(len(defects))[:n_injected]
    order = rng.permutation(n_normal + n_injected)
    is_noise = order >= n_normal
    injected = [_augmented(defects, i, augment, rng) for i in chosen]
    test_indices = np.arange(len(defects))
    if not overlap:
        test_indices = np.setdiff1d(test_indices, chosen)
    return Bunch(
        train_images=[
            train_normal[i] if i < n_normal else injected[i - n_normal] for i in order.tolist()
        ],
        is_noise=is_noise,
        injected_indices=chosen[order[is_noise] - n_normal],
        test_defects=[defects[i] for i in test_indices.tolist()],
        test_indices=test_indices,
    )


def _check_sequence(images, name):
    if isinstance(images, (str, bytes, os.PathLike)) or not (
        hasattr(images, "__len__") and hasattr(images, "__getitem__")
    ):
        raise TypeError(
            f"{name} must be a list of images or paths, or another sequence with a length, got "
            f"{type(images).__name__}."
        )


def _augmented(defects, index, augment, rng):
    """Return the defect itself, or a changed copy."""
    item = defects[int(index)]
    if augment is None:
        return item
    image = read_image(item, f"defects[{index}]", "auto")
    changed = _AUGMENTATIONS[augment](image.astype(np.float32), rng)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def _rotate(image, rng):
    return _warp(image, _rotation(rng.uniform(-15, 15)), np.zeros(2))


def _affine(image, rng):
    shear = np.array([[1.0, np.tan(np.deg2rad(rng.uniform(-5, 5)))], [0.0, 1.0]])
    matrix = _rotation(rng.uniform(-5, 5)) @ shear / rng.uniform(0.9, 1.1)
    return _warp(image, matrix, rng.uniform(-0.05, 0.05, 2) * image.shape[:2])


def _blur(image, rng):
    sigma = max(0.5, rng.uniform(0.005, 0.015) * min(image.shape[:2]))
    return ndimage.gaussian_filter(image, sigma, axes=(0, 1))


def _add_noise(image, rng):
    # The same for all channels, so that a grey image stays grey.
    return image + rng.normal(0, rng.uniform(5, 15), (*image.shape[:2], 1))


def _rotation(degrees):
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


def _warp(image, matrix, shift):
    """Map output to input coordinates by `matrix` about the centre, then `shift`."""
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = centre - matrix @ centre + shift
    warped = [
        ndimage.affine_transform(channel, matrix, offset, order=1, mode="reflect")
        for channel in np.moveaxis(image, 2, 0)
    ]
    return np.stack(warped, axis=2)


_AUGMENTATIONS = {"rotation": _rotate, "affine": _affine, "blur": _blur, "noise": _add_noise}
