# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skpatch.bank.usual import UsualPatches


@pytest.fixture
def known():
    """30 images of 12 places along 3 axes, 5 of whose patches do not count, and two axes of 5."""
    rng = np.random.RandomState(0)
    coordinates = rng.normal(size=(30, 12, 3)) * rng.uniform(0.2, 2, (12, 3)) + 4
    is_counted = np.ones((30, 12), bool)
    is_counted[:5, 0] = False
    axes = np.linalg.qr(rng.normal(size=(5, 3)))[0].astype(np.float32)
    shift = np.array([1, -2, 0.5], np.float32)
    usual = UsualPatches.of(coordinates, np.arange(0, 60, 2), is_counted, axes, shift)
    return usual, coordinates, is_counted


def expected(coordinates, counted, query, variances_of_all):
    """Weight of a query (k,) by the coordinates (j, k) of its place that count."""
    some = coordinates[counted]
    variances = some.var(axis=0, ddof=1)
    spreads = variances + 0.1 * variances.mean() + 0.1 * variances_of_all
    return np.mean((query - some.mean(axis=0)) ** 2 / spreads) ** 0.25


def patches_at(usual, coordinates):
    """Patches with such coordinates."""
    return ((coordinates + np.array([1, -2, 0.5])) @ usual.axes.T).astype(np.float32)


def test_weights(known):
    usual, coordinates, counted = known
    queries = np.random.RandomState(1).normal(4, 3, (2, 12, 3))
    places = [coordinates[counted[:, p], p] for p in range(12)]
    of_all = np.mean([some.var(axis=0, ddof=1) for some in places])
    found = usual.weights(patches_at(usual, queries))
    for image in range(2):
        for p in range(12):
            weight = expected(coordinates[:, p], counted[:, p], queries[image, p], of_all)
            assert_allclose(found[image, p], weight, rtol=1e-4)
    some = usual.weights(patches_at(usual, queries[:, [7, 2]]), places=np.array([7, 2]))
    assert_array_equal(some, found[:, [7, 2]])
    each = np.array([[7, 2], [1, 7]])
    some = patches_at(usual, np.take_along_axis(queries, each[..., np.newaxis], axis=1))
    some = usual.weights(some, places=each)
    assert_allclose(some, np.take_along_axis(found, each, axis=1), rtol=1e-5)


def test_an_image_is_compared_with_the_others(known):
    usual, coordinates, counted = known
    of_all = usual.variances.mean()
    found = usual.weights(patches_at(usual, coordinates[[3, 8, 8]]), own=np.array([6, 16, -1]))
    for row, image in enumerate([3, 8]):
        for p in range(12):
            others = counted[:, p] & (np.arange(30) != image)
            weight = expected(coordinates[:, p], others, coordinates[image, p], of_all)
            # The mean variance of all places hardly changes, and stays.
            assert_allclose(found[row, p], weight, rtol=1e-3)
    assert (found[1] > found[2]).all()
    plain = usual.weights(patches_at(usual, coordinates[[8]]))
    assert_array_equal(found[2:], plain)
    unknown = usual.weights(patches_at(usual, coordinates[[8]]), own=np.array([7]))
    assert_array_equal(unknown, plain)


def test_of_components(known):
    usual = known[0]
    components = np.random.RandomState(2).normal(size=(9, 5)).astype(np.float32)
    patches = np.random.RandomState(3).normal(size=(1, 12, 9)).astype(np.float32)
    assert_allclose(
        usual.after(components).weights(patches), usual.weights(patches @ components), rtol=1e-4
    )
    assert usual.after(None) is usual


def test_places_of_which_little_is_known(known):
    _, coordinates, counted = known
    counted[:21, 4] = False
    axes, shift = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    usual = UsualPatches.of(coordinates, np.arange(30), counted, axes, shift)
    weights = usual.weights(coordinates[:1].astype(np.float32), own=np.array([0]))
    assert weights[0, 4] == 1
    assert_array_equal(usual.is_known, np.arange(12) != 4)


@pytest.mark.parametrize("everywhere", [False, True])
def test_places_that_are_the_same_in_all_images(known, everywhere):
    """The least change there would be infinitely unusual."""
    _, coordinates, counted = known
    coordinates[:, slice(None) if everywhere else 2] = 1.0
    axes, shift = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    usual = UsualPatches.of(coordinates, np.arange(30), counted, axes, shift)
    same = usual.weights(coordinates[:1].astype(np.float32), own=np.array([0]))
    other = usual.weights(coordinates[:1].astype(np.float32) + 1e-3)
    if everywhere:
        assert_array_equal(same, np.ones((1, 12)))
        assert_array_equal(other, np.ones((1, 12)))
    else:
        assert same[0, 2] == pytest.approx(0.1)
        assert other[0, 2] < 0.3
