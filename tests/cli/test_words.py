# SPDX-License-Identifier: BSD-3-Clause
"""Help, report, CSV and documentation say the same of scores, verdicts and regions."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from _cli import read_csv, run

import skpatch
from skpatch.inspection.words import ANOMALOUS, PVALUE, REGION, REGION_SCORE, SCORE, SUSPICIOUS

DOCS = Path(__file__).parents[2] / "docs"


def words(text):
    """A text on one line."""
    return " ".join(text.split())


def page(path):
    return words(html.unescape(path.read_text(encoding="utf-8")))


def cards(text):
    """Name, printed score and verdict of each card of a report."""
    pattern = r'data-name="([^"]*)".*?<b>(.*?)</b>.*?<span class="verdict">(.*?)</span>'
    return {name: (score, said) for name, score, said in re.findall(pattern, text)}


@pytest.fixture(scope="module")
def scored(model, photos, tmp_path_factory):
    """Rows of the CSV, and text of the report, of one run of `score`."""
    folder = tmp_path_factory.mktemp("words")
    skpatch.save(model, folder / "m.skpatch")
    outputs = ["-o", folder / "s.csv", "--report", folder / "r.html"]
    assert run("score", folder / "m.skpatch", photos, *outputs, "--quiet") == 0
    return read_csv(folder / "s.csv"), page(folder / "r.html")


def test_score(scored, photos, capsys):
    rows, report = scored
    assert run("score", "--help") == 0
    text = words(capsys.readouterr().out)
    for sentence in (SCORE, PVALUE, REGION):
        assert sentence in text
        assert sentence in report
    assert f'"score": {REGION_SCORE}' in text
    assert SUSPICIOUS not in report
    assert {row["label"] for row in rows} == {ANOMALOUS, "normal"}
    shown = cards(report)
    for row in rows:
        score, said = shown[row["image"].removeprefix(f"{photos}/")]
        assert said == row["label"]
        assert (said == ANOMALOUS) == (float(score) > 1) == (float(row["score"]) > 1)


def test_scores_are_what_the_help_says(scored, model):
    rows, _ = scored
    inspection = model.inspect([row["image"] for row in rows])
    n_worst = model[-1].n_worst_patches_
    for index, row in enumerate(rows):
        worst = np.sort(inspection.patch_scores[index], axis=None)[::-1]
        assert float(row["score"]) == pytest.approx(worst[:n_worst].mean(), rel=1e-5)
        regions = json.loads(row["regions"])
        assert len(regions) == int(row["n_regions"])
        if regions:
            assert regions[0]["score"] == pytest.approx(worst[0], rel=1e-5)
        if row["label"] == ANOMALOUS:
            assert regions


def test_audit(audit, tmp_path, capsys):
    assert run("audit", "--help") == 0
    text = words(capsys.readouterr().out)
    audit.to_html(tmp_path / "a.html")
    report = page(tmp_path / "a.html")
    for sentence in (SCORE, PVALUE):
        assert sentence in text
        assert sentence in report
    assert f"above 1 it is {SUSPICIOUS}" in text
    assert f"above 1 an image is {SUSPICIOUS}" in report
    assert ANOMALOUS not in report


@pytest.mark.parametrize("name", ["command_line", "report"])
def test_documentation(name):
    text = words((DOCS / "guide" / f"{name}.rst").read_text(encoding="utf-8"))
    assert SCORE in text
    assert REGION in text


def test_what_is_said_of_others():
    comparison = words((DOCS / "guide" / "comparison.rst").read_text(encoding="utf-8"))
    performance = words((DOCS / "performance.rst").read_text(encoding="utf-8"))
    (factor,) = re.findall(r"anomalib's ``KCenterGreedy`` - (\d+) x", performance)
    assert f"{factor} times faster than anomalib's" in comparison
    assert "``tile_size``" in comparison
    assert "tiling" not in comparison[comparison.index("What the others have") :]
