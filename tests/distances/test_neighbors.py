# SPDX-License-Identifier: BSD-3-Clause
import pickle

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from skpatch import ExactNeighbors, PyNNDescentNeighbors
from skpatch.distances.search import make_neighbors


@pytest.fixture(scope="module")
def bank():
    return np.random.RandomState(0).normal(size=(1000, 20)).astype(np.float32)


@pytest.fixture(scope="module")
def queries(bank):
    rng = np.random.RandomState(1)
    far = 1e6 * rng.normal(size=(5, 20))
    return np.concatenate([rng.normal(size=(300, 20)), bank[:20], far]).astype(np.float32)


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
    assert search._coordinates[0].shape[1] < 22
    distances, rows = search.kneighbors(queries, n_neighbors)
    reference = cdist(queries, bank)
    expected = np.argsort(reference, axis=1, kind="stable")[:, :n_neighbors]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(distances, np.take_along_axis(reference, expected, 1), rtol=1e-9)


def test_exact_at_a_copy_is_zero(bank):
    distances, rows = ExactNeighbors().fit(bank).kneighbors(bank)
    np.testing.assert_array_equal(rows[:, 0], np.arange(len(bank)))
    assert (distances == 0).all()


@pytest.mark.parametrize(
    "search", [ExactNeighbors(), PyNNDescentNeighbors(random_state=0)], ids=["exact", "pynndescent"]
)
def test_excluded_groups_are_not_matched(search, bank, queries):
    rng = np.random.RandomState(2)
    groups = rng.randint(5, size=len(queries)), rng.randint(5, size=len(bank))
    distances, rows = search.fit(bank).kneighbors(queries, 2, groups)
    assert (groups[0][:, np.newaxis] != groups[1][rows]).all()
    allowed = np.where(groups[0][:, np.newaxis] == groups[1], np.inf, cdist(queries, bank))
    best = np.sort(allowed, axis=1)[:, :2]
    assert np.mean(np.isclose(distances, best)) > 0.9


def test_nothing_left_to_match(bank):
    groups = np.zeros(10, int), np.zeros(len(bank), int)
    distances, rows = ExactNeighbors().fit(bank).kneighbors(bank[:10], 1, groups)
    assert np.isinf(distances).all()
    assert (rows == -1).all()


@pytest.fixture(scope="module")
def graph(bank):
    return PyNNDescentNeighbors(random_state=0).fit(bank)


@pytest.mark.slow
def test_pynndescent_finds_nearly_all(graph, bank, queries):
    distances, rows = graph.kneighbors(queries)
    assert graph.index_ is not None
    exact = cdist(queries, bank)
    assert np.mean(rows[:, 0] == exact.argmin(axis=1)) > 0.9
    np.testing.assert_allclose(distances[:, 0], exact[np.arange(len(rows)), rows[:, 0]], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-20, 1e12])
def test_pynndescent_does_not_depend_on_the_scale(graph, bank, queries, scale):
    rows = graph.kneighbors(queries)[1]
    scaled = PyNNDescentNeighbors(random_state=0).fit(bank * np.float32(scale))
    assert np.mean(scaled.kneighbors(queries * np.float32(scale))[1] == rows) > 0.9


@pytest.mark.slow
def test_pynndescent_finds_rare_rows():
    """A graph search often ends far from a row with few neighbours, which looks like an anomaly."""
    rng = np.random.RandomState(0)
    norms = np.abs(rng.standard_t(2, size=(6000, 1)))
    bank = (norms * rng.normal(size=(6000, 30))).astype(np.float32)
    rare = np.argsort(-norms[:, 0])[:500]
    queries = bank[rare] + 0.3 * norms[rare] * rng.normal(size=(500, 30))
    queries = queries.astype(np.float32)
    found, _ = PyNNDescentNeighbors(random_state=0).fit(bank).kneighbors(queries)
    np.testing.assert_allclose(found[:, 0], cdist(queries, bank).min(axis=1), rtol=1e-6)


@pytest.mark.slow
def test_pynndescent_survives_a_pickle(graph, queries):
    again = pickle.loads(pickle.dumps(graph))
    for found, expected in zip(again.kneighbors(queries), graph.kneighbors(queries), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_pynndescent_same_seed_same_rows(graph, bank, queries):
    again = PyNNDescentNeighbors(random_state=0).fit(bank)
    np.testing.assert_array_equal(again.kneighbors(queries)[1], graph.kneighbors(queries)[1])


def test_small_bank_needs_no_graph(bank, queries):
    search = PyNNDescentNeighbors().fit(bank[:20])
    assert search.index_ is None
    np.testing.assert_array_equal(
        search.kneighbors(queries)[1], ExactNeighbors().fit(bank[:20]).kneighbors(queries)[1]
    )


def test_pickle_keeps_no_second_copy_of_the_bank(bank, queries):
    search = ExactNeighbors().fit(bank)
    data = pickle.dumps(search)
    assert len(data) < 1.1 * bank.nbytes
    np.testing.assert_array_equal(
        pickle.loads(data).kneighbors(queries), search.kneighbors(queries)
    )


def test_names():
    random_state = np.random.RandomState(0)
    assert isinstance(make_neighbors("auto", 1000, random_state), ExactNeighbors)
    large = make_neighbors("auto", 10**6, random_state)
    assert isinstance(large, PyNNDescentNeighbors)
    assert large.random_state is not None
    with pytest.raises(ValueError, match=r"'faiss' is unknown. Known are 'auto', 'exact'"):
        make_neighbors("faiss", 10, random_state)
    with pytest.raises(ValueError, match="fit and kneighbors"):
        make_neighbors(3, 10, random_state)
