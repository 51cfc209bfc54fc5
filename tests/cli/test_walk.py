# SPDX-License-Identifier: BSD-3-Clause
"""From a dirty folder to a corrected model, as a user goes: with photographs of solar cells."""

import json
import re
import shutil

import numpy as np
import pytest
from _cli import COLUMNS, SMALL, read_csv, run

import skpatch
from skpatch.datasets import load_elpv

OPTIONS = [*SMALL, "--quiet"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Folder of 24 cells in two subfolders, 4 of them defective (D), and one of 4 new ones."""
    pytest.importorskip("elpv_dataset")
    data = load_elpv(kind="mono")
    paths = np.array(data.images)
    normal, defective = paths[~data.is_defective], paths[data.is_defective]
    root = tmp_path_factory.mktemp("walk")
    for folder, chosen in (
        ("photos", [*normal[:20], *defective[:4]]),
        ("new", [*normal[20:23], defective[4]]),
    ):
        for index, path in enumerate(chosen):
            kind = "D" if path in defective else "n"
            place = root / folder / f"module{index % 2}" / f"cell{index:02d}{kind}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    return root


def info(model, capsys):
    assert run("info", model) == 0
    return dict(
        re.split(r"  +", line, maxsplit=1)
        for line in capsys.readouterr().out.splitlines()
        if "  " in line
    )


# Of so few images.
@pytest.mark.filterwarnings("ignore:.* training images")
def test_walk(cells, open_page, monkeypatch, capsys):
    monkeypatch.chdir(cells)
    # 1. Which are suspicious? Under the folder's name, with the ranking as a table.
    assert run("audit", "photos", "--csv", "ranking.csv", *OPTIONS) == 0
    assert (cells / "photos-audit.html").exists()
    ranking = read_csv("ranking.csv")
    assert list(ranking[0])[: len(COLUMNS)] == COLUMNS
    # 2. Looked at in a browser, marked, and saved.
    defects = sorted(row["image"] for row in ranking if "D" in row["image"])
    normal = next(row["image"] for row in ranking if "D" not in row["image"])
    wanted = {**dict.fromkeys(defects[:3], "defect"), normal: "normal", defects[3]: "unsure"}
    wanted = {name.removeprefix("photos/"): decision for name, decision in wanted.items()}
    page = open_page((cells / "photos-audit.html").as_uri())
    for name, decision in wanted.items():
        card = page.locator(f".card[data-name='{name}']")
        card.get_by_role("button", name=decision, exact=True).click()
    page.reload()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save decisions").click()
    download.value.save_as("decisions.csv")
    saved = {row["image"]: row["decision"] for row in read_csv("decisions.csv")}
    assert saved == wanted
    # 3. A model without the defects.
    assert run("fit", "photos", "--decisions", "decisions.csv", "-o", "line.skpatch", *OPTIONS) == 0
    model = skpatch.load("line.skpatch")
    assert len(model.image_names_) == 21
    assert not {name.removeprefix("photos/") for name in defects[:3]} & set(model.image_names_)
    declared = np.flatnonzero(model[-1].declared_normal_)
    assert [f"photos/{model.image_names_[i]}" for i in declared] == [normal]
    # 4. The last one was a defect after all; new images, one of them defective, are added.
    shutil.move("photos", "archive")
    text = f"image;decision\n{defects[3]};defect\nnew/module1/cell03D.png;DEFECT\ncell02n.png;\n"
    (cells / "more.csv").write_text(text)
    arguments = ["--decisions", "more.csv", "--add", "new", "-o", "line2.skpatch", "--quiet"]
    assert run("update", "line.skpatch", *arguments) == 0
    updated = skpatch.load("line2.skpatch")
    assert updated.image_names_[21:] == [f"new/module{i % 2}/cell0{i}n.png" for i in (0, 2, 1)]
    forgotten = np.flatnonzero(updated[-1].forgotten_images_)
    assert [updated.image_names_[i] for i in forgotten] == [defects[3].removeprefix("photos/")]
    # 5. Other images, as lines for the next program.
    capsys.readouterr()
    assert run("score", "line2.skpatch", "new", "-o", "-", "--format", "jsonl") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert sorted(row["rank"] for row in rows) == [1, 2, 3, 4]
    worst = min(rows, key=lambda row: row["rank"])
    assert worst["image"] == "new/module1/cell03D.png"
    assert worst["label"] == "anomalous"
    # 6. What was it learned from?
    found = info("line2.skpatch", capsys)
    assert found["images"].startswith("23 of photos, ")
    *left_out, name = (path.removeprefix("photos/") for path in defects)
    assert found["left out"] == f"4: {', '.join(left_out)}, new/module1/cell03D.png"
    assert found["forgotten"] == f"1: {name}"
    assert found["trusted"] == f"1: {normal.removeprefix('photos/')}"
    # 7. And the photographs are sorted.
    shutil.move("archive", "photos")
    assert run("sort", "photos", "--decisions", "decisions.csv", "--to", "sorted") == 0
    assert len(list((cells / "sorted" / "defect").rglob("*.png"))) == 3
    assert len(list((cells / "photos").rglob("*.png"))) == 24
