# SPDX-License-Identifier: BSD-3-Clause
"""The extractor and whatever images it may be given."""

import numpy as np
import pytest
from _networks import small_extractor
from _strange import any_array, ends_in_a_result_or_a_named_error, few
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from skpatch.images.collection import check_images

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiny():
    return small_extractor(image_size=16, n_jobs=1).fit(np.zeros((2, 16, 16), np.uint8))


@few
@given(X=st.one_of(any_array(), st.lists(any_array(), max_size=3)))
def test_any_images_are_decoded_or_refused(X):
    images = ends_in_a_result_or_a_named_error(check_images, X)
    if images is None:
        return
    for index in range(len(images)):
        pixels = ends_in_a_result_or_a_named_error(images.load, index)
        size = ends_in_a_result_or_a_named_error(images.size, index)
        if pixels is not None:
            assert pixels.dtype == np.uint8
            assert pixels.shape == (*size, 3)


@pytest.mark.filterwarnings("ignore:.* not fit the intensity range")
@few
@given(
    image=npst.arrays(
        st.sampled_from((np.uint8, np.uint16, np.int32, np.float16, np.float32, np.float64)),
        st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from((1, 3, 4))),
        elements=st.integers(0, 255),
    )
)
def test_features_of_an_image_of_any_size_and_type(tiny, image):
    small = image.shape[0] < tiny.grid_size_[0] or image.shape[1] < tiny.grid_size_[1]
    features = ends_in_a_result_or_a_named_error(tiny.transform, [image, image])
    assert (features is None) == small
    if features is not None:
        assert np.isfinite(features).all()
        np.testing.assert_array_equal(features[0], features[1])


@few
@given(
    sizes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=4),
    image_size=st.one_of(
        st.integers(1, 40), st.tuples(st.integers(1, 40), st.integers(1, 40)), st.just(True)
    ),
)
def test_any_sizes_are_learned_or_refused(sizes, image_size):
    images = [np.full(size, 9, np.uint8) for size in sizes]
    model = small_extractor(n_jobs=1, image_size=image_size)
    features = ends_in_a_result_or_a_named_error(model.fit_transform, images)
    if features is not None:
        assert features.shape == (len(images), *model.grid_size_, 24)
        assert np.isfinite(features).all()


def test_an_aspect_ratio_that_would_fill_the_memory():
    """The shorter side is image_size, so the longer one would be 5 million pixels."""
    with pytest.raises(ValueError, match=r"image_size=\(height, width\)"):
        small_extractor(n_jobs=1, image_size=100).fit([np.zeros((1, 50_000), np.uint8)])
