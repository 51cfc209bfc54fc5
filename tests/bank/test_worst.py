# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skpatch import ExactNeighbors
from skpatch.bank.bank import MemoryBank, ScoringRule


@pytest.mark.parametrize("width", [6, 40, 100])
@pytest.mark.parametrize("n_neighbors", [1, 3])
def test_worst_patches_are_those_of_a_complete_search(width, n_neighbors):
    rng = np.random.RandomState(0)
    patches = rng.normal(size=(5, 12, 11, width)).astype(np.float32)
    rows = patches.reshape(-1, width)[rng.permutation(660)[:300]]
    source = np.column_stack([rng.randint(5, size=300), np.zeros((300, 2), int)])
    weights, reaches = rng.uniform(1, 2, 300), rng.uniform(0, 1, 300)
    search = ExactNeighbors().fit(rows, reaches=reaches)
    rule = ScoringRule(n_neighbors, "euclidean", 4)
    bank = MemoryBank(rows, source, weights, reaches, search, rule)
    own = np.array([0, 1, -1, 3, 9])
    every = bank.score_patches(patches, own).reshape(5, -1)
    order = np.argsort(-every, axis=1)
    scores, found = bank.score_images(patches, own, n_spare=3)
    assert_allclose(scores, np.take_along_axis(every, order[:, :4], axis=1).mean(axis=1))
    assert_array_equal(found[:, :4], order[:, :4])
    assert found.shape == (5, 7)
    assert all(len(set(image)) == 7 for image in found)
