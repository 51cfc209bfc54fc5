# SPDX-License-Identifier: BSD-3-Clause
"""Neighbour search, coreset and noise discriminators, and whatever numbers they may be given."""

import warnings

import numpy as np
import pytest
from _strange import any_array, ends_in_a_result_or_a_named_error, features, few
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.neighbors import LocalOutlierFactor

from skpatch import ExactNeighbors, PyNNDescentNeighbors
from skpatch.bank.coreset import farthest_on_average, greedy_coreset
from skpatch.discriminators import (
    FusionDiscriminator,
    GaussianDiscriminator,
    LOFDiscriminator,
    NearestDiscriminator,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def rows_of(patches):
    return patches.reshape(-1, patches.shape[-1])


@few
@given(bank=features(), queries=features(most_features=1), n_neighbors=st.integers(1, 5))
def test_exact_search_equals_a_plain_one(bank, queries, n_neighbors):
    bank = rows_of(bank)
    queries = np.resize(queries, (7, bank.shape[1]))
    distances, rows = ExactNeighbors().fit(bank).kneighbors(queries, n_neighbors)
    expected = np.sort(cdist(queries.astype(float), bank.astype(float)), axis=1)[:, :n_neighbors]
    found = expected.shape[1]
    np.testing.assert_allclose(distances[:, :found], expected, rtol=1e-9)
    assert np.isinf(distances[:, found:]).all()
    assert (rows[:, found:] == -1).all()
    measured = np.linalg.norm(bank[rows[:, 0]] - queries.astype(float), axis=1)
    np.testing.assert_allclose(measured, distances[:, 0], rtol=1e-9)


@few
@given(bank=features(), seed=st.integers(0, 2**16), largest=st.sampled_from((0, 1e-30, 1, 1e30)))
def test_reaches_and_groups(bank, seed, largest):
    bank = rows_of(bank)
    rng = np.random.RandomState(seed)
    reaches = rng.uniform(0, largest, len(bank))
    groups = rng.randint(3, size=len(bank))
    search = ExactNeighbors().fit(bank, reaches=reaches)
    distances, rows = search.kneighbors(bank, 1, (groups, groups))
    expected = np.maximum(cdist(bank.astype(float), bank.astype(float)), np.float32(reaches))
    expected[groups[:, np.newaxis] == groups] = np.inf
    np.testing.assert_allclose(distances[:, 0], expected.min(axis=1), rtol=1e-9)
    np.testing.assert_array_equal(rows[:, 0] == -1, np.isinf(distances[:, 0]))


@few
@given(X=any_array(), Y=any_array(), n_neighbors=st.sampled_from((1, 2, 0, -1, 1.5, True, None)))
@pytest.mark.parametrize("kind", [ExactNeighbors, PyNNDescentNeighbors])
def test_any_bank_is_searched_or_refused(kind, X, Y, n_neighbors):
    search = kind()
    assert ends_in_a_result_or_a_named_error(search.kneighbors, Y) is None
    if ends_in_a_result_or_a_named_error(search.fit, X) is None:
        return
    found = ends_in_a_result_or_a_named_error(search.kneighbors, Y, n_neighbors)
    if found is not None:
        assert np.isfinite(found[0][:, 0]).all()
        assert found[0].shape == found[1].shape == (len(Y), n_neighbors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reaches": [1.0]}, "reaches has shape"),
        ({"reaches": [1.0, np.nan, 1.0]}, "at least 0 and finite"),
        ({"reaches": [1.0, -1.0, 1.0]}, "at least 0 and finite"),
    ],
)
def test_reaches_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        ExactNeighbors().fit(np.eye(3), **options)


def test_groups_of_another_length_are_refused():
    """Compiled code would read beyond their end."""
    search = ExactNeighbors().fit(np.eye(3))
    with pytest.raises(ValueError, match="excluded has arrays of shapes"):
        search.kneighbors(np.eye(3, dtype=np.float32), 1, (np.zeros(3, int), np.zeros(2, int)))


@pytest.mark.parametrize("parameter", [{"graph_neighbors": 1}, {"epsilon": -1}, {"epsilon": "a"}])
def test_parameters_of_the_graph_are_checked(parameter):
    with pytest.raises(ValueError, match=next(iter(parameter))):
        PyNNDescentNeighbors(**parameter).fit(np.eye(3))


@few
@given(patches=features(), size=st.integers(1, 80), seed=st.integers(0, 9))
def test_coreset_equals_a_plain_one(patches, size, seed):
    points = rows_of(patches)
    start = farthest_on_average(points, np.random.RandomState(seed))
    picks, radius = greedy_coreset(points, size, start)
    distances = cdist(points.astype(float), points.astype(float))
    for count in range(1, len(picks)):
        # Each is as far as any other from those before; which of equal ones is picked is rounding.
        nearest = distances[:, picks[:count]].min(axis=1)
        np.testing.assert_allclose(nearest[picks[count]], nearest.max(), rtol=1e-9)
    assert len(set(picks)) == len(picks) <= size
    np.testing.assert_allclose(radius, distances[:, picks].min(axis=1).max(), rtol=1e-9)
    assert len(picks) == min(size, len(points)) or radius == 0


DISCRIMINATORS = [
    NearestDiscriminator(),
    LOFDiscriminator(n_neighbors=2),
    GaussianDiscriminator(),
    GaussianDiscriminator(covariance="oas"),
    GaussianDiscriminator(covariance="ledoit_wolf"),
    FusionDiscriminator(discriminators=("nearest", "gaussian")),
]


@few
@given(patches=features())
@pytest.mark.parametrize("discriminator", DISCRIMINATORS, ids=repr)
def test_noise_scores_are_finite(discriminator, patches):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_neighbors=", category=UserWarning)
        scores = discriminator.fit(patches).outlier_scores_
    assert scores.shape == patches.shape[:3]
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()


@pytest.mark.filterwarnings("ignore:Duplicate values are leading")
@few
@given(patches=features(images=(4, 8)))
def test_nearest_and_lof_equal_plain_ones(patches):
    nearest = NearestDiscriminator().fit(patches).outlier_scores_
    factors = LOFDiscriminator(n_neighbors=2).fit(patches).outlier_scores_
    for row, column in np.ndindex(*patches.shape[1:3]):
        points = patches[:, row, column].astype(np.float64)
        distances = cdist(points, points)
        np.fill_diagonal(distances, np.inf)
        np.testing.assert_allclose(nearest[:, row, column], distances.min(axis=1) + 1, rtol=1e-9)
        # With ties scikit-learn may take another of the nearest.
        if len(np.unique(distances)) > len(points) * (len(points) - 1) // 2:
            plain = LocalOutlierFactor(n_neighbors=2, algorithm="brute", metric=exact).fit(points)
            np.testing.assert_allclose(
                factors[:, row, column], -plain.negative_outlier_factor_, rtol=1e-6
            )


def exact(first, second):
    return np.sqrt(np.square(first - second).sum())


@few
@given(X=any_array())
@pytest.mark.parametrize("discriminator", DISCRIMINATORS[:3], ids=repr)
def test_any_array_is_judged_or_refused(discriminator, X):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_neighbors=", category=UserWarning)
        result = ends_in_a_result_or_a_named_error(discriminator.fit, X)
    assert result is None or np.isfinite(discriminator.outlier_scores_).all()
