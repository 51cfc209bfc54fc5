# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that resize as Pillow does."""

import numpy as np
import pytest
import torch
from PIL import Image

from skpatch.export.resampling import resample_pixels, spread_map
from skpatch.inspection.maps import resize_map

pytestmark = pytest.mark.usefixtures("one_thread")


def edges(*numbers):
    return tuple(torch.tensor(float(number)) for number in numbers)


@pytest.mark.parametrize(
    ("size", "box", "target"),
    [
        ((60, 80), (0, 0, 60, 80), (60, 80)),
        ((60, 80), (0, 0, 60, 80), (30, 40)),
        ((60, 80), (0, 0, 60, 80), (120, 64)),
        ((301, 299), (0, 0, 301, 299), (64, 48)),
        ((5, 7), (0, 0, 5, 7), (64, 48)),
        ((1, 700), (0, 0, 1, 700), (64, 48)),
        # Pillow 13 begins with the columns of such.
        ((200, 80), (0, 0, 200, 80), (64, 48)),
        ((66, 61), (0, 0, 66, 61), (64, 64)),
        ((61, 80), (3.8125, 13.3125, 57.1875, 66.6875), (48, 48)),
    ],
    ids=str,
)
def test_pixels_are_those_of_pillow(size, box, target):
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, (2, *size, 3), np.uint8)
    top, left, bottom, right = box
    expected = [
        Image.fromarray(image).resize(
            target[::-1], Image.Resampling.BILINEAR, box=(left, top, right, bottom)
        )
        for image in images
    ]
    pixels = torch.from_numpy(images).to(torch.float32)
    found = resample_pixels(pixels, edges(*box), target).numpy()
    np.testing.assert_array_equal(found, np.stack(expected))


@pytest.mark.parametrize("size", [(64, 64), (100, 30), (9, 200)], ids=str)
def test_maps_are_those_of_pillow(size):
    values = np.random.RandomState(0).normal(size=(2, 32, 48)).astype(np.float32)
    found = spread_map(torch.from_numpy(values), edges(0, 0, *size), size).numpy()
    expected = [resize_map(one, size) for one in values]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_maps_are_nan_outside():
    values = np.random.RandomState(0).normal(size=(1, 8, 8)).astype(np.float32)
    found = spread_map(torch.from_numpy(values), edges(3, 5, 23, 25), (26, 30))[0].numpy()
    np.testing.assert_allclose(found[3:23, 5:25], resize_map(values[0], (20, 20)), atol=1e-5)
    found[3:23, 5:25] = np.nan
    assert np.isnan(found).all()
