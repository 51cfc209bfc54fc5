# SPDX-License-Identifier: BSD-3-Clause
"""Worst places of suspicious images, and the normal places that are most like them."""

import base64
import copy
import io
import re
import warnings

import numpy as np
import pytest
from PIL import Image

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.detector.estimator import fitted_state
from skpatch.inspection.places import cut, find_normal_places, patch_box, side_of, worst_patch
from skpatch.report import score_report


def test_normal_places_are_the_nearest_of_others(model, audit, data):
    numbers = np.flatnonzero(audit.is_suspicious)
    found = find_normal_places(fitted_state(model[-1]), numbers, "cpu")
    features = model[:-1].transform(data.images)
    others = ~np.isin(model[-1].memory_source_[:, 0], numbers)
    bank, source = model[-1].memory_bank_[others], model[-1].memory_source_[others]
    assert len(numbers) == len(found) == 3
    for number, place in zip(numbers, found, strict=True):
        row, column = worst_patch(audit.inspection.patch_scores[number])
        gaps = np.linalg.norm(bank - features[number, row, column], axis=1)
        assert gaps.min() == pytest.approx(
            np.linalg.norm(features[tuple(place)] - features[number, row, column]), rel=1e-4
        )
        np.testing.assert_array_equal(place, source[gaps.argmin()])


def test_no_normal_place_is_left(model):
    state = fitted_state(model[-1])
    assert find_normal_places(state, np.arange(30), "cpu").tolist() == [[-1] * 3] * 30
    assert find_normal_places(state, np.array([], int), "cpu").shape == (0, 3)


def test_forgotten_images_are_no_normal_places(model, audit):
    numbers = np.flatnonzero(audit.is_suspicious)
    first = find_normal_places(fitted_state(model[-1]), numbers, "cpu")[0, 0]
    left = copy.deepcopy(model).forget([int(first)])
    assert first not in find_normal_places(fitted_state(left[-1]), numbers, "cpu")[:, 0]


def test_squares_lie_within_the_image():
    pixels = np.arange(300 * 200).reshape(300, 200, 1)
    box = patch_box((0, 9), (10, 10), (0, 0, 300, 200))
    assert box == (180, 0, 200, 30)
    middle = patch_box((2, 2), (5, 5), (0, 0, 300, 200))
    for around, side, top, left in [(box, 128, 0, 72), (middle, 128, 86, 36), (box, 250, 0, 0)]:
        inside, corner = cut(pixels, around, side)
        assert corner == (top, left)
        np.testing.assert_array_equal(inside, pixels[top : top + side, left : left + side])


def decoded(picture):
    """A picture of a report, which has it as base64."""
    return Image.open(io.BytesIO(base64.b64decode(picture)))


def test_squares_are_as_large_as_the_worst_region():
    scores = np.zeros((10, 10))
    scores[4, 4:6] = 2
    assert side_of(scores, (0, 0, 1000, 1000)) == 384
    assert side_of(scores, (0, 0, 800, 800)) == 320
    assert side_of(0 * scores, (0, 0, 1000, 1000)) == 128


def test_squares_are_parts_of_small_images(model, tmp_path):
    assert side_of(np.full((10, 10), 2), (0, 0, 90, 64)) == side_of(0, (0, 0, 64, 64)) == 21
    images = np.full((1, 64, 64, 3), 128, np.uint8)
    images[0, 24:32, 40:48] = [0, 0, 255]
    patch_scores = np.zeros((1, 8, 8))
    patch_scores[0, 3, 5] = -3 * model[-1].offset_
    score_report(tmp_path / "report.html", model, images, patch_scores=patch_scores)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    (found,) = re.findall(r'src="data:image/jpeg;base64,([^"]*)" alt=""><figcaption>Worst', text)
    place = np.asarray(decoded(found))
    # 21 pixels, seven times as large; the defect has a seventh of them.
    assert place.shape == (147, 147, 3)
    is_blue = (place[..., 2] > 180) & (place[..., 0] < 64)
    assert is_blue.mean() == pytest.approx((8 / 21) ** 2, abs=0.05)


def test_worst_places_of_the_report_have_the_pixels_of_the_camera(model, tmp_path):
    images = np.full((2, 900, 700, 3), 128, np.uint8)
    images[1, 490:515, 380:405] = [255, 0, 0]
    patch_scores = np.zeros((2, 8, 8))
    patch_scores[1, 4, 4] = -2 * model[-1].offset_
    score_report(tmp_path / "r.html", model, images, patch_scores=patch_scores)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    (inside,) = re.findall(r"<template>(.*?)</template>", text)
    large, place = map(decoded, re.findall(r'base64,([^"]*)"', inside))
    assert large.size == (498, 640)
    region_height = 900 / 8
    assert place.size == (round(2 * np.ceil(region_height)),) * 2
    # Not the outline, which is dark red.
    is_red = (np.asarray(place)[..., 0] > 180) & (np.asarray(place)[..., 1] < 64)
    assert is_red.sum() == pytest.approx(25 * 25, rel=0.1)


def test_normal_places_are_in_the_report_of_an_audit(audit, tmp_path):
    audit.to_html(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    found = re.findall(r"Most similar normal place: <bdi>image (\d+), row \d+, column \d+", text)
    assert len(found) == audit.is_suspicious.sum()
    assert not audit.is_suspicious[list(map(int, found))].any()


def test_normal_places_of_new_images_are_in_the_files_that_were_learned(data, tmp_path):
    paths = []
    for index, image in enumerate(data.images[~data.labels.astype(bool)]):
        paths.append(tmp_path / "learned" / f"{index}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(paths[-1])
    extractor = PatchFeatureExtractor(image_size=64)
    model = make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(list(map(str, paths)))
    defective = data.images[data.labels == 1][:1]
    inspection = model.inspect(defective)
    row, column = worst_patch(inspection.patch_scores[0])
    place = inspection.matches(0)[row, column]
    name = f"{place[0]}.png, row {place[1]}, column {place[2]}"

    def shown():
        score_report(tmp_path / "r.html", model, defective)
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        return re.search(r"(<img [^>]*>)?<figcaption>Most similar normal place: <bdi>(.*?)<", text)

    assert shown()[1]
    assert shown()[2] == name
    learned = paths[place[0]]
    # Another picture of that name, a broken one, and none.
    for content in [Image.fromarray(defective[0]), b"nothing", None]:
        if content is None:
            learned.unlink()
        elif isinstance(content, bytes):
            learned.write_bytes(content)
        else:
            content.save(learned)
        assert not shown()[1]
        assert shown()[2] == name


def test_copies_are_as_large_as_asked_for(model, tmp_path):
    images = np.full((2, 900, 700, 3), 128, np.uint8)
    patch_scores = np.zeros((2, 8, 8))
    patch_scores[1, 4, 4] = -2 * model[-1].offset_
    for size, expected in [(None, (249, 320)), (700, (544, 700))]:
        path = tmp_path / "r.html"
        score_report(path, model, images, patch_scores=patch_scores, image_size=size)
        text = path.read_text(encoding="utf-8")
        copies = re.findall(r'<noscript><svg [^>]*><image href="[^"]*base64,([^"]*)"', text)
        sizes = [decoded(copy).size for copy in copies]
        assert sizes == [expected] * 2
        # A copy that is not smaller than the larger picture takes its place.
        assert ("<template><svg>" in text) == (size is None)


def test_what_was_told_of_images_is_not_told_again(model, data, tmp_path):
    pages = [Image.fromarray(data.images[data.labels == 1][0])] * 2
    path = tmp_path / "a.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match="1 more"):
        inspection = model.inspect([path])
    assert inspection.is_anomalous.all()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        inspection.to_html(tmp_path / "r.html")
    assert told == []
    assert "Most similar normal place" in (tmp_path / "r.html").read_text(encoding="utf-8")
