# SPDX-License-Identifier: BSD-3-Clause
"""The detector and whatever numbers it may be given."""

import warnings

import numpy as np
import pytest
from _mutations_models import plain_map
from _strange import any_array, ends_in_a_result_or_a_named_error, features, few, of_any_type
from hypothesis import given
from hypothesis import strategies as st

from skpatch import SoftPatchDetector
from skpatch.discriminators import FusionDiscriminator, GaussianDiscriminator

pytestmark = pytest.mark.usefixtures("one_thread")

# Warnings of more neighbours or memory patches than there are, of copies and of few images.
EXPECTED = "n_neighbors=|coreset_size=|.* copies of others|The threshold was learned"
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "discriminator": st.sampled_from(
            (
                None,
                "lof",
                "gaussian",
                "nearest",
                FusionDiscriminator(),
                GaussianDiscriminator(covariance="oas"),
                GaussianDiscriminator(covariance="ledoit_wolf"),
            )
        ),
        "coreset_size": st.sampled_from((1, 3, 0.5, 1.0)),
        "contamination": st.sampled_from((0.01, 0.5)),
        "noise_threshold": st.sampled_from((0, 0.3, 0.99)),
        "soft_weights": st.booleans(),
        "projection_dim": st.sampled_from((None, 2)),
        "n_neighbors": st.sampled_from((2, 100)),
        "worst_patches": st.sampled_from((2, 0.5, 1000)),
        "metric": st.just("sqeuclidean"),
    },
)


def fitted(patches, settings):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", EXPECTED, category=UserWarning)
        return SoftPatchDetector(random_state=0, n_jobs=1, **settings).fit(patches)


@few
@given(patches=features(), settings=SETTINGS, data=st.data())
def test_scores_are_those_of_the_definition(patches, settings, data):
    detector = fitted(patches, settings)
    queries = data.draw(features(images=(1, 4), most_features=1))
    queries = np.resize(queries, (len(queries), *patches.shape[1:]))
    maps = detector.predict_map(queries)
    expected = plain_map(detector, queries)
    np.testing.assert_allclose(maps, expected, rtol=1e-6)
    worst = np.sort(maps.reshape(len(maps), -1))[:, -detector.n_worst_patches_ :]
    expected = np.maximum(worst.mean(axis=1), detector.peak_share_ * worst[:, -1])
    scores = detector.score_samples(queries)
    np.testing.assert_allclose(scores, -expected, rtol=1e-9)
    # NaN: no other image has memory patches.
    assert not np.isinf(detector.training_scores_).any()
    assert np.isfinite(detector.calibration_scores_).all()
    assert np.isfinite(detector.offset_)
    assert set(detector.predict(queries)) <= {-1, 1}
    pvalues = detector.predict_pvalue(queries)
    assert ((pvalues > 0) & (pvalues <= 1)).all()


@few
@given(patches=features(), settings=SETTINGS)
def test_the_bank_consists_of_kept_training_patches(patches, settings):
    detector = fitted(patches, settings)
    places = tuple(detector.memory_source_.T)
    np.testing.assert_array_equal(detector.memory_bank_, patches[places])
    assert detector.kept_[places].all()
    assert detector.noise_scores_.shape == patches.shape[:3]
    assert np.isfinite(detector.noise_scores_[places]).all()
    assert 0 <= detector.coreset_radius_ < np.inf


@few
@given(patches=features(), queries=st.integers(0, 2**16), settings=SETTINGS)
def test_queries_do_not_depend_on_each_other(patches, queries, settings):
    detector = fitted(patches, settings)
    order = np.random.RandomState(queries).permutation(len(patches))
    scores = detector.score_samples(patches)
    np.testing.assert_array_equal(detector.score_samples(patches[order]), scores[order])
    np.testing.assert_allclose(detector.score_samples(patches[:1]), scores[:1], rtol=1e-12)


@few
@given(patches=features(), power=st.integers(-60, 60))
@pytest.mark.parametrize("discriminator", [None, "support"])
def test_scores_scale_with_the_features(discriminator, patches, power):
    """A power of two changes no digit."""
    # Neither may leave the range of float32.
    patches = np.where(np.abs(patches) < 1e-15, 0, np.clip(patches, -1e11, 1e11))
    patches = patches.astype(np.float32)
    scaled = np.ldexp(patches, power)
    first, second = (fitted(one, {"discriminator": discriminator}) for one in (patches, scaled))
    np.testing.assert_array_equal(first.memory_source_, second.memory_source_)
    np.testing.assert_allclose(
        np.ldexp(first.score_samples(patches), power), second.score_samples(scaled), rtol=1e-5
    )


@few
@given(patches=features(), data=st.data())
def test_any_number_type_gives_the_scores_of_float32(patches, data):
    cast = of_any_type(data.draw, patches)
    first, second = (fitted(one, {}) for one in (cast, cast.astype(np.float32)))
    np.testing.assert_array_equal(first.score_samples(cast), second.score_samples(cast))


@few
@given(X=any_array(), Y=any_array())
def test_any_array_is_fitted_or_refused(X, Y):
    detector = SoftPatchDetector(random_state=0, n_jobs=1)
    if ends_in_a_result_or_a_named_error(detector.fit, X) is None:
        return
    assert np.isfinite(detector.score_samples(X)).all()
    scores = ends_in_a_result_or_a_named_error(detector.score_samples, Y)
    assert scores is None or np.isfinite(scores).all()


@few
@given(patches=features(), more=features(images=(1, 4)), settings=SETTINGS)
def test_updates_keep_scores_finite(patches, more, settings):
    detector = fitted(patches, settings)
    more = np.resize(more, (len(more), *patches.shape[1:]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", EXPECTED, category=UserWarning)
        grown = ends_in_a_result_or_a_named_error(detector.partial_fit, more)
        # Copies count once, and a single image has nothing to be compared with.
        assert grown is not None or len(np.unique(more, axis=0)) == 1
        assert np.isfinite(detector.score_samples(patches)).all()
        ends_in_a_result_or_a_named_error(detector.forget, [0])
    assert np.isfinite(detector.score_samples(patches)).all()
    assert np.isfinite(detector.offset_)
