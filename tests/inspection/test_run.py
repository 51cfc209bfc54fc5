# SPDX-License-Identifier: BSD-3-Clause
"""What a report says of how it came about."""

import html
import re

import numpy as np
import pytest
from PIL import Image

from skpatch.images.collection import ImageList
from skpatch.inspection.charts import HEIGHT, WIDTH, draw_curve, draw_histogram
from skpatch.inspection.run import content_digest, find_folder, relative_file
from skpatch.report import score_report


def terms(path):
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", text)
    return {term: html.unescape(said) for term, said in found}


def test_what_was_run(model, audit, tmp_path):
    audit.to_html(tmp_path / "a.html")
    told = terms(tmp_path / "a.html")
    assert told["Images"] == "30"
    assert told["Settings"] == "image_size=64, random_state=0"
    assert told["Network input"] == "64 x 64 pixels, 8 x 8 patches"
    assert told["Memory patches"] == str(len(model[-1].memory_bank_))
    assert told["Taken for noise"] == f"{100 - 100 * model[-1].kept_.mean():.2g} % of the patches"
    assert told["Threshold"].startswith(f"{-model[-1].offset_:.4g}, ")
    assert re.search(r"skpatch \S+, Python \S+, numpy \S+, torch \S+", told["Versions"])
    assert "Folder" not in told


def test_folder_and_files(model, data, tmp_path):
    paths = []
    for index, name in enumerate(["a/0.png", "b/#1 %.png"]):
        paths.append(tmp_path / "photos" / name)
        paths[-1].parent.mkdir(parents=True)
        Image.fromarray(data.images[index]).save(paths[-1])
    score_report(tmp_path / "r.html", model, paths)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert terms(tmp_path / "r.html")["Folder"] == "photos"
    assert re.search(r"<h1>Inspection of photos: \d of 2 anomalous</h1>", text)
    files = sorted(re.findall(r'data-file="([^"]*)"', text))
    assert files == ["photos/a/0.png", "photos/b/%231%20%25.png"]
    (tmp_path / "out").mkdir()
    score_report(tmp_path / "out" / "r.html", model, paths)
    assert "data-file" not in (tmp_path / "out" / "r.html").read_text(encoding="utf-8")


def test_folders_of_names(tmp_path):
    paths = [str(tmp_path / "x" / name) for name in ("a.png", "b/c.png")]
    for path in paths:
        (tmp_path / "x" / "b").mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(path)
    images = ImageList(paths)
    assert find_folder(images, ["a.png", "b/c.png"]) == str(tmp_path / "x")
    assert find_folder(images, ["x/a.png", "x/b/c.png"]) == str(tmp_path)
    assert find_folder(images, ["a.png", "c.png"]) == ""
    assert find_folder(images, ["first", "second"]) == ""
    assert find_folder(ImageList([np.zeros((4, 4))]), ["image 0"]) == ""


def test_files_are_linked_from_above(tmp_path):
    page = tmp_path / "r.html"
    assert relative_file(page, str(tmp_path / "p"), "a.png") == "p/a.png"
    assert relative_file(page, str(tmp_path.parent), "a.png") is None


def test_digests_are_of_names_and_scores():
    names, scores = ["a", "b"], np.array([1.0, np.nan])
    digest = content_digest(names, scores)
    assert digest == content_digest(names, scores + 1e-9)
    assert len({digest, content_digest(["a", "c"], scores), content_digest(names, 2 * scores)}) == 3
    assert content_digest(["\udcff"], scores)


@pytest.mark.parametrize("top", [0.3, 1.7, 9.0])
def test_bars_are_of_one_side_of_the_threshold(top):
    rng = np.random.RandomState(0)
    scores = np.r_[rng.uniform(0, top, 200), 1.0, top, np.nan]
    drawn = draw_histogram(scores)
    heights = np.array([height for *_, height, _ in drawn["bars"]])
    counts = np.rint(heights / HEIGHT * drawn["most"])
    is_above = np.array([above for *_, above in drawn["bars"]])
    assert counts[is_above].sum() == np.count_nonzero(scores > 1)
    assert counts[~is_above].sum() == np.count_nonzero(scores <= 1)
    for x, y, width, height, above in drawn["bars"]:
        assert (x + width / 2 > drawn["threshold"]) == above
        assert y + height == pytest.approx(HEIGHT, abs=0.02)
        assert 0 <= x <= x + width <= WIDTH + 0.01


def test_curve_crosses_the_threshold_where_scores_do():
    scores = np.array([0.5, 2.0, np.nan, 1.1])
    drawn = draw_curve(scores)
    points = [tuple(map(float, point.split(","))) for point in drawn["points"].split()]
    assert [x for x, _ in points] == [60, 180, 300]
    assert [y < drawn["threshold"] for _, y in points] == [True, True, False]
    assert draw_curve(np.array([np.nan]))["points"] == ""


def test_drawings_without_scores():
    assert draw_histogram(np.array([np.nan]))["bars"] == []
