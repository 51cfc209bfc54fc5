# SPDX-License-Identifier: BSD-3-Clause
import pickle
import subprocess
import sys

import numpy as np
import pytest
from _persistence import assert_same, parts, saved, write

from skpatch import PyNNDescentNeighbors, SoftPatchDetector, load, save


@pytest.fixture(scope="module")
def graph_detector(patches):
    """Compiles pynndescent's builder, which takes most of a minute."""
    search = PyNNDescentNeighbors(graph_neighbors=10, epsilon=0.2)
    detector = SoftPatchDetector(neighbors=search, coreset_size=0.5, random_state=0).fit(patches)
    assert detector.neighbors_.index_ is not None
    return detector


@pytest.mark.slow
def test_graph_round_trip(graph_detector, queries, tmp_path):
    loaded = saved(graph_detector, tmp_path)
    assert_same(loaded, graph_detector)
    first, second = loaded.neighbors_, graph_detector.neighbors_
    assert_same(first, second, ["trusted_distance_", "bank_"])
    points = second._exact._bounds.leading(queries.reshape(-1, 16), 48)
    for one, other in zip(
        first.index_.query(points, 5), second.index_.query(points, 5), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(loaded.predict_map(queries), graph_detector.predict_map(queries))
    assert_same(saved(loaded, tmp_path), graph_detector)
    assert_same(pickle.loads(pickle.dumps(loaded)), graph_detector)


@pytest.mark.slow
def test_graph_in_a_fresh_process(graph_detector, queries, tmp_path):
    """It is not built anew, and so the builder is not compiled."""
    save(graph_detector, tmp_path / "model.skpatch")
    np.save(tmp_path / "queries.npy", queries)
    code = (
        "import sys, numpy as np, pynndescent, skpatch; folder = sys.argv[1];"
        "pynndescent.pynndescent_.nn_descent = None;"
        "model = skpatch.load(folder + '/model.skpatch');"
        "maps = model.predict_map(np.load(folder + '/queries.npy'));"
        "np.save(folder + '/found.npy', maps)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_array_equal(found, graph_detector.predict_map(queries))


@pytest.mark.slow
def test_graph_of_another_pynndescent(graph_detector, queries, tmp_path, monkeypatch):
    save(graph_detector, tmp_path / "model.skpatch")
    monkeypatch.setattr("pynndescent.__version__", "0.99")
    with pytest.warns(UserWarning, match=r"0\.99 is installed: it is built anew") as caught:
        loaded = load(tmp_path / "model.skpatch")
    assert caught[0].filename == __file__
    assert loaded.neighbors_.index_ is not None
    np.testing.assert_allclose(
        loaded.score_samples(queries), graph_detector.score_samples(queries), rtol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "row", "value"),
    [
        ("graph.order", 0, 600),
        ("graph.leaves", 5, 0),
        ("graph.starts", 0, 1),
        ("graph.starts", 3, 2**30),
        ("graph.targets", 9, -1),
        ("graph.targets", 9, 10**6),
        ("graph.children", 0, 0),
        ("graph.children", 1, 10**6),
        ("graph.children", -1, -(10**6)),
    ],
)
def test_graph_that_leads_out_of_the_arrays(graph_detector, tmp_path, name, row, value):
    path = tmp_path / "model.skpatch"
    save(graph_detector, path)
    header, body, places = parts(path.read_bytes())
    array = np.frombuffer(body[places[name]], "<i4").copy()
    array[row] = value
    write(path, header, body[: places[name].start] + array.tobytes() + body[places[name].stop :])
    with pytest.raises(ValueError, match=r"model\.skpatch.*search graph is inconsistent"):
        load(path)
