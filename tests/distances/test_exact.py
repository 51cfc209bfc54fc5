# SPDX-License-Identifier: BSD-3-Clause
import pickle

import numpy as np
import pytest
from _references import nearest_of_others
from scipy.spatial.distance import cdist

from skpatch import ExactNeighbors


@pytest.mark.parametrize("n_neighbors", [1, 4])
@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (1e4, 1), (0, 1e-25), (0, 1e25)])
def test_exact_equals_brute_force(bank, queries, n_neighbors, shift, scale):
    bank, queries = (np.float32(scale) * part + np.float32(shift) for part in (bank, queries))
    distances, rows = ExactNeighbors().fit(bank).kneighbors(queries, n_neighbors)
    reference = cdist(queries, bank)
    expected = np.argsort(reference, axis=1, kind="stable")[:, :n_neighbors]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(distances, np.take_along_axis(reference, expected, 1), rtol=1e-9)


@pytest.mark.parametrize("n_neighbors", [1, 4])
def test_exact_in_a_bank_with_few_principal_axes(n_neighbors):
    """The bounds come from few coordinates then; copies make ties."""
    rng = np.random.RandomState(0)
    scales = np.float32(1 / np.arange(1, 65))
    bank, queries = (rng.normal(size=(n, 64)).astype(np.float32) * scales for n in (6000, 200))
    bank[3000:3010] = bank[:10]
    queries[:10] = bank[:10]
    search = ExactNeighbors().fit(bank)
    assert search.bounds_.apply(queries)[0].shape[1] < 22
    distances, rows = search.kneighbors(queries, n_neighbors)
    reference = cdist(queries, bank)
    expected = np.argsort(reference, axis=1, kind="stable")[:, :n_neighbors]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(distances, np.take_along_axis(reference, expected, 1), rtol=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_numbers_of_very_different_sizes(seed):
    """Principal axes cannot be computed in float32 then."""
    rng = np.random.RandomState(seed)
    bank = rng.normal(size=(4400, 44)).astype(np.float32)
    for number in (3.6e28, -8e24, 1e22):
        bank[rng.randint(4400), rng.randint(44)] = number
    queries = bank[:50] + np.float32(0.1)
    distances, rows = ExactNeighbors().fit(bank).kneighbors(queries)
    expected = cdist(queries.astype(np.float64), bank)
    np.testing.assert_array_equal(rows[:, 0], expected.argmin(axis=1))
    np.testing.assert_allclose(distances[:, 0], expected.min(axis=1), rtol=1e-9)


def test_exact_at_a_copy_is_zero(bank):
    distances, rows = ExactNeighbors().fit(bank).kneighbors(bank)
    np.testing.assert_array_equal(rows[:, 0], np.arange(len(bank)))
    assert (distances == 0).all()


@pytest.mark.parametrize("width", [6, 40, 100])
@pytest.mark.parametrize("n_neighbors", [1, 4])
def test_a_search_may_end_at_a_distance(width, n_neighbors):
    """Few coordinates are searched by the tree, many by products."""
    rng = np.random.RandomState(0)
    bank, queries = (rng.normal(size=(n, width)).astype(np.float32) for n in (900, 50))
    search = ExactNeighbors().fit(bank)
    expected = np.sort(cdist(queries, bank), axis=1)[:, :n_neighbors]
    enough = np.median(expected[:, -1]) ** 2
    squared = np.full((50, n_neighbors), np.inf)
    rows = np.full((50, n_neighbors), -1)
    prepared = search.prepare(queries)
    for limit in (np.inf, enough, -1):
        search.improve(prepared, squared, rows, enough=limit)
        measured = np.linalg.norm(queries[:, np.newaxis] - bank[rows].astype(float), axis=2)
        np.testing.assert_allclose(np.sqrt(squared), measured, rtol=1e-9)
        # No row is found twice by searches of the same tree.
        assert all(len(set(found)) == n_neighbors for found in rows)
        is_far = squared[:, -1] > limit
        np.testing.assert_allclose(np.sqrt(squared[is_far]), expected[is_far], rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(squared), expected, rtol=1e-9)


def test_excluded_groups_are_not_matched(bank, queries, groups):
    distances, rows = ExactNeighbors().fit(bank).kneighbors(queries, 2, groups)
    assert (groups[0][:, np.newaxis] != groups[1][rows]).all()
    np.testing.assert_allclose(distances, nearest_of_others(bank, queries, groups), rtol=1e-9)


def test_reaches(bank, queries):
    reaches = np.random.RandomState(2).uniform(0, 7, len(bank))
    distances, rows = ExactNeighbors().fit(bank, reaches=reaches).kneighbors(queries, 2)
    expected = np.maximum(cdist(queries, bank), reaches)
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :2], rtol=1e-6)
    np.testing.assert_array_equal(rows[:, 0], expected.argmin(axis=1))


def test_nothing_left_to_match(bank):
    groups = np.zeros(10, int), np.zeros(len(bank), int)
    distances, rows = ExactNeighbors().fit(bank).kneighbors(bank[:10], 1, groups)
    assert np.isinf(distances).all()
    assert (rows == -1).all()


def test_pickle_keeps_no_second_copy_of_the_bank(bank, queries):
    search = ExactNeighbors().fit(bank)
    data = pickle.dumps(search)
    assert len(data) < 1.1 * bank.nbytes
    np.testing.assert_array_equal(
        pickle.loads(data).kneighbors(queries), search.kneighbors(queries)
    )


def test_known_bounds(bank, queries):
    search = ExactNeighbors().fit(bank)
    again = ExactNeighbors().fit(bank, bounds=search.bounds_)
    for found, expected in zip(again.kneighbors(queries), search.kneighbors(queries), strict=True):
        np.testing.assert_array_equal(found, expected)
    # Copies on both sides of the origin, which stays the centre.
    large = ExactNeighbors().fit(1e9 * np.concatenate([bank, -bank]))
    with pytest.raises(ValueError, match="scale of the bounds is not that of the rows"):
        ExactNeighbors().fit(bank, bounds=large.bounds_)
