# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from skpatch.inspection.maps import image_map, resize_map


def test_enlarging_equals_bilinear_interpolation():
    scores = np.random.RandomState(0).normal(size=(5, 7)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(scores)[None, None], size=(40, 33), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(resize_map(scores, (40, 33)), expected[0, 0], atol=1e-5)


def test_steps():
    scores = np.random.RandomState(0).normal(size=(4, 4))
    smooth = gaussian_filter(resize_map(scores, (32, 32)), 4)
    expected = resize_map(smooth, (50, 60))
    found = image_map(scores, (32, 32), (50, 60), (0, 0, 50, 60), sigma=4)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


def test_no_smoothing():
    scores = np.eye(4)
    found = image_map(scores, (8, 8), (8, 8), (0, 0, 8, 8), sigma=0)
    np.testing.assert_array_equal(found, resize_map(scores, (8, 8)))


def test_outside_the_region_is_nan():
    found = image_map(np.ones((2, 2)), (8, 8), (20, 10), (4.6, 0, 15.2, 10), sigma=1)
    seen = np.zeros((20, 10), bool)
    seen[5:15] = True
    np.testing.assert_array_equal(np.isfinite(found), seen)
    assert found[seen] == pytest.approx(1)
