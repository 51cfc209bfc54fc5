# SPDX-License-Identifier: BSD-3-Clause

import pytest
from sklearn.ensemble import IsolationForest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skpatch import (
    FusionDiscriminator,
    GaussianDiscriminator,
    SoftPatchDetector,
)

CONFIGURATIONS = [
    SoftPatchDetector(discriminator=discriminator, neighbors=neighbors)
    for discriminator, neighbors in [
        ("support", "exact"),
        ("support", "pynndescent"),
        ("lof", "exact"),
        (None, "exact"),
        (None, "pynndescent"),
        ("nearest", "exact"),
        ("gaussian", "exact"),
        (GaussianDiscriminator(covariance="oas"), "exact"),
        (FusionDiscriminator(), "exact"),
        (IsolationForest(n_estimators=5), "exact"),
    ]
] + [
    SoftPatchDetector(soft_weights=False, n_neighbors=3, metric="sqeuclidean"),
    SoftPatchDetector(metric="cosine"),
]


@parametrize_with_checks(CONFIGURATIONS)
@pytest.mark.filterwarnings("ignore:n_neighbors=6 is more than:UserWarning")
@pytest.mark.filterwarnings("ignore:Could not adhere to working_memory:UserWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)
