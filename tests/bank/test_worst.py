# SPDX-License-Identifier: BSD-3-Clause
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skpatch import ExactNeighbors
from skpatch.bank.bank import MemoryBank, ScoringRule
from skpatch.bank.places import Places
from skpatch.bank.training_scores import is_typical_beyond
from skpatch.bank.usual import UsualPatches
from skpatch.likeness.positions import sample_positions


def usual_of(patches):
    """What is usual at each place, by half of the features of patches (n, h, w, d)."""
    flat = patches.reshape(len(patches), -1, patches.shape[-1])
    axes = np.eye(flat.shape[-1], dtype=np.float32)[:, ::2]
    many = np.concatenate([flat, flat * 1.5, flat - 1])[..., ::2]
    counted = np.ones(many.shape[:2], bool)
    counted[: len(flat), ::3] = False
    inspected = np.ones(patches.shape[1:3], bool)
    shift = np.zeros(axes.shape[1], np.float32)
    return UsualPatches(axes, shift, many, np.arange(len(many)), counted, inspected)


@pytest.mark.parametrize("knows_usual", [False, True])
@pytest.mark.parametrize("width", [6, 40, 100])
@pytest.mark.parametrize("n_neighbors", [1, 3])
def test_worst_patches_are_those_of_a_complete_search(width, n_neighbors, knows_usual):
    rng = np.random.RandomState(0)
    patches = rng.normal(size=(5, 12, 11, width)).astype(np.float32)
    rows = patches.reshape(-1, width)[rng.permutation(660)[:300]]
    source = np.column_stack([rng.randint(high, size=300) for high in (5, 10, 13)])
    weights, reaches = rng.uniform(1, 2, 300), rng.uniform(0, 1, 300)
    search = ExactNeighbors().fit(rows, reaches=reaches)
    rule = ScoringRule(n_neighbors, "euclidean", 4)
    usual = usual_of(patches) if knows_usual else None
    bank = MemoryBank(rows, source, weights, reaches, search, rule, usual)
    own = np.array([0, 1, -1, 3, 9])
    every = bank.score_patches(patches, own).reshape(5, -1)
    if knows_usual:
        plain = replace(bank, usual=None).score_patches(patches, own).reshape(5, -1)
        factors = usual.weights(patches.reshape(5, -1, width), own)
        assert_allclose(every, plain * factors)
        assert factors.max() > 1.2 * factors.min()
    order = np.argsort(-every, axis=1)
    scores, found = bank.score_images(patches, own, n_spare=3)
    assert_allclose(scores, np.take_along_axis(every, order[:, :4], axis=1).mean(axis=1))
    assert_array_equal(found[:, :4], order[:, :4])
    assert found.shape == (5, 7)
    assert all(len(set(image)) == 7 for image in found)


def test_places():
    source = np.array([[0, 1, 2], [1, 0, 0], [2, 1, 1], [3, 1, 2], [4, 0, 1]])
    beside = Places.of(source).beside(np.array([0, 1, 1, 7]), np.array([0, 0, 3, 2]))
    assert_array_equal(beside, [[1, 4, -1], [2, -1, -1], [0, 3, -1], [2, 0, 3]])
    many = Places.of(np.zeros((500, 3), int)).beside(np.array([0, 0]), np.array([0, 1]))
    assert_array_equal(many, [np.arange(64)] * 2)


@pytest.mark.parametrize("knows_usual", [False, True])
@pytest.mark.parametrize("n_neighbors", [1, 3])
def test_what_is_typical_of_an_image_beyond_a_limit(n_neighbors, knows_usual):
    rng = np.random.RandomState(0)
    patches = rng.normal(size=(12, 20, 10, 8)).astype(np.float32)
    patches += np.arange(12)[:, np.newaxis, np.newaxis, np.newaxis] / 6
    rows, source = patches[:6, ::3].reshape(-1, 8), np.zeros((420, 3), int)
    source[:, 0] = np.repeat(np.arange(6), 70)
    weights = rng.uniform(1, 1.2, 420)
    search = ExactNeighbors().fit(rows)
    rule = ScoringRule(n_neighbors, "euclidean", 4)
    usual = usual_of(patches) if knows_usual else None
    bank = MemoryBank(rows, source, weights, np.zeros(420), search, rule, usual)
    own = np.r_[:6, [-1] * 6]
    scores = bank.score_patches(patches, own).reshape(12, -1)[:, sample_positions(200)]
    quartiles = np.quantile(scores, 0.25, axis=1, method="higher")
    for limit in [*quartiles, 0, np.inf]:
        assert_array_equal(is_typical_beyond(bank, patches, own, limit), quartiles > limit)
    for limit in np.sort(quartiles)[[3, 8]]:
        unlike = is_typical_beyond(bank, patches[6:], None, limit)
        assert_array_equal(unlike, quartiles[6:] > limit)
