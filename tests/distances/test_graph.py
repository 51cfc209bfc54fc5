# SPDX-License-Identifier: BSD-3-Clause
"""All that builds a graph, since pynndescent compiles for a minute in each process that does."""

import pickle
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from _persistence import assert_same, parts, saved, write
from _references import nearest_of_others, textures
from scipy.spatial.distance import cdist
from sklearn.utils.estimator_checks import parametrize_with_checks

from skpatch import ExactNeighbors, PyNNDescentNeighbors, SoftPatchDetector, load, save

pytestmark = pytest.mark.slow
OLD_FILE = Path(__file__).parent / "data" / "graph_of_0.1.0.dev0.skpatch"


@pytest.fixture(scope="module")
def graph(bank):
    return PyNNDescentNeighbors(random_state=0).fit(bank)


def test_finds_nearly_all(graph, bank, queries):
    distances, rows = graph.kneighbors(queries)
    assert graph.index_ is not None
    exact = cdist(queries, bank)
    assert np.mean(rows[:, 0] == exact.argmin(axis=1)) > 0.9
    np.testing.assert_allclose(distances[:, 0], exact[np.arange(len(rows)), rows[:, 0]], rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-20, 1e12])
def test_does_not_depend_on_the_scale(graph, bank, queries, scale):
    rows = graph.kneighbors(queries)[1]
    scaled = PyNNDescentNeighbors(random_state=0).fit(bank * np.float32(scale))
    assert np.mean(scaled.kneighbors(queries * np.float32(scale))[1] == rows) > 0.9


def test_finds_rare_rows():
    """A graph search often ends far from a row with few neighbours, which looks like an anomaly."""
    rng = np.random.RandomState(0)
    norms = np.abs(rng.standard_t(2, size=(6000, 1)))
    bank = (norms * rng.normal(size=(6000, 30))).astype(np.float32)
    rare = np.argsort(-norms[:, 0])[:500]
    queries = bank[rare] + 0.3 * norms[rare] * rng.normal(size=(500, 30))
    queries = queries.astype(np.float32)
    found, _ = PyNNDescentNeighbors(random_state=0).fit(bank).kneighbors(queries)
    np.testing.assert_allclose(found[:, 0], cdist(queries, bank).min(axis=1), rtol=1e-6)


def test_survives_a_pickle(graph, queries):
    again = pickle.loads(pickle.dumps(graph))
    for found, expected in zip(again.kneighbors(queries), graph.kneighbors(queries), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_same_seed_same_rows(graph, bank, queries):
    again = PyNNDescentNeighbors(random_state=0).fit(bank)
    np.testing.assert_array_equal(again.kneighbors(queries)[1], graph.kneighbors(queries)[1])


def test_excluded_groups_are_not_matched(graph, bank, queries, groups):
    distances, rows = graph.kneighbors(queries, 2, groups)
    assert (groups[0][:, np.newaxis] != groups[1][rows]).all()
    assert np.mean(np.isclose(distances, nearest_of_others(bank, queries, groups))) > 0.9


def test_reaches():
    rng = np.random.RandomState(0)
    bank, queries = rng.normal(size=(2, 300, 8)).astype(np.float32)
    reaches = rng.uniform(0, 3, 300)
    search = PyNNDescentNeighbors(random_state=0).fit(bank, reaches=reaches)
    distances, rows = search.kneighbors(queries, 2)
    expected = np.maximum(cdist(queries, bank), reaches)
    found = np.take_along_axis(expected, rows, axis=1)
    np.testing.assert_allclose(distances, found, rtol=1e-6)
    assert np.mean(distances[:, 0] <= expected.min(axis=1) * 1.05) > 0.95


def test_small_bank_needs_no_graph(bank, queries):
    search = PyNNDescentNeighbors().fit(bank[:20])
    assert search.index_ is None
    np.testing.assert_array_equal(
        search.kneighbors(queries)[1], ExactNeighbors().fit(bank[:20]).kneighbors(queries)[1]
    )


# --- detectors


@parametrize_with_checks(
    [SoftPatchDetector(coreset_size=0.4, neighbors=PyNNDescentNeighbors(graph_neighbors=20))]
)
@pytest.mark.filterwarnings("ignore:n_neighbors=6 is more than:UserWarning")
@pytest.mark.filterwarnings("ignore:Could not adhere to working_memory:UserWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_training_images_score_as_in_training():
    features = textures(80, range(6))
    detector = SoftPatchDetector(
        coreset_size=0.3, worst_patches=2, neighbors="pynndescent", random_state=0
    ).fit(features[:60])
    assert detector.neighbors_.index_ is not None
    scores = detector.score_samples(features)
    np.testing.assert_allclose(scores[:60], detector.training_scores_, rtol=1e-6)
    # The others, and the order, make no difference.
    np.testing.assert_array_equal(detector.score_samples(features[::-7]), scores[::-7])


# --- files


@pytest.fixture(scope="module")
def detector(patches):
    search = PyNNDescentNeighbors(graph_neighbors=10, epsilon=0.2)
    detector = SoftPatchDetector(neighbors=search, coreset_size=0.5, random_state=0).fit(patches)
    assert detector.neighbors_.index_ is not None
    return detector


@pytest.fixture(scope="module")
def new(patches):
    """Features to score by `detector`."""
    return np.random.RandomState(7).normal(size=(9, *patches.shape[1:])).astype(np.float32)


def assert_same_graph(first, second, queries):
    """What the index finds is the same to the bit."""
    assert_same(first, second, ["trusted_distance_", "bank_"])
    points = second.exact_.bounds_.leading(queries.reshape(-1, queries.shape[-1]), 48)
    for one, other in zip(
        first.index_.query(points, 5), second.index_.query(points, 5), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(first.index_.neighbor_graph, second.index_.neighbor_graph, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loaded_graph_is_the_same(detector, new, tmp_path):
    loaded = saved(detector, tmp_path)
    assert_same(loaded, detector)
    assert_same_graph(loaded.neighbors_, detector.neighbors_, new)
    np.testing.assert_array_equal(loaded.predict_map(new), detector.predict_map(new))
    assert_same(saved(loaded, tmp_path), detector)
    assert_same(pickle.loads(pickle.dumps(loaded)), detector)


def test_the_seed_of_a_generator_is_saved(patches, new, tmp_path):
    search = PyNNDescentNeighbors(graph_neighbors=10, random_state=np.random.RandomState(3))
    detector = SoftPatchDetector(neighbors=search, coreset_size=0.5).fit(patches)
    assert_same_graph(saved(detector, tmp_path).neighbors_, detector.neighbors_, new)


def test_another_pynndescent(detector, new, tmp_path):
    path = tmp_path / "model.skpatch"
    save(detector, path)
    header, body, _ = parts(path.read_bytes())
    header["content"]["model"]["search"]["graph"]["pynndescent"] = "0.99"
    write(path, header, body)
    with pytest.warns(UserWarning, match=r"by pynndescent 0\.99, and .* is installed") as caught:
        loaded = load(path)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(loaded.score_samples(new), detector.score_samples(new), rtol=1e-6)


@pytest.fixture
def old(tmp_path):
    """A file of skpatch 0.1.0.dev0, which holds the graph: its place, JSON and arrays.

    It says that the installed pynndescent has built it.
    """
    path = tmp_path / "old.skpatch"
    header, body, _ = parts(OLD_FILE.read_bytes())
    header["content"]["model"]["search"]["graph"]["pynndescent"] = metadata.version("pynndescent")
    write(path, header, body)
    return path, header, body


def test_files_with_a_graph(old, tmp_path):
    loaded = load(old[0])
    assert loaded.neighbors_.index_ is not None
    queries = np.random.RandomState(7).normal(size=(9, 2, 3, 5)).astype(np.float32)
    exact = ExactNeighbors().fit(loaded.memory_bank_, reaches=loaded.memory_reaches_)
    found, _ = loaded.neighbors_.kneighbors(queries.reshape(-1, 5))
    expected, _ = exact.kneighbors(queries.reshape(-1, 5))
    assert np.mean(np.isclose(found, expected)) > 0.9
    again = tmp_path / "new.skpatch"
    save(loaded, again)
    assert again.stat().st_size < 0.8 * OLD_FILE.stat().st_size
    assert_same_graph(load(again).neighbors_, loaded.neighbors_, queries)


def test_old_files_without_a_seed(old):
    path, header, body = old
    header["content"]["model"]["neighbors_"]["params"]["random_state"] = None
    write(path, header, body)
    queries = np.random.RandomState(7).normal(size=(9, 2, 3, 5)).astype(np.float32)
    assert_same_graph(load(path).neighbors_, load(path).neighbors_, queries)


@pytest.mark.parametrize("name", ["graph.points", "graph.order", "graph.rng"])
def test_old_files_with_other_arrays_are_refused(old, name):
    path, header, body = old
    (entry,) = (entry for entry in header["arrays"] if entry[0] == name)
    entry[2] = [1, *entry[2]]
    write(path, header, body)
    with pytest.raises(ValueError, match=f"its array '{name}' is"):
        load(path)


@pytest.mark.parametrize("graph", [5, {}, {"pynndescent": "0.6.0", "leaf_size": 3}])
def test_json_that_is_no_graph_is_refused(old, graph):
    path, header, body = old
    header["content"]["model"]["search"]["graph"] = graph
    write(path, header, body)
    with pytest.raises(ValueError, match="its JSON has"):
        load(path)
