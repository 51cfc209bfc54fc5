# SPDX-License-Identifier: BSD-3-Clause
import copy

import numpy as np
import pytest
from _references import map_without
from sklearn.metrics import average_precision_score
from sklearn.pipeline import Pipeline

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import make_contaminated_images
from skpatch.detector.calibration import training_pvalues
from skpatch.inspection.audit import NoiseAudit


def test_ranking_finds_the_injected_defects(audit, data):
    assert average_precision_score(data.labels, -audit.scores) > 0.9
    np.testing.assert_array_equal(audit.scores[audit.ranking], np.sort(audit.scores))
    assert audit.is_suspicious[audit.ranking[0]]


def test_defective_images_of_many_are_not_trusted():
    data = make_contaminated_images(n_normal=66, n_defective=14, random_state=0)
    extractor = PatchFeatureExtractor(image_size=64)
    model = make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(data.images)
    audit = model.audit(data.images)
    assert not audit.trusted[data.labels == 1].any()
    assert audit.trusted[data.labels == 0].mean() > 0.8


def test_patch_scores_leave_the_image_out(audit, model, data):
    detector = model[-1]
    features = model[:-1].transform(data.images)
    for image in audit.ranking[:3]:
        expected = map_without(detector, features[image], image)
        np.testing.assert_allclose(audit.patch_scores[image], expected, rtol=1e-5)
    np.testing.assert_array_equal(audit.scores, detector.training_scores_)


def test_maps_show_the_defect(audit, data):
    defective = np.flatnonzero(data.labels)
    for image, found in zip(defective, audit.maps(defective), strict=True):
        assert found.shape == data.images[image].shape[:2]
        assert found[data.masks[image]].mean() > 1.5 * found[~data.masks[image]].mean()


def test_the_inspection_leaves_the_image_out_too(audit, model):
    found, threshold = audit.inspection, -model[-1].offset_
    np.testing.assert_array_equal(found.scores, -audit.scores / threshold)
    np.testing.assert_array_equal(found.patch_scores, audit.patch_scores / threshold)
    np.testing.assert_array_equal(found.pvalues, audit.pvalues)
    np.testing.assert_array_equal(found.is_anomalous, audit.scores < model[-1].offset_)
    np.testing.assert_array_equal(audit.ranking, np.argsort(audit.scores, kind="stable"))
    worst = audit.ranking[0]
    np.testing.assert_array_equal(found.maps([worst])[0], audit.maps([worst])[0] / threshold)
    np.testing.assert_array_equal(found.maps(int(worst)), found.maps([worst]))
    assert found.regions(worst)


def test_an_image_without_a_score_is_the_last(model, data):
    forgetful = copy.deepcopy(model).forget([5])
    audit = forgetful.audit(data.images)
    assert audit.ranking[-1] == 5
    assert np.isnan(audit.inspection.scores[5])
    assert np.isnan(audit.pvalues[5])
    assert not audit.is_suspicious[5]
    assert audit.to_dict()["rank"][5] == 30


def test_pvalues_by_hand():
    calibration = np.array([-3.0, -2, -1])
    found = training_pvalues(calibration, np.array([-9, -3, -2, -1, np.nan]))
    np.testing.assert_allclose(found, [1 / 4, 1 / 3, 2 / 3, 1, np.nan])


def test_pvalues(audit, data):
    assert audit.pvalues[audit.ranking[0]] == audit.pvalues.min() < 0.05
    assert np.median(audit.pvalues[data.labels == 0]) > 0.4


def test_a_stock_pipeline(model, audit, data):
    again = NoiseAudit.from_estimator(Pipeline(model.steps), data.images)
    np.testing.assert_array_equal(again.patch_scores, audit.patch_scores)


def test_other_images(model, data):
    with pytest.raises(ValueError, match="has 29 images, but the model was fitted on 30"):
        NoiseAudit.from_estimator(model, data.images[1:])
    with pytest.raises(ValueError, match="An audit needs the training images, in their order"):
        NoiseAudit.from_estimator(model, data.images[::-1])


def test_removed_patches_are_not_in_the_bank(audit, model):
    assert not audit.removed[tuple(model[-1].memory_source_.T)].any()


def test_pipeline_pvalues(model, data):
    expected = model[-1].predict_pvalue(model[:-1].transform(data.images[:3]))
    np.testing.assert_array_equal(model.predict_pvalue(data.images[:3]), expected)


def test_at_a_glance(audit):
    first, header, worst, *_, more = repr(audit).splitlines()
    assert first.startswith(f"NoiseAudit: {audit.is_suspicious.sum()} of 30 images are suspicious")
    assert audit.finding.reason in first
    assert header.split() == ["rank", "score", "p-value", "verdict", "image"]
    assert worst.endswith(audit.inspection.names[audit.ranking[0]])
    assert more == "... and 20 more: see to_frame() and to_html(path)"
    assert len(repr(audit).splitlines()) == 13


def test_names_are_no_html(audit):
    hostile = copy.copy(audit)
    hostile.inspection = copy.copy(audit.inspection)
    hostile.inspection.names = ["<script>\x1b"] * 30
    page = hostile._repr_html_()
    assert page.count("<tr>") == 11
    assert "<script>" not in page
    assert "&lt;script&gt;\\x1b" in page
    assert "\x1b" not in repr(hostile)
