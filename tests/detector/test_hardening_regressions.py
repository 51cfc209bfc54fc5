# SPDX-License-Identifier: BSD-3-Clause
"""Numbers that once ended in a warning, in another error than a named one, or in nonsense."""

import numpy as np
import pytest

from skpatch import SoftPatchDetector
from skpatch.discriminators import GaussianDiscriminator

pytestmark = pytest.mark.usefixtures("one_thread")
PATCHES = np.random.RandomState(0).normal(size=(8, 2, 3, 5)).astype(np.float32)


@pytest.mark.parametrize("covariance", ["paper", "oas", "ledoit_wolf"])
@pytest.mark.parametrize("n_images", [2, 8])
def test_gaussian_of_large_features(covariance, n_images):
    """The covariance of fewer images than features plus 0.01 was not positive definite."""
    large = PATCHES[:n_images] * np.float32(1e12)
    scores = GaussianDiscriminator(covariance=covariance).fit(large).outlier_scores_
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("scale", [1e-42, 1e25])
def test_features_of_any_scale(scale):
    patches = PATCHES * np.float32(scale)
    detector = SoftPatchDetector(random_state=0).fit(patches)
    assert np.isfinite(detector.score_samples(patches)).all()
    assert np.isfinite(detector.score_samples(np.full_like(patches, 1e30))).all()


@pytest.mark.parametrize("largest", [1e33, -3e38, 1e300])
def test_features_that_are_too_large_are_refused(largest):
    patches = PATCHES.astype(np.float64)
    patches[1, 0, 0, 0] = largest
    with pytest.raises(ValueError, match=r"features as large|infinity"):
        SoftPatchDetector().fit(patches)


def test_a_bank_of_one_patch_keeps_small_differences():
    """They were lost, since one patch has no spread that says how large the features are."""
    patches = np.array([1.0, 0.4], np.float32).reshape(2, 1, 1, 1)
    large, small = (
        SoftPatchDetector(random_state=0).fit(one).score_samples(one) * 2.0**power
        for power, one in ((0, patches), (25, np.ldexp(patches, -25)))
    )
    np.testing.assert_allclose(large, small)


@pytest.mark.parametrize("parameter", ["n_neighbors", "projection_dim"])
def test_true_is_no_number(parameter):
    with pytest.raises(ValueError, match=f"'{parameter}' parameter"):
        SoftPatchDetector(**{parameter: True}).fit(PATCHES)


@pytest.mark.parametrize(
    "update", [lambda model: model.forget([0]), lambda m: m.partial_fit(PATCHES)]
)
def test_updates_after_another_discriminator(update):
    model = SoftPatchDetector(discriminator="nearest", random_state=0).fit(PATCHES)
    before = model.score_samples(PATCHES)
    with pytest.raises(ValueError, match="discriminator='support' needs"):
        update(model.set_params(discriminator="support"))
    np.testing.assert_array_equal(model.score_samples(PATCHES), before)
