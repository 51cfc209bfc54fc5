# SPDX-License-Identifier: BSD-3-Clause
"""Warnings, and what speaks against a result, reach the terminal, the CSV and the report."""

import html

import numpy as np
import pytest
from _cli import SMALL, read_csv, run
from PIL import Image

import skpatch
from skpatch.inspection.words import ANOMALOUS, SUSPICIOUS, summary

# Here they are told, as on the command line.
pytestmark = pytest.mark.filterwarnings("default")


def page(path):
    return html.unescape(path.read_text(encoding="utf-8"))


def put(folder, images):
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{folder.name}{index}.png")
    return folder


@pytest.fixture(scope="module")
def textures():
    """Photographs of two products, 160 pixels wide: 400 patches each."""
    random_state = np.random.RandomState(0)
    stripes = 128 + 60 * np.sin(np.arange(160) / 4)[:, np.newaxis] + np.zeros(160)
    noise = random_state.normal(scale=8, size=(24, 160, 160))
    checks = 255 * (np.indices((160, 160)).sum(axis=0) // 10 % 2)
    first, second = np.clip(stripes + noise[:12], 0, 255), np.clip(checks + noise[12:], 0, 255)
    return first.astype(np.uint8), second.astype(np.uint8)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((2, 1, SUSPICIOUS), "2 images are too few to tell which of them are suspicious."),
        ((100, 12, SUSPICIOUS), "12 of 100 images are suspicious (score above 1)."),
        ((1200, 12, ANOMALOUS), "12 of 1,200 images are anomalous (score above 1)."),
        ((2, 2, ANOMALOUS), "2 of 2 images are anomalous (score above 1)."),
    ],
)
def test_summaries(counts, expected):
    assert summary(*counts) == expected


def test_doubtful_summaries():
    assert "several kinds of normal, or a very dirty set: see " in summary(100, 21, SUSPICIOUS)
    assert "another product, camera or light" in summary(14, 14, ANOMALOUS)


def test_two_images(textures, tmp_path, capsys):
    folder, report = put(tmp_path / "photos", textures[0][:2]), tmp_path / "a.html"
    assert run("audit", folder, "-o", report, *SMALL) == 0
    printed = capsys.readouterr()
    assert "2 images are too few to tell which of them are suspicious." in printed.out
    assert "of 2 images are suspicious" not in printed.out
    assert "too few to tell" in page(report)
    assert "<dt>suspicious</dt>" not in page(report)
    warning = printed.err.splitlines()[-1].removeprefix("Warning: ")
    assert warning.startswith("The threshold was learned from 2 training images")
    assert warning in page(report)


def test_another_product(textures, tmp_path, capsys):
    model = skpatch.make_pipeline(
        skpatch.PatchFeatureExtractor(image_size=160), skpatch.SoftPatchDetector(random_state=0)
    ).fit(textures[0])
    skpatch.save(model, tmp_path / "m.skpatch")
    folder = put(tmp_path / "new", textures[1][:5])
    outputs = ["-o", tmp_path / "s.csv", "--report", tmp_path / "r.html"]
    assert run("score", tmp_path / "m.skpatch", folder, *outputs) == 0
    printed, report = capsys.readouterr(), page(tmp_path / "r.html")
    sentence = summary(5, 5, ANOMALOUS)
    assert sentence in printed.out
    assert sentence in report
    assert "Warning: 5 of 5 images are unlike everything" in printed.err
    assert "5 of 5 images are unlike everything that the model has learned: " in report
    assert {row["unlike"] for row in read_csv(tmp_path / "s.csv")} == {"yes"}


def test_two_products_and_copies_in_one_folder(textures, tmp_path, capsys):
    first, second = textures
    folder, report = put(tmp_path / "photos", [*first, *second[:5], first[0]]), tmp_path / "a.html"
    outputs = ["-o", report, "--csv", tmp_path / "r.csv"]
    assert run("audit", folder, *outputs, "--image-size", 160) == 0
    printed = capsys.readouterr()
    apart = "training images that were compared are like each other and unlike the rest"
    for text in (printed.err, page(report)):
        assert apart in text
        assert "copies of others" in text or "a copy of" in text
    rows = {row["image"]: row for row in read_csv(tmp_path / "r.csv")}
    copied = [row["copy_of"] for row in rows.values() if row["copy_of"]]
    assert copied == [str(folder / "photos0.png")]
