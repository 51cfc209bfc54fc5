# SPDX-License-Identifier: BSD-3-Clause
"""Cells that several processes measure."""

import csv

import pytest
from PIL import Image

from skpatch.bench.run import run_bench
from skpatch.datasets import make_contaminated_images

TIMES = ("fit_seconds", "score_milliseconds")


@pytest.fixture
def folder(tmp_path):
    """Two categories, laid out as MVTec AD."""
    data = make_contaminated_images(n_normal=30, n_defective=6, image_size=64, random_state=0)
    normal, dented = (data.images[data.labels == label] for label in (0, 1))
    for category in range(2):
        names = [f"train/good/{number}.png" for number in range(10)]
        names += [f"test/good/{number}.png" for number in range(5)]
        names += [f"test/dent/{number}.png" for number in range(3)]
        of_category = [*normal[category::2], *dented[category::2]]
        for name, image in zip(names, of_category, strict=True):
            path = tmp_path / "sets" / f"set{category}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return tmp_path / "sets"


def measured(folder, table, n_jobs):
    """Rows of the CSV, without times."""
    run_bench(
        sets=[],
        folders=[str(folder)],
        noise=[0.1],
        seeds=[3],
        methods=["skpatch", "PatchCore"],
        parameters={"image_size": 64},
        output=str(table),
        cache=folder.parent / "cache",
        n_jobs=n_jobs,
    )
    with open(f"{table}.csv", newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in TIMES}
            for row in csv.DictReader(file)
        ]


@pytest.mark.slow
def test_processes_measure_the_same_in_the_same_order(folder, tmp_path, capsys):
    expected = measured(folder, tmp_path / "alone", 1)
    assert len(expected) == 8
    assert measured(folder, tmp_path / "together", 2) == expected
    # A run that was stopped goes on.
    table = tmp_path / "together.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:3]))
    capsys.readouterr()
    assert measured(folder, tmp_path / "together", 2) == expected
    assert "3/3" in capsys.readouterr().err
