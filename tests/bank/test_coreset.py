# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from _published import greedy
from scipy.spatial.distance import cdist

from skpatch.bank.coreset import farthest_on_average, greedy_coreset
from skpatch.distances.scaling import LowerBounds


def clustered(n, d, seed=0):
    rng = np.random.RandomState(seed)
    centres = 3 * rng.normal(size=(40, d))
    spread = rng.gamma(2, 0.3, size=(n, 1))
    return (centres[rng.randint(40, size=n)] + spread * rng.normal(size=(n, d))).astype(np.float32)


def few_axes(n, d, seed=0):
    """Most of the variance along few directions, as in a network's features."""
    rng = np.random.RandomState(seed)
    scales = 1 / np.arange(1, d + 1)
    return clustered(n, d, seed) * np.float32(scales) @ np.linalg.qr(rng.normal(size=(d, d)))[0]


DATA = {
    "few principal axes": few_axes(12_000, 64),
    "few principal axes, huge": few_axes(12_000, 64) * 1e20 + 1e21,
    "constant": np.full((12_000, 40), 3.0),
    "clustered": clustered(5000, 128),
    "gaussian": np.random.RandomState(1).normal(size=(5000, 32)).astype(np.float32),
    "plane": np.random.RandomState(2).uniform(size=(5000, 2)).astype(np.float32),
    "far from the origin": (clustered(5000, 16) + 1e4).astype(np.float32),
    "tiny": (clustered(5000, 16) * 1e-25).astype(np.float32),
    "huge": (clustered(5000, 16) * 1e20).astype(np.float32),
}


@pytest.mark.parametrize("name", DATA)
def test_picks_equal_the_plain_loop(name):
    points = DATA[name].astype(np.float32)
    size = 1 if name == "constant" else 5000 if name == "clustered" else 1500
    expected, radius = greedy(points, size, start=17)
    picks, measured_radius = greedy_coreset(points, size, start=17)
    np.testing.assert_array_equal(picks, expected)
    assert measured_radius == pytest.approx(radius, rel=1e-12)


def test_ties_go_to_the_lowest_row():
    # Whole numbers: many distances are exactly equal, also across the edge of the candidates.
    points = np.random.RandomState(0).randint(6, size=(8000, 4)).astype(np.float32)
    expected, _ = greedy(points, 700, start=3)
    picks, _ = greedy_coreset(points, 700, start=3)
    np.testing.assert_array_equal(picks, expected)


def test_equidistant_points_are_taken_by_row():
    # All tie, many more than are looked at in one round, and there are twenty copies of each.
    points = np.repeat(np.eye(300, dtype=np.float32), 20, axis=0)
    picks, radius = greedy_coreset(points, 250, start=100)
    expected = np.delete(np.arange(0, 6000, 20), 5)[:249]
    np.testing.assert_array_equal(picks, np.r_[100, expected])
    assert radius == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize("name", ["few principal axes", "gaussian", "clustered"])
def test_selects_among_some_rows(name):
    points = DATA[name].astype(np.float32)
    rows = np.flatnonzero(np.random.RandomState(0).uniform(size=len(points)) < 0.8)
    expected, radius = greedy(points[rows], 600, start=17)
    picks, measured_radius = greedy_coreset(points, 600, rows[17], rows)
    np.testing.assert_array_equal(picks, rows[expected])
    assert measured_radius == pytest.approx(radius, rel=1e-12)


@pytest.mark.parametrize("name", ["few principal axes", "gaussian", "clustered"])
@pytest.mark.parametrize("size", [50, 300])
def test_goes_on_from_given_picks(name, size):
    points = DATA[name].astype(np.float32)
    start = np.random.RandomState(0).choice(len(points), 50, replace=False)
    expected, radius = greedy(points, size, start)
    picks, measured_radius = greedy_coreset(points, size, start)
    np.testing.assert_array_equal(picks, expected)
    assert measured_radius == pytest.approx(radius, rel=1e-12)


def test_stops_when_only_copies_are_left():
    points = np.repeat(np.random.RandomState(0).normal(size=(30, 5)), 10, axis=0)
    picks, radius = greedy_coreset(points.astype(np.float32), 200, start=0)
    assert len(picks) == 30
    assert radius == 0
    assert len(np.unique(points[picks], axis=0)) == 30


def test_hand_computed():
    points = np.array([[0], [1], [2], [10]], np.float32)
    picks, radius = greedy_coreset(points, 3, start=1)
    assert picks.tolist() == [1, 3, 0]
    assert radius == 1


def test_single_point():
    picks, radius = greedy_coreset(np.zeros((1, 3), np.float32), 1, start=0)
    assert picks.tolist() == [0]
    assert radius == 0


def test_selections_are_nested():
    points = DATA["gaussian"]
    few, _ = greedy_coreset(points, 100, start=0)
    many, _ = greedy_coreset(points, 400, start=0)
    np.testing.assert_array_equal(many[:100], few)


def test_shift_changes_nothing():
    # Multiples of 1/8 stay exact in float32 under the shift.
    points = np.round(DATA["gaussian"] * 8) / 8
    picks, _ = greedy_coreset(points, 300, start=0)
    shifted, _ = greedy_coreset(points + np.float32(64), 300, start=0)
    np.testing.assert_array_equal(picks, shifted)


def test_start_is_farthest_on_average():
    points = DATA["gaussian"][:500]
    start = farthest_on_average(points, np.random.RandomState(0))
    anchors = points[np.random.RandomState(0).choice(500, 10, replace=False)]
    distances = np.linalg.norm(points[:, None].astype(np.float64) - anchors, axis=2).mean(axis=1)
    assert start == np.argmax(distances)
    rows = np.arange(100, 500)
    start = farthest_on_average(points, np.random.RandomState(0), rows)
    assert start == 100 + farthest_on_average(points[100:], np.random.RandomState(0))


@pytest.mark.parametrize(("n", "d"), [(12_000, 64), (4500, 1200)])
def test_bounds_are_lower_bounds(n, d):
    points = few_axes(n, d).astype(np.float32)
    bounds = LowerBounds(points)
    coordinates, halves = bounds.apply(points[:300])
    assert coordinates.shape[1] < 20
    approximate = halves[:, None] + halves - coordinates @ coordinates.T
    exact = cdist(points[:300], points[:300], "sqeuclidean")
    tolerance = bounds.tolerance(halves, halves.max())
    assert (approximate - tolerance[:, None] <= exact / 2 / bounds.unit).all()
    # Most of a distance is in the few coordinates, or they would exclude nothing.
    apart = ~np.eye(300, dtype=bool)
    assert np.median((2 * approximate * bounds.unit)[apart] / exact[apart]) > 0.7


def test_isotropic_points_keep_all_coordinates():
    points = np.random.RandomState(0).normal(size=(12_000, 40)).astype(np.float32)
    assert LowerBounds(points).apply(points[:5])[0].shape == (5, 40)
