# SPDX-License-Identifier: BSD-3-Clause
import os

import numpy as np
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread each: those of several processes would wait for each other most of the time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def one_thread():
    """Small products gain nothing from threads, and lose much where other processes run."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def patches():
    """Features (40, 5, 6, 16) with defects in the first four images."""
    rng = np.random.RandomState(0)
    features = rng.normal(size=(40, 5, 6, 16)).astype(np.float32)
    features[:4, 2, 3] += 5
    return features


@pytest.fixture(scope="session")
def data():
    from skpatch.datasets import make_contaminated_images

    return make_contaminated_images(n_normal=27, n_defective=3, image_size=64, random_state=0)


@pytest.fixture(scope="session")
def model(data):
    """Pipeline trained on `data`; a test that changes it changes it back."""
    from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline

    extractor = PatchFeatureExtractor(image_size=64)
    return make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(data.images)


@pytest.fixture(scope="session")
def audit(model, data):
    return model.audit(data.images)
