# SPDX-License-Identifier: BSD-3-Clause
"""The whole way on photographs of solar cells."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline

from skpatch import (
    LOFDiscriminator,
    PatchFeatureExtractor,
    SoftPatchDetector,
)
from skpatch.datasets import inject_noise, load_elpv

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cells():
    data = load_elpv(kind="mono")
    images = np.asarray(data.images)
    random_state = np.random.RandomState(0)
    return (
        list(random_state.permutation(images[~data.is_defective])[:80]),
        list(random_state.permutation(images[data.is_defective])[:30]),
    )


def test_inspecting_the_contaminated_training_folder(cells):
    """With the defects in the training set, PatchCore takes them for normal."""
    normal, defective = cells
    noisy = inject_noise(normal[:60], defective, noise_ratio=0.2, overlap=True, random_state=0)
    test = normal[60:] + [image for image in noisy.train_images if image in set(defective)]
    truth = np.repeat([0, 1], [20, 12])
    extractor = PatchFeatureExtractor(image_size=96).fit(noisy.train_images)
    train, test = extractor.transform(noisy.train_images), extractor.transform(test)
    plain, soft = (
        roc_auc_score(
            truth,
            -SoftPatchDetector(discriminator=discriminator, random_state=0)
            .fit(train)
            .score_samples(test),
        )
        for discriminator in (None, "lof")
    )
    assert soft > plain + 0.2
    assert soft > 0.8


def test_grid_search(cells, tmp_path):
    normal, defective = cells
    images = normal[:30] + defective[:6]
    labels = np.repeat([1, -1], [30, 6])
    pipeline = make_pipeline(
        PatchFeatureExtractor(image_size=64),
        SoftPatchDetector(random_state=0),
        memory=str(tmp_path),  # the features do not depend on what is searched
    )
    grid = {
        "softpatchdetector__noise_threshold": [0.05, 0.3],
        "softpatchdetector__discriminator": [LOFDiscriminator(), None],
    }
    search = GridSearchCV(
        pipeline,
        grid,
        scoring="roc_auc",
        cv=StratifiedKFold(2, shuffle=True, random_state=0),
        error_score="raise",
    ).fit(images, labels)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert scores.max() > 0.7
