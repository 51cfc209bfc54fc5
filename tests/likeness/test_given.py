# SPDX-License-Identifier: BSD-3-Clause
import warnings

import numpy as np
import pytest

from skpatch import SoftPatchDetector


@pytest.mark.parametrize("discriminator", ["support", "lof", None])
@pytest.mark.parametrize("n_images", [2, 39, 40])
def test_few_images_are_warned_of(n_images, discriminator):
    images = np.random.RandomState(0).normal(size=(n_images, 4, 4, 8)).astype(np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SoftPatchDetector(discriminator=discriminator, random_state=0).fit(images)
    told = [str(warning.message) for warning in caught if "threshold" in str(warning.message)]
    assert len(told) == (n_images < 40)
    assert all(f"from {n_images} training images" in text for text in told)


def test_copies_do_not_make_many_of_few_images():
    images = np.random.RandomState(0).normal(size=(30, 4, 4, 8)).astype(np.float32)
    with (
        pytest.warns(UserWarning, match="10 of 40 training images are copies"),
        pytest.warns(UserWarning, match="was learned from 30 training images"),
    ):
        SoftPatchDetector(random_state=0).fit(np.concatenate([images, images[:10]]))
