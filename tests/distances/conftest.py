# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest


@pytest.fixture(scope="package")
def bank():
    return np.random.RandomState(0).normal(size=(1000, 20)).astype(np.float32)


@pytest.fixture(scope="package")
def queries(bank):
    """Rows like those of the bank, copies of some, and some far away."""
    rng = np.random.RandomState(1)
    far = 1e6 * rng.normal(size=(5, 20))
    return np.concatenate([rng.normal(size=(300, 20)), bank[:20], far]).astype(np.float32)


@pytest.fixture(scope="package")
def groups(bank, queries):
    """A group of five for each query and for each row of the bank."""
    rng = np.random.RandomState(2)
    return rng.randint(5, size=len(queries)), rng.randint(5, size=len(bank))
