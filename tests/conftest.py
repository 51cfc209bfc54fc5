# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest


@pytest.fixture(scope="session")
def patches():
    """Features (40, 5, 6, 16) with defects in the first four images."""
    rng = np.random.RandomState(0)
    features = rng.normal(size=(40, 5, 6, 16)).astype(np.float32)
    features[:4, 2, 3] += 5
    return features
