# SPDX-License-Identifier: BSD-3-Clause
"""Tables of README and documentation are what their script makes of the rows of all runs."""

import importlib.util
import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "tables.py"
spec = importlib.util.spec_from_file_location("tables", SCRIPT)
tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tables)


@pytest.mark.parametrize("page", tables.PAGES)
def test_tables_are_up_to_date(page):
    text = (tables.ROOT / page).read_text(encoding="utf-8")
    assert tables.rewritten(page) == text
    assert "end of table" in text


def test_each_table_is_on_a_page():
    text = "".join((tables.ROOT / page).read_text(encoding="utf-8") for page in tables.PAGES)
    for name in tables.TABLES:
        assert f"table {name}" in text


def test_spread_is_that_of_the_seeds():
    values = {("20", "a"): 0.8, ("20", "b"): 1.0, ("21", "a"): 0.7, ("21", "b"): 0.9}
    rows = [{"seed": seed, "auroc": str(value)} for (seed, _), value in values.items()]
    assert tables.spread(rows, "auroc") == "0.850 ± 0.071"
    assert tables.spread(rows[:2], "auroc", 1) == "0.9"
    assert tables.spread([{"seed": "20", "auroc": ""}], "auroc") == ""


@pytest.mark.parametrize("name", [name for name in tables.TABLES if name != "peers"])
def test_captions_say_with_what_and_when(name):
    make, source = tables.TABLES[name]
    caption, _, _ = make(tables.read_rows(source))
    assert re.search(r"EfficientNet-Lite0, .*skpatch 0\.\S+( and 0\.\S+)?, 2026-", caption)


def test_only_runs_of_all_methods_count():
    methods = ["nothing", "LOF .15", "LOF .30", "Gaussian .15", "default", "truth"]
    about = {"dataset": "a", "noise": "0.1", "overlap": "no", "auroc": "0.5", "date": "2026-01-01"}
    rows = [
        {**about, "seed": seed, "method": method, "version": "1.0"}
        for seed in ("20", "21")
        for method in methods
    ]
    caption, header, lines = tables.robustness(rows[:-1])
    assert "EfficientNet-Lite0, 224 pixels, one scale, skpatch 1.0, 2026-01-01" in caption
    assert header[:4] == ["set", "noise", "seeds", "PatchCore"]
    assert lines == [["a", "10%", "1", *["0.500"] * 6]]
    assert tables.robustness(rows)[2][0][3] == "0.500 ± 0.000"


def test_the_summary_has_the_mean_and_the_lowest_set():
    about = {"noise": "0.1", "overlap": "no", "date": "2026-01-01", "version": "1.0", "seed": "20"}
    rows = [
        {**about, "dataset": dataset, "method": method, "auroc": auroc}
        for dataset, auroc in (("a", "0.5"), ("b", "0.8"))
        for method in tables._MODELS
    ]
    caption, _, lines = tables.summary(rows)
    assert "mean of 2 sets" in caption
    assert lines == [["10%", *["0.650 (0.500)"] * 6]]


def test_default_size_has_a_line_for_each_set():
    rows = [
        {"dataset": "a", "input": "320 x 320", "noise": noise, "seed": "20", "version": "1.0"}
        | {"date": "2026-01-01", "method": method, "auroc": auroc}
        for noise, method, auroc in (
            *(("0.0", "PatchCore", "0.9"), ("0.0", "default", "0.8")),
            *(("0.15", "PatchCore", "0.5"), ("0.15", "default", "0.7")),
        )
    ]
    _, header, lines = tables.default_size(rows)
    assert header[2:] == ["PatchCore, 0%", "skpatch, 0%", "PatchCore, 15%", "skpatch, 15%"]
    assert lines[0] == ["a", "320 x 320", "0.900", "0.800", "0.500", "0.700"]
    assert lines[1] == ["mean", "", "0.900", "0.800", "0.500", "0.700"]


def test_tools_that_were_not_measured_are_named():
    row = {
        **{"tool": "pyod", "version": "3", "packages": "20", "lines": "6", "method": "LOF"},
        **{"dataset": "a", "noise": "0.0", "seed": "20", "auroc": "0.9", "fit_seconds": "1"},
        **{"score_milliseconds": "2", "date": "2026-01-01"},
    }
    _, _, lines = tables.peers([row])
    assert lines[1] == ["pyod 3", "LOF", "0.900", "", "1.00", "2.00", "20", "6"]
    assert lines[2][:2] == ["anomalib", "not measured"]


def test_how_tables_are_written():
    table = "Of a", ["x", "y"], [["1", "2, 3"]]
    assert tables.markdown(*table) == "Of a.\n\n| x | y |\n| --- | --- |\n| 1 | 2, 3 |"
    assert tables.restructured(*table) == (
        '.. csv-table:: Of a\n    :header-rows: 1\n\n    "x", "y"\n    "1", "2, 3"'
    )
