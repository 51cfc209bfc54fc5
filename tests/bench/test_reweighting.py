# SPDX-License-Identifier: BSD-3-Clause
"""PatchCore's score of an image, against the equation of the paper."""

import numpy as np
import pytest
from _references import textures
from scipy.spatial.distance import cdist

from skpatch import SoftPatchDetector
from skpatch.bench.protocol import ImageSet, measure
from skpatch.bench.reweighting import reweighted_scores
from skpatch.metrics import image_auroc


def reference(detector, features, n_neighbors):
    bank, scores = detector.memory_bank_.astype(float), []
    for patches in features.reshape(len(features), -1, bank.shape[1]):
        distances = cdist(patches, bank)
        worst = distances.min(axis=1).argmax()
        nearest = distances[worst].argmin()
        around = np.argsort(cdist(bank[[nearest]], bank)[0], kind="stable")[:n_neighbors]
        share = np.exp(distances[worst, nearest]) / np.exp(distances[worst, around]).sum()
        scores.append((1 - share) * distances[worst, nearest])
    return np.array(scores)


@pytest.mark.parametrize("n_neighbors", [1, 3, 9, 1000])
def test_scores_equal_the_equation(n_neighbors):
    detector = SoftPatchDetector(discriminator=None, coreset_size=50, random_state=0)
    detector.fit(textures(30))
    queries = textures(8, defects=[0, 1], seed=1)
    found = reweighted_scores(detector, queries, n_neighbors)
    np.testing.assert_allclose(found, -reference(detector, queries, n_neighbors), rtol=1e-4)


def test_cosine_has_no_weight():
    detector = SoftPatchDetector(discriminator=None, metric="cosine", random_state=0)
    detector.fit(textures(10))
    with pytest.raises(ValueError, match="'PatchCore reweighted' out"):
        reweighted_scores(detector, textures(2), 9)


def test_the_benchmark_measures_it():
    features, is_defective = textures(40, defects=range(30, 40)), np.arange(40) >= 30
    data = ImageSet("set", np.arange(40), is_defective, np.arange(20, 40))
    (row,) = measure(data, features, {}, 0, "PatchCore reweighted", 3)
    train, pool = data.split(3)
    detector = SoftPatchDetector(discriminator=None, random_state=3).fit(features[train])
    scores = reference(detector, features[pool], 9)
    assert row["image_auroc"] == image_auroc(is_defective[pool], scores)
    assert "false_alarm_rate" not in row
