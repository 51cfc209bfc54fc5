# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from _published import NOISE, by_position
from sklearn.base import clone
from sklearn.covariance import OAS, EllipticEnvelope, EmpiricalCovariance, LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from skpatch import (
    FusionDiscriminator,
    GaussianDiscriminator,
    LOFDiscriminator,
    NearestDiscriminator,
    NoiseDiscriminator,
    PositionwiseDiscriminator,
)
from skpatch.discriminators import make_discriminator


@pytest.fixture(scope="module")
def features():
    """128 features, as after the paper's projection; outliers and exact copies included."""
    rng = np.random.RandomState(0)
    patches = np.abs(rng.normal(size=(60, 4, 5, 128))) * rng.gamma(2, 1, size=(60, 4, 5, 1))
    patches[:3, 1, 2] += 40 * rng.normal(size=(3, 128))
    patches[10:14, 0, 0] = patches[10, 0, 0]
    return patches.astype(np.float32)


@pytest.mark.parametrize("name", NOISE)
def test_scores_equal_the_formulas(features, name):
    expected = by_position(features, NOISE[name])
    discriminator = make_discriminator(name).fit(features)
    np.testing.assert_allclose(discriminator.outlier_scores_, expected, rtol=1e-4)
    kept = discriminator.outlier_scores_ <= np.quantile(discriminator.outlier_scores_, 0.85)
    np.testing.assert_array_equal(kept, expected <= np.quantile(expected, 0.85))


@pytest.mark.parametrize(("covariance", "estimator"), [("ledoit_wolf", LedoitWolf), ("oas", OAS)])
def test_shrunk_covariance(features, covariance, estimator):
    expected = by_position(
        features, lambda points: np.sqrt(estimator().fit(points).mahalanobis(points)) + 1
    )
    discriminator = GaussianDiscriminator(covariance=covariance).fit(features)
    np.testing.assert_allclose(discriminator.outlier_scores_, expected, rtol=1e-6)


def test_shrunk_covariance_does_not_depend_on_the_scale(features):
    scores, scaled = (
        GaussianDiscriminator(covariance="oas").fit(patches).outlier_scores_
        for patches in (features, features * np.float32(1024))
    )
    np.testing.assert_allclose(scores, scaled, rtol=1e-6)


def test_gaussian_with_many_images_is_mahalanobis():
    points = np.random.RandomState(0).normal(size=(500, 3)) * 100
    expected = np.sqrt(EmpiricalCovariance().fit(points).mahalanobis(points)) + 1
    scores = GaussianDiscriminator().fit(points).outlier_scores_[:, 0, 0]
    np.testing.assert_allclose(scores, expected, rtol=2e-3)


@pytest.mark.parametrize("covariance", ["paper", "ledoit_wolf", "oas"])
def test_constant_features_are_typical(covariance):
    patches = np.ones((10, 2, 2, 5), np.float32)
    scores = GaussianDiscriminator(covariance=covariance).fit(patches).outlier_scores_
    np.testing.assert_allclose(scores, 1)


def test_lof_reduces_its_neighbors(features):
    few = features[:5]
    with pytest.warns(UserWarning, match="n_neighbors=6 is more than the 4 other images"):
        discriminator = LOFDiscriminator().fit(few)
    assert discriminator.n_neighbors_ == 4
    expected = by_position(
        few, lambda points: -LocalOutlierFactor(n_neighbors=4).fit(points).negative_outlier_factor_
    )
    np.testing.assert_allclose(discriminator.outlier_scores_, expected, rtol=1e-4)


def test_lof_uses_its_neighbors(features):
    """The reference implementation ignores the option."""
    three, twenty = (LOFDiscriminator(n_neighbors=k).fit(features) for k in (3, 20))
    assert not np.allclose(three.outlier_scores_, twenty.outlier_scores_)


ALL = {
    "nearest": NearestDiscriminator(),
    "gaussian": GaussianDiscriminator(),
    "lof": LOFDiscriminator(),
    "fusion": FusionDiscriminator(),
    "isolation forest": PositionwiseDiscriminator(
        estimator=IsolationForest(n_estimators=10, random_state=0)
    ),
}


# A forest draws its samples by their position.
@pytest.mark.parametrize("name", [name for name in ALL if name != "isolation forest"])
def test_permuting_images_permutes_scores(features, name):
    order = np.random.RandomState(1).permutation(len(features))
    scores = clone(ALL[name]).fit(features).outlier_scores_
    permuted = clone(ALL[name]).fit(features[order]).outlier_scores_
    np.testing.assert_allclose(permuted, scores[order], rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_injected_defects_come_first(features, name):
    scores = clone(ALL[name]).fit(features).outlier_scores_
    assert scores.shape == features.shape[:3]
    ranks = scores[:, 1, 2].argsort()[::-1]
    assert set(ranks[:3]) == {0, 1, 2}


@pytest.mark.parametrize("name", ALL)
def test_typical_scores_are_positive(features, name):
    scores = clone(ALL[name]).fit(features).outlier_scores_
    assert (scores > 0).all()


def test_fusion_is_the_mean_rank(features):
    from scipy.stats import rankdata

    fused = FusionDiscriminator(discriminators=["nearest", LOFDiscriminator(n_neighbors=3)])
    fused.fit(features)
    ranks = [rankdata(one.outlier_scores_) for one in fused.discriminators_]
    expected = 2 * np.mean(ranks, axis=0) / (features[..., 0].size + 1)
    np.testing.assert_allclose(fused.outlier_scores_.ravel(), expected)
    assert fused.outlier_scores_.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    "estimator",
    [
        LocalOutlierFactor(n_neighbors=6),
        LocalOutlierFactor(n_neighbors=6, novelty=True),
        OneClassSVM(),
        EllipticEnvelope(support_fraction=1.0),
    ],
)
def test_positionwise_orders_like_the_estimator(estimator):
    patches = np.random.RandomState(0).normal(size=(40, 2, 2, 4)).astype(np.float32)

    def reference(points):
        fitted = clone(estimator).fit(points)
        if hasattr(fitted, "negative_outlier_factor_"):
            return -fitted.negative_outlier_factor_
        return -fitted.score_samples(points)

    expected = by_position(patches.astype(np.float32), reference)
    scores = PositionwiseDiscriminator(estimator=estimator).fit(patches).outlier_scores_
    top = expected.ravel().argsort()[-20:]
    assert set(scores.ravel().argsort()[-20:]) == set(top)
    assert scores.mean() == pytest.approx(1)


def test_positionwise_in_processes_equals_serial(features):
    estimator = IsolationForest(n_estimators=5, random_state=0)
    serial = PositionwiseDiscriminator(estimator=estimator).fit(features[:20])
    spread = PositionwiseDiscriminator(estimator=estimator, n_jobs=2).fit(features[:20])
    np.testing.assert_array_equal(serial.outlier_scores_, spread.outlier_scores_)


class _Constant(NoiseDiscriminator):
    def __init__(self, value=1.0):
        self.value = value

    def score_patches(self, patches):
        return np.full(patches.shape[:3], self.value)


def test_own_discriminator():
    scores = _Constant(2.0).fit(np.zeros((3, 2, 2, 1))).outlier_scores_
    np.testing.assert_array_equal(scores, np.full((3, 2, 2), 2.0))


class TestErrors:
    @pytest.mark.parametrize("name", ALL)
    def test_one_image(self, features, name):
        with pytest.raises(ValueError, match=r"n_samples=1: \w+ compares images.* 2 images"):
            clone(ALL[name]).fit(features[:1])

    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, features, name, value):
        broken = features.copy()
        broken[3, 1, 1, 4] = value
        with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
            clone(ALL[name]).fit(broken)

    def test_own_scores_not_finite(self):
        with pytest.raises(ValueError, match=r"_Constant.score_patches must return one finite"):
            _Constant(np.nan).fit(np.zeros((3, 2, 2, 1)))

    def test_own_scores_of_wrong_shape(self):
        class Wrong(NoiseDiscriminator):
            def score_patches(self, patches):
                return np.ones(len(patches))

        with pytest.raises(ValueError, match=r"shape \(3, 2, 2\); got shape \(3,\)"):
            Wrong().fit(np.zeros((3, 2, 2, 1)))

    def test_unknown_name(self):
        known = r"'loff' is unknown\. Known are 'support', .*, 'lof', 'fusion', None"
        with pytest.raises(ValueError, match=known):
            make_discriminator("loff")

    @pytest.mark.parametrize("wrong", [3, LOFDiscriminator, IsolationForest, LinearRegression()])
    def test_not_a_discriminator(self, wrong):
        with pytest.raises(ValueError, match="must be a name"):
            make_discriminator(wrong)

    def test_positionwise_of_a_regressor(self, features):
        with pytest.raises(TypeError, match="not a scikit-learn outlier detector"):
            PositionwiseDiscriminator(estimator=LinearRegression()).fit(features)

    def test_fusion_of_nothing(self, features):
        with pytest.raises(ValueError, match="discriminators is empty"):
            FusionDiscriminator(discriminators=[]).fit(features)

    def test_parameters(self, features):
        with pytest.raises(ValueError, match="n_neighbors"):
            LOFDiscriminator(n_neighbors=0).fit(features)
        with pytest.raises(ValueError, match=r"covariance.*'(ledoit_wolf|oas|paper)'"):
            GaussianDiscriminator(covariance="lw").fit(features)
