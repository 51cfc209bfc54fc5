# SPDX-License-Identifier: BSD-3-Clause
"""Images that are asked for support: which they are, and the nearest of their good patches."""

import numpy as np
import pytest
from _references import textures
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from skpatch.discriminators.jury import Jury, jury_of


def jury_of_all(patches, numbers=None):
    numbers = np.arange(len(patches)) if numbers is None else numbers
    return Jury(patches.reshape(-1, patches.shape[-1])).joined_by(patches, numbers)


def distances_to_good(points, source, patches, is_good):
    """Distances (m, j * p) of points to all good patches (j, p) of images other than their own."""
    distances = cdist(points, patches.reshape(-1, patches.shape[-1]))
    distances[:, ~is_good.ravel()] = np.inf
    distances[source[:, None] == np.repeat(np.arange(len(patches)), is_good.shape[1])] = np.inf
    return distances


@pytest.mark.parametrize("share", [1.0, 0.7, 0.02])
@pytest.mark.parametrize("n_rows", [100, 6272])
def test_nearest_good_patch_of_another_image(share, n_rows, monkeypatch):
    # Several images at a time, or all.
    monkeypatch.setattr("skpatch.discriminators.jury._ROWS", n_rows)
    patches = textures(20, range(3))
    rows = np.random.RandomState(0).permutation(720)[:150]
    points, source = patches.reshape(-1, 12)[rows], rows // 36
    is_good = np.random.RandomState(1).rand(20, 36) < share
    jury = jury_of_all(patches)
    distances, places = jury.nearest(jury.project(points), source, is_good)
    expected = distances_to_good(points, source, patches, is_good)
    # Coordinates are float16.
    assert_allclose(distances, expected.min(axis=1), rtol=5e-3)
    assert_allclose(expected[np.arange(150), places @ [36, 1]], distances, rtol=5e-3)


def test_only_the_own_image_has_good_patches():
    patches = textures(5)
    is_good = np.zeros((5, 36), bool)
    is_good[2, 7] = True
    jury, source = jury_of_all(patches), np.array([1, 2, 3])
    points = patches[source, 0, 0]
    distances, places = jury.nearest(jury.project(points), source, is_good)
    assert_array_equal(np.isfinite(distances), [True, False, True])
    assert_array_equal(places[[0, 2]], [[2, 7]] * 2)
    # Which is no matter, but it must be a patch.
    assert 0 <= places[1, 0] < 5
    assert 0 <= places[1, 1] < 36


def test_along_the_principal_axes_distances_are_smaller():
    rng = np.random.RandomState(0)
    patches = (textures(20) @ rng.normal(size=(12, 100))).astype(np.float32)
    patches += rng.normal(scale=0.1, size=patches.shape).astype(np.float32)
    rows, good = np.arange(0, 720, 5), np.ones((20, 36), bool)
    points = patches.reshape(-1, 100)[rows]
    jury = jury_of_all(patches)
    assert jury.coordinates.shape == (20, 36, 64)
    distances, _ = jury.nearest(jury.project(points), rows // 36, good)
    expected = distances_to_good(points, rows // 36, patches, good).min(axis=1)
    assert (distances / expected).max() < 1.0001
    assert (distances / expected).min() > 0.8


def test_images_that_are_asked_follow_from_their_numbers():
    many, few = jury_of(np.arange(2000)), jury_of(np.arange(500))
    assert len(many) == len(few) == 256
    assert_array_equal(many, np.unique(many))
    # More images take places, and give none.
    assert np.isin(many[many < 500], few).all()
    assert_array_equal(jury_of(np.arange(50)), np.arange(50))
    numbers = np.setdiff1d(np.arange(2000), many[:10])
    assert np.isin(many[10:], jury_of(numbers)).all()


def test_the_reference_is_some_of_them():
    patches = textures(130)[:, :1, :2]
    numbers, coordinates = jury_of_all(patches).reference()
    assert len(numbers) == 100
    assert_array_equal(coordinates, jury_of_all(patches).coordinates[numbers])
    # Of a hundred it is all.
    assert_array_equal(jury_of_all(patches[:100]).reference()[0], np.arange(100))


def test_one_after_the_other_is_at_once():
    patches = textures(300)[:, :1, :2]
    whole = jury_of_all(patches)
    jury = Jury(patches.reshape(-1, 12))
    for some in np.array_split(np.arange(300), 7):
        jury = jury.joined_by(patches[some], some)
    assert_array_equal(jury.images, whole.images)
    assert_array_equal(jury.coordinates, whole.coordinates)


def test_asked_no_longer():
    patches = textures(10)
    jury = jury_of_all(patches, np.arange(10, 20))
    left = jury.without([12, 19, 3])
    assert_array_equal(left.images, [10, 11, 13, 14, 15, 16, 17, 18])
    assert_array_equal(left.coordinates, np.delete(jury.coordinates, [2, 9], axis=0))
    # The other stays as it is.
    assert len(jury.images) == 10
