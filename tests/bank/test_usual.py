# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skpatch.bank.usual import UsualPatches


@pytest.fixture
def known():
    """30 images of 3 x 4 places along 3 axes of 5, five of whose patches do not count."""
    rng = np.random.RandomState(0)
    coordinates = rng.normal(size=(30, 12, 3)) * rng.uniform(0.2, 2, (12, 3)) + 4
    coordinates += rng.normal(size=(12, 3))
    is_counted = np.ones((30, 12), bool)
    is_counted[:5, 0] = False
    axes = np.linalg.qr(rng.normal(size=(5, 3)))[0].astype(np.float32)
    return usual_of(coordinates, is_counted, axes), coordinates, is_counted


SHIFT = np.array([1, -2, 0.5], np.float32)


def usual_of(coordinates, is_counted, axes=None, inspected=None):
    axes = np.eye(3, dtype=np.float32) if axes is None else axes
    inspected = np.ones((3, 4), bool) if inspected is None else inspected
    images = np.arange(0, 2 * len(coordinates), 2)
    return UsualPatches(axes, SHIFT, coordinates, images, is_counted, inspected)


def expected(coordinates, counted, queries, of_all, grid=(3, 4)):
    """Weights (p,) of an image's coordinates (p, k) by those (j, p, k) that count."""
    squares = np.empty((len(queries), len(queries)))
    means = np.array([coordinates[counted[:, p], p].mean(axis=0) for p in range(len(queries))])
    precision = (abs(means).max() / 2048) ** 2
    for p in range(len(queries)):
        some = coordinates[counted[:, p], p]
        variances = some.var(axis=0, ddof=1)
        spreads = variances + 0.1 * variances.mean() + 0.1 * of_all + precision
        squares[p] = np.mean((queries - some.mean(axis=0)) ** 2 / spreads, axis=1)
    rows, columns = np.divmod(np.arange(len(queries)), grid[1])
    is_beside = (abs(np.subtract.outer(rows, rows)) < 2) & (
        abs(np.subtract.outer(columns, columns)) < 2
    )
    return np.where(is_beside, squares, np.inf).min(axis=0) ** 0.25


def variance_of_all(coordinates, counted):
    """Without the largest and the least of twelve."""
    variances = [coordinates[counted[:, p], p].var(axis=0, ddof=1).mean() for p in range(12)]
    return np.mean(np.sort(variances)[1:-1])


def patches_at(usual, coordinates):
    """Patches with such coordinates."""
    return ((coordinates + SHIFT) @ usual.axes.T).astype(np.float32)


def test_weights(known):
    usual, coordinates, counted = known
    queries = np.random.RandomState(1).normal(4, 3, (2, 12, 3))
    of_all = variance_of_all(coordinates, counted)
    found = usual.weights(patches_at(usual, queries))
    for image in range(2):
        weights = expected(coordinates, counted, queries[image], of_all)
        assert_allclose(found[image], weights, rtol=1e-4)
    some = usual.weights(patches_at(usual, queries[:, [7, 2]]), places=np.array([7, 2]))
    assert_allclose(some, found[:, [7, 2]], rtol=1e-6)
    each = np.array([[7, 2], [1, 7]])
    some = patches_at(usual, np.take_along_axis(queries, each[..., np.newaxis], axis=1))
    some = usual.weights(some, places=each)
    assert_allclose(some, np.take_along_axis(found, each, axis=1), rtol=1e-6)


def test_an_image_is_compared_with_the_others(known):
    usual, coordinates, counted = known
    of_all = variance_of_all(coordinates, counted)
    patches = patches_at(usual, coordinates[[3, 8, 8]])
    found = usual.weights(patches, own=np.array([6, 16, -1]))
    for row, image in enumerate([3, 8]):
        others = counted & (np.arange(30) != image)[:, np.newaxis]
        # The mean variance of all places hardly changes, and stays.
        weights = expected(coordinates, others, coordinates[image], of_all)
        assert_allclose(found[row], weights, rtol=1e-4)
    assert (found[1] > found[2]).mean() > 0.9
    # Of some patches the others are known too.
    some = usual.weights(patches[:1, [9, 4]], own=np.array([6]), places=np.array([9, 4]))
    assert_allclose(some[0], found[0, [9, 4]], rtol=1e-6)
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


def test_places_that_are_not_inspected(known):
    """Nothing is beside them, and they are beside nothing."""
    _, coordinates, counted = known
    inspected = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1]], bool)
    usual = usual_of(coordinates[:, :7], counted[:, :7], inspected=inspected)
    expected = [{0, 2}, {1, 3}, {0, 2}, {1, 3}, {4, 5}, {4, 5, 6}, {5, 6}]
    assert [set(row) for row in usual.beside.tolist()] == expected


def test_places_of_which_little_is_known(known):
    _, coordinates, counted = known
    counted[:21, 4] = False
    usual = usual_of(coordinates, counted)
    plain = usual_of(coordinates, np.ones_like(counted))
    patches = patches_at(usual, coordinates[:2])
    assert not usual.known[1][4].any()
    # Places beside it know how unusual its patch is.
    assert (usual.weights(patches)[:, 4] >= plain.weights(patches)[:, 4]).all()
    counted[:21] = False
    nothing = usual_of(coordinates, counted)
    assert_array_equal(nothing.weights(patches), np.ones((2, 12)))
    assert_array_equal(nothing.weights(patches, own=np.array([0, 2])), np.ones((2, 12)))


@pytest.mark.parametrize("everywhere", [False, True])
def test_places_that_are_the_same_in_all_images(known, everywhere):
    """The least change there would be infinitely unusual."""
    _, coordinates, counted = known
    coordinates[:, slice(None) if everywhere else 2] = 1.0
    usual = usual_of(coordinates, counted)
    same = usual.weights(patches_at(usual, coordinates[:1]))
    other = usual.weights(patches_at(usual, coordinates[:1] + 1e-3))
    assert same[0, 2] < 0.3
    assert other[0, 2] < (2 if everywhere else 0.3)
    coordinates[:] = 0
    nothing = usual_of(coordinates, counted)
    assert_array_equal(nothing.weights(patches_at(nothing, coordinates[:1])), np.ones((1, 12)))


def test_one_image_does_not_change_what_is_unusual_elsewhere(known):
    _, coordinates, counted = known
    before = usual_of(coordinates.copy(), counted)
    coordinates[7, 6] += 1000
    patches = patches_at(before, coordinates[:3])
    elsewhere = [0, 4, 8]
    after = usual_of(coordinates, counted)
    found, plain = (one.weights(patches)[:, elsewhere] for one in (after, before))
    assert_allclose(found, plain, rtol=0.25)


def test_images_that_hardly_vary():
    """Coordinates are kept with half precision: what they cannot tell is no reason."""
    rng = np.random.RandomState(0)
    places = rng.normal(size=(1, 144, 16))
    images = (places + 1e-5 * rng.normal(size=(40, 144, 16))).astype(np.float16)
    usual = UsualPatches(
        *(np.eye(16, dtype=np.float32), np.zeros(16, np.float32), images, np.arange(40)),
        *(np.ones((40, 144), bool), np.ones((12, 12), bool)),
    )
    new = places + 1e-5 * rng.normal(size=(3, 144, 16))
    assert usual.weights(new.astype(np.float32)).max() < 1.2


def test_images_that_are_moved_a_little():
    """A part one patch beside its place is as usual as before, and farther away it is not."""
    rng = np.random.RandomState(0)
    places = rng.normal(size=(12, 14, 3)) * 2
    images = places[:, 1:-1] + 0.2 * rng.normal(size=(40, 12, 12, 3))
    usual = UsualPatches(
        *(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), images.reshape(40, 144, 3)),
        *(np.arange(40), np.ones((40, 144), bool), np.ones((12, 12), bool)),
    )

    def typical(columns):
        moved = places[:, columns] + 0.2 * rng.normal(size=(12, 12, 3))
        return np.median(usual.weights(moved.reshape(1, 144, 3).astype(np.float32)))

    assert typical(slice(0, 12)) < 1.2 * typical(slice(1, 13))
    far = np.roll(images[0], 4, axis=1).reshape(1, 144, 3).astype(np.float32)
    assert np.median(usual.weights(far)) > 1.5 * typical(slice(1, 13))
