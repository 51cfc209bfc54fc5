# SPDX-License-Identifier: BSD-3-Clause
"""The metrics and whatever scores and maps they may be given."""

import numpy as np
import pytest
from _strange import any_array, ends_in_a_result_or_a_named_error, few
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from skpatch.metrics import (
    aupro,
    f1_max,
    image_auroc,
    image_average_precision,
    pixel_auroc,
    pixel_average_precision,
    pixel_f1_max,
)

IMAGES = (image_auroc, image_average_precision, f1_max)
PIXELS = (pixel_auroc, pixel_average_precision, pixel_f1_max, aupro)
NUMBERS = st.sampled_from((0.0, -0.0, 1.0, -1.0, 1e-320, 1e308, -1e308, 1.7e308, -1.7e308, 0.5))


@few
@given(scores=st.lists(NUMBERS, min_size=2, max_size=12), seed=st.integers(0, 2**16))
@pytest.mark.parametrize("metric", IMAGES, ids=lambda metric: metric.__name__)
def test_only_the_order_of_scores_matters(metric, scores, seed):
    rng = np.random.RandomState(seed)
    labels = rng.permutation(np.arange(len(scores)) % 2)
    ranks = np.unique(scores, return_inverse=True)[1]
    value = metric(labels, scores)
    assert 0 <= value <= 1
    assert value == pytest.approx(metric(labels, ranks))
    order = rng.permutation(len(scores))
    assert value == pytest.approx(metric(labels[order], np.array(scores)[order]))


@few
@given(scores=st.lists(NUMBERS, min_size=2, max_size=12))
def test_auroc_is_the_share_of_pairs_in_order(scores):
    labels = np.arange(len(scores)) % 2 == 1
    first, second = np.array(scores)[labels][:, np.newaxis], np.array(scores)[~labels]
    expected = ((first > second) + 0.5 * (first == second)).mean()
    assert image_auroc(labels, scores) == pytest.approx(expected)


@few
@given(
    maps=npst.arrays(
        st.sampled_from((np.float16, np.float32, np.float64)),
        st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
        elements=st.sampled_from((0.0, 1.0, -1.0, 60000.0, -60000.0, float("nan"))),
    ),
    scale=st.sampled_from((1, 5e-310, 2e303)),
    seed=st.integers(0, 2**16),
)
@pytest.mark.parametrize("metric", PIXELS, ids=lambda metric: metric.__name__)
def test_any_map_has_a_value_or_a_named_error(metric, maps, scale, seed):
    maps = maps.astype(np.float64) * scale if scale != 1 else maps
    masks = np.random.RandomState(seed).randint(2, size=maps.shape)
    value = ends_in_a_result_or_a_named_error(metric, masks, maps)
    if value is None:
        inspected = ~np.isnan(maps)
        assert len(np.unique(masks[inspected])) < 2
    else:
        assert 0 <= value <= 1


@few
@given(first=any_array(), second=any_array())
@pytest.mark.parametrize("metric", IMAGES + PIXELS, ids=lambda metric: metric.__name__)
def test_any_arrays_have_a_value_or_a_named_error(metric, first, second):
    for pair in ((first, second), (first != first, first)):
        value = ends_in_a_result_or_a_named_error(metric, *pair)
        assert value is None or 0 <= value <= 1


@pytest.mark.parametrize("labels", [[None, 1], ["a", 1], [{}, 1], [1 + 1j, 0]])
def test_labels_that_cannot_be_sorted_are_named(labels):
    with pytest.raises(ValueError, match="y_true must hold 1"):
        image_auroc(np.array(labels, object if None in labels else None), [0.1, 0.2])


def test_false_positive_rate_that_is_no_number():
    with pytest.raises(ValueError, match="max_fpr is NaN"):
        aupro([[[0, 1]]], [[[0.0, 1.0]]], max_fpr=float("nan"))
