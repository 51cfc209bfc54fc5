# SPDX-License-Identifier: BSD-3-Clause
import copy
import re

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.detector.estimator import fitted_state
from skpatch.inspection.groups import group_images

FIRST, SECOND, ALONE = [3, 30, 50], [7, 8], [20, 40]


@pytest.fixture(scope="module")
def state():
    """Of 60 images, two groups of which resemble each other, and two resemble nothing."""
    rng = np.random.RandomState(0)
    features = rng.normal(size=(60, 4, 4, 8)).astype(np.float32)
    for images, shift in [
        (FIRST, 9 * np.eye(8)[0]),
        (SECOND, 12 * np.eye(8)[1]),
        (ALONE[:1], 10 * np.eye(8)[2]),
        (ALONE[1:], -10 * np.eye(8)[3]),
    ]:
        features[images, 1:3, 1:3] += shift.astype(np.float32)
    detector = SoftPatchDetector(random_state=0, worst_patches=2).fit(features)
    return fitted_state(detector)


@pytest.mark.parametrize("order", [[*FIRST, *SECOND, *ALONE], [*ALONE, *SECOND, *FIRST[::-1]]])
def test_images_that_resemble_each_other(state, order):
    groups = group_images(state, np.array(order), "cpu")
    first, second = groups[FIRST], groups[SECOND]
    assert set(first) == {int(order[0] != FIRST[0])}
    assert set(second) == {int(order[0] == FIRST[0])}
    others = np.setdiff1d(np.arange(60), [*FIRST, *SECOND])
    assert (groups[others] == -1).all()


def test_by_hand(state):
    """Of two images: the mean distances of the worst patches to the other's, and to the others."""
    for pair in ([30, 50], [7, 30], [20, 40], [10, 11]):
        worst = state.training.worst_patches[pair]
        bank = state.bank
        is_near = []
        for this, other in zip(worst, worst[::-1], strict=True):
            gaps = cdist(this[:2], bank.patches)
            gaps = np.maximum(gaps, bank.reaches)
            gaps[:, np.isin(bank.source[:, 0], pair)] = np.inf
            is_near.append(cdist(this[:2], other).min(axis=1).mean() < gaps.min(axis=1).mean())
        assert (group_images(state, np.array(pair), "cpu")[pair] == 0).all() == all(is_near)


@pytest.mark.parametrize("numbers", [[], [5]])
def test_too_few_for_a_group(state, numbers):
    assert (group_images(state, np.array(numbers, int), "cpu") == -1).all()


@pytest.fixture(scope="module")
def images():
    """40 grey images: four of another product, at the end, and two with a defect of their own."""
    rng = np.random.RandomState(0)
    images = rng.randint(90, 110, (40, 64, 64, 3)).astype(np.uint8)
    images[36:, 8:56:4, 8:56] = 250
    images[0, 20:28, 20:28] = (255, 0, 0)
    return images


@pytest.fixture(scope="module")
def model(images):
    extractor = PatchFeatureExtractor(image_size=64)
    return make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(images)


def test_the_report_asks(model, images, tmp_path):
    audit = model.audit(images)
    assert audit.is_suspicious[36:].all()
    assert len(set(audit.groups[36:])) == 1
    assert audit.groups[36] >= 0
    assert audit.groups[0] == -1
    assert (audit.groups[~audit.is_suspicious] == -1).all()
    groups = [group + 1 if group >= 0 else None for group in audit.groups]
    assert audit.to_dict()["group"] == groups
    audit.to_html(tmp_path / "audit.html")
    text = (tmp_path / "audit.html").read_text(encoding="utf-8")
    asked = re.search(
        r"These 4 look alike: .*?If normal</summary><code>model\.trust\((.*?)\)</code>",
        text,
        re.DOTALL,
    )
    named = re.findall(r"&#39;(image \d+)&#39;", asked.group(1))
    assert sorted(named) == [f"image {number}" for number in range(36, 40)]
    cards = re.findall(r'data-name="(image \d+)"[^>]*data-group="1"', text)
    assert set(named) <= set(cards)


def test_a_model_of_another_device(model, images):
    """Of a training on a GPU the search says so, also in a saved model, where none may be."""
    expected = model.audit(images).groups
    moved = copy.deepcopy(model)
    moved[-1].neighbors_.set_params(device="meta")
    np.testing.assert_array_equal(moved.audit(images).groups, expected)


def test_declared_images_are_not_suspicious(model, images, tmp_path):
    before = model.audit(images)
    trusting = make_pipeline(*(step for _, step in model.steps)).fit(images, trusted=range(36, 40))
    trusting[-1].contamination = 0.5
    audit = trusting.audit(images)
    declared = np.arange(40) >= 36
    np.testing.assert_array_equal(audit.declared_normal, declared)
    assert audit.to_dict()["decision"] == np.where(declared, "normal", "").tolist()
    assert "suspicious" not in np.array(audit.to_dict()["label"])[declared]
    assert audit.inspection.is_anomalous[declared].any()
    assert not audit.is_suspicious[declared].any()
    assert (audit.groups[declared] == -1).all()
    assert not before.declared_normal.any()
    audit.to_html(tmp_path / "audit.html")
    text = (tmp_path / "audit.html").read_text(encoding="utf-8")
    cards = re.findall(r'<li class="card([^"]*)"[^>]*data-name="image (\d+)"([^>]*)', text)
    assert len(cards) == 40
    for classes, number, data in cards:
        assert ('data-known="normal"' in data) == declared[int(number)]
        assert ("alarm" in classes) == audit.is_suspicious[int(number)]


def test_copies_are_in_the_group_of_their_image(images):
    """An image and its copy are no group; a copy of one in a group is in it, until forgotten."""
    copied = np.concatenate([images, images[[0, 36, 37]]])
    extractor = PatchFeatureExtractor(image_size=64)
    model = make_pipeline(extractor, SoftPatchDetector(random_state=0))
    with pytest.warns(UserWarning, match="3 of 43 training images are copies"):
        model.fit(copied)
    audit = model.forget([42]).audit(copied)
    group = audit.groups[36]
    assert group >= 0
    np.testing.assert_array_equal(np.flatnonzero(audit.groups == group), [36, 37, 38, 39, 41])
    assert audit.is_suspicious[[0, 40]].all()
    np.testing.assert_array_equal(audit.groups[[0, 40]], -1)
    table = audit.to_dict()
    assert table["copy_of"] == [*[""] * 40, "image 0", "image 36", "image 37"]
    model.trust(np.flatnonzero(audit.groups == group))
    audit = model.audit(copied)
    expected = np.isin(np.arange(43), [36, 37, 38, 39, 41])
    np.testing.assert_array_equal(audit.declared_normal, expected)
    assert (audit.groups[expected] == -1).all()
