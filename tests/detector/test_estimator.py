# SPDX-License-Identifier: BSD-3-Clause
import warnings
from itertools import pairwise

import joblib
import numpy as np
import pytest
import torch
from _references import map_without
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV

from skpatch import GaussianDiscriminator, LOFDiscriminator, NoiseDiscriminator, SoftPatchDetector


@pytest.fixture(scope="module")
def fitted(patches):
    return SoftPatchDetector(random_state=0).fit(patches)


@pytest.fixture(scope="module")
def paper(patches):
    """The setting of the SoftPatch paper."""
    return SoftPatchDetector(discriminator="lof", random_state=0).fit(patches)


def test_learned_attributes(paper, patches):
    fitted = paper
    n, h, w, d = patches.shape
    m = int(0.1 * n * h * w)
    assert fitted.memory_bank_.shape == (m, d)
    assert fitted.memory_bank_.dtype == np.float32
    assert fitted.memory_weights_.shape == (m,)
    assert fitted.noise_scores_.shape == fitted.kept_.shape == (n, h, w)
    assert fitted.training_scores_.shape == (n,)
    assert fitted.n_features_in_ == d
    assert fitted.grid_shape_ == (h, w)
    source = tuple(fitted.memory_source_.T)
    np.testing.assert_array_equal(fitted.memory_bank_, patches[source])
    np.testing.assert_array_equal(fitted.memory_weights_, fitted.noise_scores_[source])
    assert fitted.kept_[source].all()


@pytest.mark.parametrize("noise_threshold", [0.0, 0.15, 0.5])
def test_share_of_removed_patches(patches, noise_threshold):
    detector = SoftPatchDetector(
        discriminator="lof", noise_threshold=noise_threshold, random_state=0
    ).fit(patches)
    expected = detector.noise_scores_ <= np.quantile(detector.noise_scores_, 1 - noise_threshold)
    np.testing.assert_array_equal(detector.kept_, expected)
    assert 1 - detector.kept_.mean() == pytest.approx(noise_threshold, abs=1e-3)


def test_the_noisiest_patch_is_never_picked(patches):
    """The reference implementation's first pick ignores the noise mask."""
    noisy = patches.copy()
    noisy[0, 0, 0] += 1000
    for seed in range(5):
        detector = SoftPatchDetector(discriminator="lof", coreset_size=1, random_state=seed)
        detector.fit(noisy)
        assert detector.memory_source_[0].tolist() != [0, 0, 0]


def test_a_higher_threshold_never_enlarges_the_source_set(patches):
    kept = [
        SoftPatchDetector(discriminator="lof", noise_threshold=threshold, random_state=0)
        .fit(patches)
        .kept_
        for threshold in (0, 0.1, 0.2, 0.4)
    ]
    for larger, smaller in pairwise(kept):
        assert not (smaller & ~larger).any()


def test_decision_and_labels(fitted, patches):
    scores = fitted.score_samples(patches)
    decision = fitted.decision_function(patches)
    np.testing.assert_allclose(decision, scores - fitted.offset_)
    np.testing.assert_array_equal(fitted.predict(patches), np.where(decision < 0, -1, 1))


def test_finds_defects_in_contaminated_training_images(patches):
    rng = np.random.RandomState(1)
    test = rng.normal(size=(40, 5, 6, 16)).astype(np.float32)
    test[:20, 2, 3] += 5
    truth = np.repeat([1, 0], 20)
    soft = SoftPatchDetector(random_state=0).fit(patches)
    plain = SoftPatchDetector(discriminator=None, random_state=0).fit(patches)
    assert not soft.kept_[:4, 2, 3].any()
    assert roc_auc_score(truth, -soft.score_samples(test)) > 0.99
    assert roc_auc_score(truth, -plain.score_samples(test)) < 0.9


def test_two_dimensional_input_is_a_grid_of_one(patches):
    rows = patches[:, 0, 0]
    flat = SoftPatchDetector(random_state=0).fit(rows)
    grid = SoftPatchDetector(random_state=0).fit(patches[:, :1, :1])
    np.testing.assert_array_equal(flat.score_samples(rows), grid.score_samples(patches[:, :1, :1]))


def test_plain_patchcore(patches):
    detector = SoftPatchDetector(discriminator=None, random_state=0).fit(patches)
    assert detector.kept_.all()
    assert detector.discriminator_ is None
    np.testing.assert_array_equal(detector.memory_weights_, 1)


def test_negative_scores_become_weight_zero(patches):
    class Negative(NoiseDiscriminator):
        def score_patches(self, patches):
            return patches[..., 0].astype(float)

    detector = SoftPatchDetector(discriminator=Negative(), random_state=0).fit(patches)
    assert detector.memory_weights_.min() == 0


class TestCalibration:
    def test_own_patches_are_left_out(self, patches):
        """With every patch in the bank, a training image would always score 0."""
        detector = SoftPatchDetector(
            discriminator=None, coreset_size=1.0, contamination=0.1, random_state=0
        ).fit(patches)
        assert detector.score_samples(patches).tolist() == [0] * len(patches)
        expected = []
        for image in range(len(patches)):
            others = np.delete(patches, image, axis=0).reshape(-1, 16)
            expected.append(-cdist(patches[image].reshape(-1, 16), others).min(axis=1).max())
        np.testing.assert_allclose(detector.training_scores_, expected)
        assert detector.offset_ == pytest.approx(np.sort(expected)[4 - 1], rel=1.1e-3)

    def test_memory_patches_do_not_count_in_a_small_bank(self, patches):
        detector = SoftPatchDetector(discriminator=None, random_state=0).fit(patches)
        image = detector.memory_source_[0, 0]
        expected = -map_without(detector, patches[image], image).max()
        assert detector.training_scores_[image] == pytest.approx(expected)

    def test_memory_patches_of_several_neighbors(self, patches):
        detector = SoftPatchDetector(n_neighbors=3, soft_weights=False, random_state=0)
        rows = patches[:, 0, 0]
        detector.fit(rows)
        memory = detector.memory_source_[:, 0]
        np.testing.assert_allclose(
            detector.training_scores_[memory], detector.score_samples(rows[memory])
        )

    def test_share_of_unseen_normal_images_below_the_threshold(self):
        rng = np.random.RandomState(0)
        train, test = rng.normal(size=(2, 200, 4, 4, 8)).astype(np.float32)
        detector = SoftPatchDetector(contamination=0.1, random_state=0).fit(train)
        assert np.mean(detector.predict(test) == -1) == pytest.approx(0.1, abs=0.06)

    def test_one_memory_patch(self, patches):
        detector = SoftPatchDetector(coreset_size=1, random_state=0).fit(patches)
        image = detector.memory_source_[0, 0]
        assert np.flatnonzero(np.isnan(detector.training_scores_)).tolist() == [image]
        assert np.isfinite(detector.offset_)

    def test_auto_calls_at_least_one_in_twenty(self, fitted):
        assert fitted.offset_ >= fitted.threshold_for(0.05)


class TestInvariances:
    def test_permuting_images_permutes_scores(self, fitted, patches):
        order = np.random.RandomState(0).permutation(len(patches))
        np.testing.assert_array_equal(
            fitted.score_samples(patches[order]), fitted.score_samples(patches)[order]
        )

    def test_scoring_one_by_one(self, fitted, patches):
        single = [fitted.score_samples(patches[i : i + 1])[0] for i in range(10)]
        np.testing.assert_allclose(single, fitted.score_samples(patches[:10]), rtol=1e-9)

    def test_constant_shift_of_all_features(self, patches):
        rounded = np.round(patches * 16) / 16
        detector = SoftPatchDetector(random_state=0).fit(rounded)
        shifted = SoftPatchDetector(random_state=0).fit(rounded + np.float32(16))
        np.testing.assert_allclose(
            shifted.score_samples(rounded + np.float32(16)), detector.score_samples(rounded)
        )

    def test_same_seed_same_bits(self, patches):
        wide = np.concatenate([patches, np.square(patches)] * 5, axis=-1)
        detector = SoftPatchDetector(projection_dim=32, random_state=3)
        one, two = (clone(detector).fit(wide) for _ in range(2))
        np.testing.assert_array_equal(one.memory_bank_, two.memory_bank_)
        np.testing.assert_array_equal(one.score_samples(wide), two.score_samples(wide))
        other = SoftPatchDetector(projection_dim=32, random_state=4).fit(wide)
        assert not np.array_equal(one.memory_source_, other.memory_source_)

    @pytest.mark.parametrize("discriminator", ["nearest", "gaussian", "lof"])
    def test_threads_do_not_change_bits(self, patches, discriminator):
        wide = np.concatenate([patches, np.square(patches)] * 5, axis=-1)
        one, two = (
            SoftPatchDetector(
                discriminator=discriminator, projection_dim=32, n_jobs=n_jobs, random_state=0
            ).fit(wide)
            for n_jobs in (1, 2)
        )
        np.testing.assert_array_equal(one.noise_scores_, two.noise_scores_)
        np.testing.assert_array_equal(one.memory_source_, two.memory_source_)
        np.testing.assert_array_equal(one.score_samples(wide), two.score_samples(wide))
        assert one.offset_ == two.offset_

    def test_features_of_a_file_are_projected_without_a_word(self):
        # torch warns once in a process, so it is asked to do so each time.
        features = np.random.RandomState(0).normal(size=(30, 4, 4, 64)).astype(np.float32)
        features.flags.writeable = False
        before = torch.is_warn_always_enabled()
        torch.set_warn_always(True)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", "The given NumPy array is not writable")
                SoftPatchDetector(projection_dim=16, random_state=0).fit(features)
        finally:
            torch.set_warn_always(before)

    def test_no_projection_that_saves_less_than_half(self, patches):
        wide = np.concatenate([patches, np.square(patches)], axis=-1)
        plain = SoftPatchDetector(discriminator="lof", projection_dim=None, random_state=0).fit(
            wide
        )
        for projection_dim, projected in ((17, False), (16, True)):
            detector = SoftPatchDetector(
                discriminator="lof", projection_dim=projection_dim, random_state=0
            ).fit(wide)
            same = np.array_equal(detector.noise_scores_, plain.noise_scores_)
            assert same is not projected

    def test_no_global_random_numbers(self, patches):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        detector = SoftPatchDetector(discriminator=IsolationForest(n_estimators=2), random_state=0)
        detector.fit(patches)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    def test_forest_is_seeded_by_the_detector(self, patches):
        one, two = (
            SoftPatchDetector(discriminator=IsolationForest(n_estimators=3), random_state=0)
            .fit(patches)
            .noise_scores_
            for _ in range(2)
        )
        np.testing.assert_array_equal(one, two)

    def test_torch_threads_are_restored(self, patches):
        import torch

        before = torch.get_num_threads()
        SoftPatchDetector(n_jobs=1).fit(patches).predict(patches)
        assert torch.get_num_threads() == before

    def test_memory_mapped_features(self, fitted, patches, tmp_path):
        np.save(tmp_path / "features.npy", patches)
        mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
        detector = SoftPatchDetector(random_state=0).fit(mapped)
        np.testing.assert_array_equal(detector.score_samples(mapped), fitted.score_samples(patches))


class TestModelSelection:
    def test_joblib_round_trip(self, fitted, patches, tmp_path):
        joblib.dump(fitted, tmp_path / "model.joblib")
        loaded = joblib.load(tmp_path / "model.joblib")
        np.testing.assert_array_equal(loaded.score_samples(patches), fitted.score_samples(patches))
        np.testing.assert_array_equal(loaded.predict(patches), fitted.predict(patches))

    def test_nested_parameters(self, patches):
        detector = SoftPatchDetector(discriminator=LOFDiscriminator())
        detector.set_params(discriminator__n_neighbors=9)
        assert clone(detector).fit(patches).discriminator_.n_neighbors_ == 9

    def test_fitting_leaves_the_parameters_alone(self, patches):
        discriminator = LOFDiscriminator()
        SoftPatchDetector(discriminator=discriminator).fit(patches)
        assert not hasattr(discriminator, "outlier_scores_")

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_grid_search(self, patches, n_jobs):
        truth = np.where(np.arange(len(patches)) < 4, -1, 1)
        truth[[10, 20]] = -1
        grid = {
            "noise_threshold": [0.0, 0.15],
            "discriminator": [None, LOFDiscriminator(), GaussianDiscriminator()],
        }
        search = GridSearchCV(
            SoftPatchDetector(random_state=0), grid, scoring="roc_auc", cv=2, n_jobs=n_jobs
        ).fit(patches, truth)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert hasattr(search.best_estimator_, "memory_bank_")


class TestErrors:
    @pytest.mark.parametrize("discriminator", [None, "lof"])
    def test_one_image(self, patches, discriminator):
        with pytest.raises(ValueError, match=r"n_samples=1.*at least 2 images"):
            SoftPatchDetector(discriminator=discriminator).fit(patches[:1])

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("method", ["fit", "score_samples"])
    def test_not_finite(self, patches, fitted, value, method):
        broken = patches.copy()
        broken[3, 1, 1, 4] = value
        with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
            getattr(fitted if method != "fit" else clone(fitted), method)(broken)

    def test_another_grid(self, fitted, patches):
        with pytest.raises(ValueError, match=r"grid of \(4, 6\).* fitted on a grid of \(5, 6\)"):
            fitted.predict(patches[:, :4])

    def test_another_number_of_features(self, fitted, patches):
        with pytest.raises(ValueError, match="X has 15 features, but SoftPatchDetector is expect"):
            fitted.predict(patches[..., :15])

    @pytest.mark.parametrize("shape", [(3, 4, 5), (2, 0, 2, 2, 2), (2, 2, 2, 2, 2, 2)])
    def test_dimensions(self, shape):
        with pytest.raises(ValueError, match=f"X has {len(shape)} dimensions; expected patch"):
            SoftPatchDetector().fit(np.zeros(shape))

    def test_no_patches(self):
        with pytest.raises(ValueError, match="found 0 patches"):
            SoftPatchDetector().fit(np.zeros((4, 0, 3, 2)))

    def test_not_fitted(self, patches):
        with pytest.raises(NotFittedError):
            SoftPatchDetector().predict_map(patches)

    @pytest.mark.parametrize(
        ("parameter", "value", "known"),
        [
            ("discriminator", "loff", "'lof'"),
            ("metric", "manhattan", "'sqeuclidean'"),
            ("neighbors", "faiss", "'pynndescent'"),
            ("contamination", "none", "'auto'"),
            ("noise_threshold", 1.0, r"\[0.0, 1.0\)"),
            ("coreset_size", 0, r"\[1, inf\)"),
            ("coreset_size", 1.5, r"\(0.0, 1.0\]"),
            ("contamination", 0.6, r"\(0.0, 0.5\]"),
        ],
    )
    def test_parameters(self, patches, parameter, value, known):
        with pytest.raises(ValueError, match=f"'{parameter}' parameter.*{known}"):
            SoftPatchDetector(**{parameter: value}).fit(patches)

    @pytest.mark.parametrize("coreset_size", [1150, 0.9])
    def test_coreset_larger_than_what_is_left(self, patches, coreset_size):
        detector = SoftPatchDetector(
            discriminator="lof", coreset_size=coreset_size, noise_threshold=0.2
        )
        with pytest.warns(UserWarning, match=rf"coreset_size={coreset_size} asks for .* are left"):
            detector.fit(patches)
        assert len(detector.memory_bank_) == detector.kept_.sum()

    def test_whole_bank_needs_no_warning(self, patches):
        detector = SoftPatchDetector(coreset_size=1.0).fit(patches)
        assert len(detector.memory_bank_) == detector.kept_.sum()
