# SPDX-License-Identifier: BSD-3-Clause
"""The CSV and the plot of the benchmark."""

import errno
import os

import pytest
from _system import contents, largest_file

from skpatch.bench import run as _run
from skpatch.bench.report import plot_aurocs


def rows(dataset, seed=0):
    metrics = dict.fromkeys(["image_auroc", "audit_ap", "false_alarm_rate", "fit_seconds"], 0.5)
    cell = {"noise": 0.1, "true_noise": 0.1, "overlap": "no", "method": "skpatch", "seed": seed}
    return [{"dataset": dataset, **cell, **metrics}]


def test_rows_are_added(tmp_path):
    table = tmp_path / "rows.csv"
    _run._write_rows(table, b"", rows("mono", 0))
    _run._write_rows(table, table.read_bytes(), rows("mono", 1))
    found = _run._read_rows(table)
    assert [(row["dataset"], row["seed"], row["image_auroc"]) for row in found] == [
        ("mono", 0, 0.5),
        ("mono", 1, 0.5),
    ]
    assert table.read_bytes().count(b"dataset") == 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
@pytest.mark.parametrize("more", [1, 20, 300])
def test_no_room_for_another_row(more, tmp_path):
    table = tmp_path / "rows.csv"
    _run._write_rows(table, b"", rows("mono"))
    before = contents(tmp_path)
    long = [row for seed in range(10) for row in rows("mono", seed)]
    with (
        pytest.raises(OSError, match=r"rows\.csv'$") as caught,
        largest_file(len(before[table]) + more),
    ):
        _run._write_rows(table, before[table], long)
    assert caught.value.errno == errno.EFBIG
    assert contents(tmp_path) == before
    assert len(_run._read_rows(table)) == 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_no_room_for_the_plot(tmp_path):
    picture = tmp_path / "rows.png"
    picture.write_bytes(b"old")
    with pytest.raises(OSError, match=r"rows\.png'$"), largest_file(999):
        plot_aurocs(rows("mono"), picture)
    assert contents(tmp_path) == {picture: b"old"}


def test_panels_have_one_scale(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda self, *_, **__: figures.append(self)
    )
    low = [{**row, "image_auroc": 0.2} for row in rows("poly")]
    plot_aurocs(rows("mono") + low, tmp_path / "rows.png")
    panels = [ax for ax in figures[0].axes if ax.get_visible()]
    assert len({ax.get_ylim() for ax in panels}) == 1
    assert len(panels) == 2
