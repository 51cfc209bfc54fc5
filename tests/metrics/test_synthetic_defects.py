# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from scipy.ndimage import label
from sklearn.model_selection import GridSearchCV

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import make_contaminated_images
from skpatch.images.collection import check_images
from skpatch.metrics import synthetic_defect_score
from skpatch.metrics.synthetic_defects import SyntheticDefects


@pytest.fixture(scope="module")
def images():
    return make_contaminated_images(24, 0, image_size=64, random_state=0).images


def test_each_copy_differs_in_one_place(images):
    defects = SyntheticDefects(check_images(images))
    assert len(defects) == len(images)
    for image, copy in zip(images, defects, strict=True):
        assert copy.shape == (64, 64, 3)
        assert copy.dtype == np.uint8
        changed = (copy != np.asarray(image).reshape(64, 64, -1)).any(axis=2)
        assert 2 <= changed.sum() <= 0.1 * 64 * 64
        assert label(changed, np.ones((3, 3)))[1] <= 3


def test_they_are_the_same_every_time(images):
    first, second = (list(SyntheticDefects(check_images(images))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_size_and_strength(images):
    """A larger piece changes more pixels, a fainter one changes them less, none changes nothing."""
    originals = np.stack(images).astype(int)

    def changes(**parameters):
        copies = np.stack(list(SyntheticDefects(check_images(images), **parameters)))
        return np.abs(copies - originals.reshape(len(images), 64, 64, -1))

    plain = changes()
    assert (changes(size=2.0) > 0).sum() > 2 * (plain > 0).sum()
    assert changes(strength=0.4).sum() == pytest.approx(0.4 * plain.sum(), rel=0.1)
    assert changes(strength=0.0).sum() == 0


def test_sizes_may_differ(images):
    mixed = [np.zeros((10, 300), np.uint8), np.zeros((300, 10, 3), np.uint8)]
    shapes = [copy.shape for copy in SyntheticDefects(check_images(mixed))]
    assert shapes == [(10, 300, 3), (300, 10, 3)]


def test_model_selection(images):
    """A detector that sees is preferred to one that is blind: a memory bank of one patch."""
    model = make_pipeline(PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0))
    search = GridSearchCV(
        model,
        {"softpatchdetector__coreset_size": [1, 0.3]},
        scoring=synthetic_defect_score,
        cv=2,
    ).fit(images)
    assert search.best_params_ == {"softpatchdetector__coreset_size": 0.3}
    assert search.best_score_ > 0.6
    again = synthetic_defect_score(search.best_estimator_, images)
    assert again == synthetic_defect_score(search.best_estimator_, images)
