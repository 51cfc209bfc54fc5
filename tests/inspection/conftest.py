# SPDX-License-Identifier: BSD-3-Clause
"""A small report, for the tests of reports in a real browser."""

import pytest
from _reports import NAMES, SCORES, write


@pytest.fixture(scope="module")
def small_model():
    from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
    from skpatch.datasets import make_contaminated_images

    data = make_contaminated_images(n_normal=10, n_defective=1, image_size=64, random_state=0)
    extractor = PatchFeatureExtractor(image_size=64)
    return make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(data.images)


@pytest.fixture(scope="module")
def address(small_model, tmp_path_factory):
    return write(tmp_path_factory.mktemp("report") / "report.html", small_model, SCORES, NAMES)
