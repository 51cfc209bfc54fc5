# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skpatch.datasets import make_contaminated_images
from skpatch.metrics import image_auroc, pixel_auroc


@pytest.mark.parametrize("size", [16, 64, (32, 48)])
def test_synthetic_set(size):
    data = make_contaminated_images(6, 4, image_size=size, random_state=0)
    height, width = np.broadcast_to(size, 2)
    assert data.images.shape == (10, height, width, 3)
    assert data.images.dtype == np.uint8
    assert data.masks.shape == (10, height, width)
    assert data.labels.sum() == 4
    assert_array_equal(data.masks.any(axis=(1, 2)), data.labels == 1)
    assert data.masks[data.labels == 1].mean() < 0.12


def test_synthetic_defects_can_be_found():
    data = make_contaminated_images(20, 8, random_state=0)
    images = data.images.mean(axis=3)
    images -= np.median(images, axis=(1, 2), keepdims=True)
    maps = np.abs(images - np.median(images, axis=0))
    assert image_auroc(data.labels, maps.max(axis=(1, 2))) > 0.95
    assert pixel_auroc(data.masks, maps) > 0.95


def test_synthetic_seed():
    first = make_contaminated_images(3, 2, random_state=0)
    again = make_contaminated_images(3, 2, random_state=0)
    for name in ("images", "labels", "masks"):
        assert_array_equal(first[name], again[name])
    other = make_contaminated_images(3, 2, random_state=1)
    assert (first.images != other.images).any()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((-1, 2), {}, "n_normal"),
        ((2, -1), {}, "n_defective"),
        ((0, 0), {}, "both 0"),
        ((2, 2), {"image_size": 8}, "image_size=8 must be"),
        ((2, 2), {"image_size": (32, 8)}, "image_size=.32, 8. must be"),
        ((2, 2), {"image_size": (32, 32, 3)}, "must be one integer or"),
        ((2, 2), {"image_size": 32.5}, "must be one integer or"),
    ],
)
def test_synthetic_errors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        make_contaminated_images(*arguments, **options)
