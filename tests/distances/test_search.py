# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest

from skpatch import ExactNeighbors, PyNNDescentNeighbors
from skpatch.distances.search import make_neighbors


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


def test_seeds_are_numbers():
    """A generator would not be in a file, and the graph is built again from its seed."""
    generator = np.random.RandomState(5)
    first, second = (
        make_neighbors(PyNNDescentNeighbors(random_state=state), 10, np.random.RandomState(0))
        for state in (generator, np.random.RandomState(5))
    )
    assert type(first.random_state) is int
    assert first.random_state == second.random_state
    assert generator.randint(2**31 - 1) == first.random_state
    kept = make_neighbors(PyNNDescentNeighbors(random_state=7), 10, np.random.RandomState(0))
    assert kept.random_state == 7
