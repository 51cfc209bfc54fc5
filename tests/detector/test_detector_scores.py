# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from skpatch import NearestDiscriminator, SoftPatchDetector


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine"])
@pytest.mark.parametrize("n_neighbors", [1, 3])
@pytest.mark.parametrize("soft_weights", [True, False])
def test_scores_are_weighted_distances(patches, metric, n_neighbors, soft_weights):
    detector = SoftPatchDetector(
        discriminator="lof",
        metric=metric,
        n_neighbors=n_neighbors,
        soft_weights=soft_weights,
        random_state=0,
    ).fit(patches[:30])
    test = patches[30:]
    distances = cdist(test.reshape(-1, 16), detector.memory_bank_, metric)
    nearest = np.argsort(distances, axis=1)[:, :n_neighbors]
    weights = detector.memory_weights_[nearest]
    if not soft_weights:
        np.testing.assert_array_equal(weights, 1)
    expected = (weights * np.take_along_axis(distances, nearest, axis=1)).mean(axis=1)
    maps = detector.predict_map(test)
    np.testing.assert_allclose(maps, expected.reshape(10, 5, 6), rtol=1e-6)
    np.testing.assert_array_equal(detector.score_samples(test), -maps.max(axis=(1, 2)))


def test_the_cosine_does_not_see_lengths(patches):
    rng = np.random.RandomState(0)
    lengths = rng.uniform(0.5, 2, size=(40, 5, 6, 1)).astype(np.float32)
    plain, scaled = (
        SoftPatchDetector(metric="cosine", random_state=0).fit(one[:30])
        for one in (patches, patches * lengths)
    )
    np.testing.assert_allclose(np.linalg.norm(scaled.memory_bank_, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(scaled.score_samples(patches), plain.score_samples(patches), 1e-4)
    np.testing.assert_allclose(scaled.training_scores_, plain.training_scores_, 1e-4)


@pytest.mark.parametrize("memory_limit", [None, 200_000])
def test_the_cosine_after_updates_and_in_shards(patches, memory_limit):
    detector = SoftPatchDetector(
        discriminator=None, metric="cosine", coreset_size=50, memory_limit=memory_limit
    )
    detector.fit(patches[:30]).partial_fit(patches[30:]).forget([0])
    np.testing.assert_allclose(np.linalg.norm(detector.memory_bank_, axis=1), 1, rtol=1e-6)
    expected = cdist(patches[0].reshape(-1, 16), detector.memory_bank_, "cosine").min(axis=1)
    np.testing.assert_allclose(detector.predict_map(patches[:1]).ravel(), expected, atol=1e-6)


def test_a_patch_of_zeros_is_as_far_from_all(patches):
    detector = SoftPatchDetector(metric="cosine", discriminator=None).fit(patches[:30])
    zeros = np.zeros((1, *patches.shape[1:]), np.float32)
    np.testing.assert_allclose(detector.predict_map(zeros), 0.5, rtol=1e-6)


@pytest.mark.parametrize("metrics", [("cosine", "euclidean"), ("euclidean", "cosine")])
def test_updates_cannot_change_lengths(patches, metrics):
    before, after = metrics
    detector = SoftPatchDetector(metric=before).fit(patches[:30]).set_params(metric=after)
    with pytest.raises(ValueError, match=f"metric='{after}' was '{before}' in the fit"):
        detector.partial_fit(patches[30:])


class TenthOf(NearestDiscriminator):
    """The paper's, with another share."""

    worst_patches = 0.1


@pytest.fixture(scope="module")
def large_grids():
    """Features on a grid on which scoring an image does not search for every patch.

    Most of the variance is along few directions, and the images differ in how far they are.
    """
    rng = np.random.RandomState(0)
    features = rng.normal(size=(48, 12, 12, 24)) / np.arange(1, 25)
    features *= rng.uniform(0.5, 2, size=(48, 1, 1, 1))
    features[3, 2, 5] += 4
    return features.astype(np.float32)


class TestWorstPatch:
    @pytest.mark.parametrize("coreset_size", [600, 2500, 1.0])
    @pytest.mark.parametrize(("n_neighbors", "metric"), [(1, "euclidean"), (3, "cosine")])
    @pytest.mark.parametrize(("worst_patches", "n_worst"), [("auto", 1), (0.1, 14), (50, 50)])
    def test_equals_the_mean_of_the_largest_of_all_patch_scores(
        self, large_grids, coreset_size, n_neighbors, metric, worst_patches, n_worst
    ):
        detector = SoftPatchDetector(
            coreset_size=coreset_size,
            n_neighbors=n_neighbors,
            worst_patches=worst_patches,
            metric=metric,
            random_state=0,
        ).fit(large_grids[:40])
        maps = detector.predict_map(large_grids).reshape(len(large_grids), -1)
        expected = np.sort(maps, axis=1)[:, -n_worst:].mean(axis=1)
        np.testing.assert_allclose(-detector.score_samples(large_grids), expected, rtol=1e-12)

    @pytest.mark.parametrize(
        ("worst_patches", "peak_share"), [("auto", 0.85), (0.1, 0.0), (14, 0.0)]
    )
    def test_one_patch_that_stands_out_is_not_averaged_away(
        self, large_grids, worst_patches, peak_share
    ):
        """By default, however many patches there are; a number or a share means what it says."""
        detector = SoftPatchDetector(
            discriminator=TenthOf(),
            coreset_size=600,
            worst_patches=worst_patches,
            random_state=0,
        ).fit(large_grids[:40])
        image = large_grids[40:41].copy()
        image[0, 7, 3] += 4
        maps = np.sort(detector.predict_map(image).ravel())[::-1]
        mean = maps[:14].mean()
        assert (detector.n_worst_patches_, detector.peak_share_) == (14, peak_share)
        assert mean < 0.85 * maps[0]
        expected = max(mean, peak_share * maps[0])
        np.testing.assert_allclose(-detector.score_samples(image), expected, rtol=1e-12)

    @pytest.mark.parametrize(
        ("discriminator", "grid", "n_worst"),
        [
            ("support", (28, 28), 5),
            ("support", (56, 56), 19),
            ("support", (14, 14), 1),
            ("lof", (28, 28), 1),
            (None, (28, 28), 1),
        ],
    )
    def test_automatic_number(self, discriminator, grid, n_worst):
        rng = np.random.RandomState(0)
        train, test = rng.normal(size=(2, 12, *grid, 2)).astype(np.float32)
        detector = SoftPatchDetector(
            discriminator=discriminator, coreset_size=200, random_state=0
        ).fit(train)
        worst = np.sort(detector.predict_map(test).reshape(12, -1), axis=1)[:, -n_worst:]
        expected = np.maximum(worst.mean(axis=1), 0.85 * worst[:, -1])
        np.testing.assert_allclose(-detector.score_samples(test), expected, rtol=1e-12)

    @pytest.mark.parametrize("discriminator", ["lof", "support"])
    @pytest.mark.parametrize("coreset_size", [2500, 1.0])
    def test_training_scores_equal_a_plain_search(self, large_grids, coreset_size, discriminator):
        detector = SoftPatchDetector(
            discriminator=discriminator, coreset_size=coreset_size, random_state=0
        ).fit(large_grids)
        source = detector.memory_source_
        for image in range(0, len(large_grids), 9):
            others = source[:, 0] != image
            distances = cdist(large_grids[image].reshape(-1, 24), detector.memory_bank_[others])
            distances = np.maximum(distances, detector.memory_reaches_[others])
            nearest = distances.argmin(axis=1)
            scores = detector.memory_weights_[others][nearest] * distances.min(axis=1)
            assert detector.training_scores_[image] == pytest.approx(-scores.max(), rel=1e-6)
