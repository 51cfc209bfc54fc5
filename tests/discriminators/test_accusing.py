# SPDX-License-Identifier: BSD-3-Clause
"""How unusual patches are at their place, and whether places mean anything."""

import numpy as np
import pytest
from _references import outlier_scores, textures
from numpy.testing import assert_allclose, assert_array_equal

from skpatch import SupportDiscriminator
from skpatch.discriminators.accusing import accuse, accuse_jury, rank_of_same_place
from skpatch.discriminators.jury import Jury


def grids(n_images, height, width, seed=0, n_features=4):
    return (
        np.random.RandomState(seed).normal(size=(n_images, height, width, n_features)).astype("f4")
    )


def jury_of(patches, n_images=None):
    """A jury of the first images."""
    some = patches[:n_images]
    return Jury(some.reshape(-1, patches.shape[-1])).joined_by(some, np.arange(len(some)))


def coordinates(jury, patches):
    """What the jury compares (n, p, k) of patches (n, h, w, d)."""
    n_patches = patches[0, ..., 0].size
    return jury.project(patches.reshape(-1, patches.shape[-1])).reshape(len(patches), n_patches, -1)


# The window has 0.14 of the shorter side, as an odd number of patches, and 5 at most.
@pytest.mark.parametrize(
    ("shape", "side"),
    [((1, 1), 1), ((1, 30), 1), ((5, 6), 1), ((9, 8), 3), ((22, 22), 5), ((36, 36), 5)],
)
def test_local_outlier_factors_averaged_over_a_window(shape, side):
    patches = grids(9, *shape)
    jury = jury_of(patches)
    scores = accuse(jury, patches, np.arange(9), np.ones(shape, bool))
    expected = outlier_scores(coordinates(jury, patches), np.ones(shape, bool), side)
    assert_allclose(scores.reshape(9, -1), expected, rtol=1e-5)
    assert_array_equal(SupportDiscriminator().fit(patches).outlier_scores_, scores)


def test_they_are_those_of_the_features():
    """Of which float16 keeps a 2,000th."""
    patches = grids(20, 5, 6)
    expected = outlier_scores(patches.reshape(20, -1, 4), np.ones((5, 6), bool), 1)
    scores = SupportDiscriminator().fit(patches).outlier_scores_
    assert_allclose(scores.reshape(20, -1), expected, rtol=1e-2)


def test_what_is_not_inspected_is_not_averaged():
    inspected = np.random.RandomState(0).rand(9, 10) < 0.6
    # Alone in its window.
    inspected[:3, :3] = False
    inspected[0, 0] = True
    patches = grids(12, 1, np.count_nonzero(inspected))
    jury = jury_of(patches)
    scores = accuse(jury, patches, np.arange(12), inspected)
    assert scores.shape == patches.shape[:3]
    expected = outlier_scores(coordinates(jury, patches), inspected, 3)
    assert_allclose(scores[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("n_known", [2, 5, 20])
def test_images_outside_are_compared_with_all_of_the_reference(n_known):
    patches = grids(30, 8, 8)
    jury = jury_of(patches, n_known)
    inspected = np.ones((8, 8), bool)
    scores = accuse(jury, patches, np.arange(30), inspected)
    expected = outlier_scores(coordinates(jury, patches), inspected, 3, n_known)
    assert_allclose(scores.reshape(30, -1), expected, rtol=1e-5)
    # Whichever others there are.
    some = accuse(jury, patches[[3, 25]], np.array([3, 25]), inspected)
    assert_allclose(some[1], scores[25], rtol=1e-6)
    if n_known > 3:
        assert_allclose(some[0], scores[3], rtol=1e-6)


@pytest.mark.parametrize("numbers", [(3, 5), (5, 3), (4, 100)])
def test_one_search_serves_several_numbers_of_neighbors(numbers):
    patches = np.random.RandomState(0).normal(size=(12, 4, 5, 3)).astype(np.float32)
    jury = jury_of(patches)
    inspected = np.ones((4, 5), bool)
    together = accuse_jury(jury, inspected, numbers)
    alone = [accuse_jury(jury, inspected, (number,))[0] for number in numbers]
    assert_array_equal(together, alone)
    assert not np.allclose(*together)


def test_the_reference_is_some_of_many_images(monkeypatch):
    monkeypatch.setattr("skpatch.discriminators.jury._REFERENCE", 10)
    patches = grids(25, 5, 5)
    jury = jury_of(patches)
    numbers, reference = jury.reference()
    assert len(numbers) == len(reference) == 10
    others = np.setdiff1d(np.arange(25), numbers)
    order = np.append(numbers, others)
    scores = accuse(jury, patches, np.arange(25), np.ones((5, 5), bool))
    expected = outlier_scores(
        coordinates(jury, patches[order]), np.ones((5, 5), bool), 1, n_known=10
    )
    assert_allclose(scores[order].reshape(25, -1), expected, rtol=1e-5)


def test_a_single_image_has_nothing_to_be_compared_with():
    patches = grids(3, 4, 4)
    jury = jury_of(patches, 1)
    assert_array_equal(accuse(jury, patches, np.arange(3), np.ones((4, 4), bool)), 1)


def test_copies_are_as_dense_as_can_be():
    patches = np.concatenate([textures(8)] * 2 + [textures(4, seed=1)])
    scores = SupportDiscriminator().fit(patches).outlier_scores_
    assert np.isfinite(scores).all()
    assert (scores > 0).all()
    assert_array_equal(scores[:8], scores[8:16])
    assert_array_equal(SupportDiscriminator().fit(patches[[0] * 12]).outlier_scores_, 1)


def test_the_order_of_images_does_not_matter():
    patches = textures(40, range(4))
    order = np.random.RandomState(0).permutation(40)
    scores = SupportDiscriminator().fit(patches).outlier_scores_
    again = SupportDiscriminator().fit(patches[order]).outlier_scores_
    assert_allclose(again, scores[order], rtol=1e-5)


def test_scale_and_shift_do_not_matter():
    patches = textures(40, range(4))
    scores = SupportDiscriminator().fit(patches).outlier_scores_
    # Powers of two are exact.
    assert_array_equal(SupportDiscriminator().fit(patches * 2**20).outlier_scores_, scores)
    for changed in (patches * 3, patches * 1e-6, patches + 7):
        assert_allclose(SupportDiscriminator().fit(changed).outlier_scores_, scores, rtol=0.02)


def test_the_same_place_is_near_where_images_are_aligned():
    rng = np.random.RandomState(0)
    scene = rng.normal(size=(1, 100, 8))
    aligned = scene + 0.1 * rng.normal(size=(30, 100, 8))
    assert rank_of_same_place(aligned) == 0
    unrelated = rng.normal(size=(30, 100, 8))
    assert rank_of_same_place(unrelated) == pytest.approx(0.5, abs=0.05)
    shifted = scene.reshape(10, 10, 8)
    # Smooth: what has moved by a few patches is still nearer than most.
    for axis in (0, 1):
        shifted = sum(np.roll(shifted, shift, axis) for shift in range(-2, 3))
    moved = np.stack(
        [np.roll(shifted, rng.randint(-2, 3, size=2), (0, 1)).reshape(100, 8) for _ in range(30)]
    )
    assert 0.05 < rank_of_same_place(moved) < 0.45
    # Of one place there is nothing else.
    assert rank_of_same_place(unrelated[:, :1]) == 0


def test_rank_by_hand():
    coordinates = np.array([[[0.0], [1], [2]], [[0], [2], [1]]])
    # At the first place nothing is nearer, at the others one of the two other patches is.
    assert rank_of_same_place(coordinates) == pytest.approx(1 / 3, abs=0.05)
