# SPDX-License-Identifier: BSD-3-Clause
import base64
import copy
import hashlib
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.report import score_report

NASTY = [
    "<script>alert(1)</script>.png",
    "a \"quoted\" & 'b'.png",
    "Größe 見本 🔍.png",
    "\udcff.png",
]


def cards(path):
    """Attributes of the images in a report, in its order."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r'<li class="([^"]*)" ([^>]*)><button', text)
    return [
        {"class": kind, **{k: html.unescape(v) for k, v in re.findall(r'data-(\w+)="([^"]*)"', at)}}
        for kind, at in found
    ]


def pictures(path, form):
    text = path.read_text(encoding="utf-8")
    encoded = re.findall(rf'<image [^>]*href="data:image/{form};base64,([^"]*)"', text)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in encoded]


def test_audit(audit, tmp_path):
    path = tmp_path / "audit.html"
    audit.to_html(path)
    found = cards(path)
    assert [card["name"] for card in found] == [f"image {index}" for index in audit.ranking]
    assert [int(card["rank"]) for card in found] == list(range(1, 31))
    scores = [float(card["score"]) for card in found]
    expected = audit.scores[audit.ranking] / audit.inspection.model[-1].offset_
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    pvalues = [float(card["pvalue"]) for card in found]
    np.testing.assert_allclose(pvalues, audit.pvalues[audit.ranking], rtol=1e-5)
    suspicious = ["alarm" in card["class"] for card in found]
    np.testing.assert_array_equal(suspicious, audit.is_suspicious[audit.ranking])
    removed = [int(card["removed"]) for card in found]
    np.testing.assert_array_equal(removed, audit.removed.sum(axis=(1, 2))[audit.ranking])
    text = path.read_text(encoding="utf-8")
    assert f"skpatch {skpatch.__version__}" in text
    n_suspicious = audit.is_suspicious.sum()
    assert f"<h1>Audit of the training images: {n_suspicious} of 30 suspicious</h1>" in text


def test_scored_images(model, data, tmp_path):
    path, known = tmp_path / "a.html", tmp_path / "b.html"
    score_report(path, model, data.images[:6])
    found = cards(path)
    expected = model.score_samples(data.images[:6]) / model[-1].offset_
    np.testing.assert_allclose(
        [float(card["score"]) for card in found], np.sort(expected)[::-1], rtol=1e-5
    )
    pvalues = np.sort(model.predict_pvalue(data.images[:6]))
    np.testing.assert_allclose([float(card["pvalue"]) for card in found], pvalues, rtol=1e-5)
    assert "removed" not in found[0]
    patch_scores = model[-1].predict_map(model[:-1].transform(data.images[:6]))
    score_report(known, model, data.images[:6], patch_scores=patch_scores)
    assert cards(known) == found


def test_names_are_shown_as_they_are(model, data, tmp_path):
    path = tmp_path / "report.html"
    score_report(path, model, data.images[:4], names=NASTY)
    text = path.read_text(encoding="utf-8")
    shown = [name.replace("\udcff", "?") for name in NASTY]
    assert sorted(card["name"] for card in cards(path)) == sorted(shown)
    inside = re.findall('<bdi class="name" title="([^"]*)">([^<]*)</bdi>', text)
    for title, name in inside:
        assert html.unescape(title) == html.unescape(name)
    assert sorted(html.unescape(name) for _, name in inside) == sorted(shown)
    assert text.count("<script") == 1


def test_names_of_files(model, data, tmp_path):
    paths = []
    for index, name in enumerate(["a/0.png", "a/1.png", "b/0.png"]):
        paths.append(tmp_path / "photos" / name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[index]).save(paths[-1])
    report = tmp_path / "report.html"
    score_report(report, model, paths)
    names = {Path(card["name"]) for card in cards(report)}
    assert names == {Path("a/0.png"), Path("a/1.png"), Path("b/0.png")}
    assert str(tmp_path) not in report.read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(audit, tmp_path):
    path = tmp_path / "audit.html"
    audit.to_html(path)
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//\w+\.\w|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    assert all(found.startswith("data:") for found in re.findall(r'(?:src|href)="([^"]*)"', text))
    policy = re.search('Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        inside = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in html.unescape(policy)


def test_pictures_are_small(model, tmp_path):
    path = tmp_path / "report.html"
    images = np.random.RandomState(0).randint(0, 256, (2, 600, 900, 3), np.uint8)
    score_report(path, model, images, patch_scores=np.zeros((2, 8, 8)))
    assert [image.size for image in pictures(path, "jpeg")] == [(320, 213)] * 2
    assert [image.size for image in pictures(path, "png")] == [(8, 8)] * 2
    many = tmp_path / "many.html"
    patch_scores = np.ones((1001, 8, 8))
    images = np.broadcast_to(images[:1, :200, :200], (1001, 200, 200, 3))
    score_report(many, model, images, patch_scores=patch_scores)
    assert pictures(many, "jpeg")[0].size == (160, 160)


def test_heat_map_is_in_units_of_the_threshold(model, data, tmp_path):
    path = tmp_path / "report.html"
    patch_scores = np.zeros((1, 8, 8))
    patch_scores[0, 2, 3:6] = -model[-1].offset_ * np.array([1, 2, 9])
    patch_scores[0, 7, 7] = np.inf
    score_report(path, model, data.images[:1], patch_scores=patch_scores)
    (heat,) = pictures(path, "png")
    pixels = np.asarray(heat.convert("RGBA")).astype(int)
    np.testing.assert_array_equal(pixels[2, 4], pixels[2, 5])
    assert np.abs(pixels[2, 3] - pixels[2, 4]).max() > 50
    assert 90 < pixels[2, 3, 3] < 120
    assert not pixels[[0, 7], [0, 7], 3].any()


def test_outlines_are_those_of_the_regions(model, data, tmp_path):
    path = tmp_path / "report.html"
    patch_scores = np.zeros((2, 8, 8))
    patch_scores[1, 2, 3:6] = -model[-1].offset_ * np.array([1.01, 2, 9])
    patch_scores[0, 7, 7] = -model[-1].offset_
    score_report(path, model, data.images[:2], patch_scores=patch_scores)
    text = path.read_text(encoding="utf-8")
    found = re.findall(r'<g transform="([^"]*)"><g class="outline"><path[^>]* d="([^"]*)"/>', text)
    assert found == [("translate(0.0 0.0) scale(8.0 8.0)", "M3 2L6 2M3 3L6 3M3 2L3 3M6 2L6 3")]
    assert "1 place, 5 % of the image" in text


def test_verdicts_are_words(model, audit, data, tmp_path):
    path = tmp_path / "report.html"
    patch_scores = np.full((3, 8, 8), -model[-1].offset_) * [[[1.00035]], [[0.99686]], [[9]]]
    score_report(path, model, data.images[:3], patch_scores=patch_scores)
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"<b>(.*?)</b>", text) == ["9.00", "1.0004", "0.997"]
    verdicts = re.findall(r'<span class="verdict">(.*?)</span>', text)
    assert verdicts == ["anomalous", "anomalous", "normal"]
    assert "suspicious" not in text
    lowest = re.findall(r'<span class="pvalue">(.*?)</span>', text)[0]
    assert lowest == f"at most {1 / (len(model[-1].calibration_scores_) + 1):.2g}"
    audit.to_html(path)
    text = path.read_text(encoding="utf-8")
    verdicts = re.findall(r'<span class="verdict">(.*?)</span>', text)
    expected = np.where(audit.is_suspicious, "suspicious", "not suspicious")[audit.ranking]
    assert verdicts == expected.tolist()
    assert "anomalous" not in text


def test_heat_map_lies_on_the_part_that_was_cropped(data, tmp_path):
    extractor = PatchFeatureExtractor(resize=64, crop=32)
    model = make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(data.images)
    path = tmp_path / "report.html"
    score_report(path, model, data.images[:2])
    text = path.read_text(encoding="utf-8")
    assert text.count('x="16.0" y="16.0" width="32.0" height="32.0"') == 2


def test_images_without_a_score(model, data, tmp_path):
    path = tmp_path / "audit.html"
    copy.deepcopy(model).forget([5]).audit(data.images).to_html(path)
    last = cards(path)[-1]
    assert last["name"] == "image 5"
    assert last["score"] == last["pvalue"] == ""
    assert "alarm" not in last["class"]


class _Failing(list):
    def __getitem__(self, index):
        if index == 3:
            raise ValueError("image 3 is damaged")
        return super().__getitem__(index)


def test_an_error_leaves_the_old_report(model, data, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    patch_scores = np.ones((6, 8, 8))
    with pytest.raises(ValueError, match="image 3 is damaged"):
        score_report(path, model, _Failing(data.images[:6]), patch_scores=patch_scores)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_errors(model, audit, data, tmp_path):
    path = tmp_path / "report.html"
    with pytest.raises(ValueError, match=r"path='report.txt' must be the name of a .html file"):
        audit.to_html("report.txt")
    with pytest.raises(FileNotFoundError, match=r"folder .*missing.* does not exist"):
        audit.to_html(tmp_path / "missing" / "report.html")
    with pytest.raises(ValueError, match="names has 2 names, but there are 30 images"):
        audit.to_html(path, names=["a", "b"])
    with pytest.raises(ValueError, match="There are 3 images, but scores of 2"):
        score_report(path, model, data.images[:3], patch_scores=np.ones((2, 8, 8)))
    with pytest.raises(ValueError, match=r"patch_scores has shape \(3, 5\).*\(8, 8\)"):
        score_report(path, model, data.images[:3], patch_scores=np.ones((3, 5)))
    assert not path.exists()


def test_a_threshold_that_is_no_unit(model, data, monkeypatch, tmp_path):
    monkeypatch.setattr(model[-1], "calibration_scores_", np.zeros(30))
    with pytest.raises(ValueError, match="threshold of the model is 0, so no score"):
        score_report(tmp_path / "report.html", model, data.images[:2])
