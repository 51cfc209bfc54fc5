# SPDX-License-Identifier: BSD-3-Clause
"""One table: the same columns from an audit, an inspection and the commands."""

import copy
import io
import json

import numpy as np
import pytest
from _cli import COLUMNS, read_csv

from skpatch.inspection.table import join_tables
from skpatch.inspection.table_files import rows_of, table_form, write_table


@pytest.fixture(scope="module")
def table(audit):
    return audit.to_dict()


def test_columns_of_an_audit(audit, table, model, data):
    assert list(table)[: len(COLUMNS)] == COLUMNS
    np.testing.assert_array_equal(table["score"], audit.scores / model[-1].offset_)
    assert table["score"][audit.ranking[0]] == np.max(table["score"])
    np.testing.assert_array_equal(table["rank"][audit.ranking], np.arange(1, 31))
    np.testing.assert_array_equal(table["noise_patches"], audit.n_removed)
    is_suspicious = np.array(table["label"]) == "suspicious"
    np.testing.assert_array_equal(is_suspicious, audit.is_suspicious)
    assert all(map(bool, np.array(table["regions"], object)[is_suspicious]))
    assert list(audit.inspection.to_dict()) == list(table)
    inspected = model.inspect(data.images[:3]).to_dict()
    assert list(inspected) == COLUMNS
    assert inspected["noise_patches"] == [None] * 3


def test_decisions_are_in_it(model, data):
    decided = copy.deepcopy(model).forget([0]).trust([1])
    table = decided.audit(data.images).to_dict()
    assert table["decision"][:3] == ["defect", "normal", ""]
    assert table["label"][0] == "no score"


def test_what_says_nothing_is_left_out(audit, model):
    dull = copy.copy(audit)
    dull.groups, dull.copy_of = np.full(30, -1), np.full(30, -1)
    dull.inspection = copy.copy(audit.inspection)
    dull.inspection._report = {**audit.inspection._report, "audit": dull}
    assert list(dull.to_dict()) == COLUMNS
    dull.copy_of = np.where(np.arange(30) == 4, 2, -1)
    dull.groups = np.where(np.arange(30) < 2, 0, -1)
    dull.inspection.is_unlike = np.arange(30) == 1
    found = dull.to_dict()
    assert list(found) == [*COLUMNS, "unlike", "group", "copy_of"]
    assert found["copy_of"][3:6] == ["", audit.inspection.names[2], ""]
    assert found["group"][:3] == [1, 1, None]
    assert found["unlike"][:2] == ["no", "yes"]


def test_parts_are_ranked_together(model, data):
    whole = model.inspect(data.images[:9]).to_dict()
    parts = [model.inspect(data.images[a:b]).to_dict() for a, b in ((0, 4), (4, 9))]
    parts[1]["unlike"] = ["yes"] * 5
    joined = join_tables(parts)
    assert joined.pop("unlike") == ["no"] * 4 + ["yes"] * 5
    assert joined["rank"].tolist() == whole["rank"].tolist()
    assert list(joined["score"]) == list(whole["score"])
    assert list(joined) == list(whole)


def test_forms_hold_the_same(audit, table, tmp_path):
    rows = rows_of(table)
    for form in ("csv", "json", "jsonl"):
        write_table(tmp_path / f"t.{form}", form, rows)
    as_csv = read_csv(tmp_path / "t.csv")
    as_json = json.loads((tmp_path / "t.json").read_text("utf-8"))
    lines = (tmp_path / "t.jsonl").read_text("utf-8").splitlines()
    assert as_json == list(map(json.loads, lines))
    assert len(as_json) == len(as_csv) == 30
    for row, found, expected in zip(as_csv, as_json, rows, strict=True):
        assert list(row) == list(found) == list(expected)
        assert found["score"] == pytest.approx(expected["score"], rel=1e-5)
        assert float(row["score"]) == found["score"]
        assert json.loads(row["regions"]) == found["regions"] == expected["regions"]
        assert int(row["rank"]) == found["rank"] == expected["rank"]


def test_what_is_missing_and_what_spreadsheets_would_run():
    rows = [{"image": "=1.png", "score": np.nan, "rank": np.int64(1), "noise_patches": None}]
    printed = {form: io.StringIO() for form in ("csv", "json", "jsonl")}
    for form, stream in printed.items():
        write_table("-", form, rows, stream)
    assert printed["csv"].getvalue() == "image,score,rank,noise_patches\n'=1.png,,1,\n"
    row = {"image": "=1.png", "score": None, "rank": 1, "noise_patches": None}
    assert json.loads(printed["json"].getvalue()) == [row]
    assert json.loads(printed["jsonl"].getvalue()) == row


@pytest.mark.parametrize(
    ("output", "asked", "expected"),
    [
        ("a.csv", None, "csv"),
        ("a.jsonl", None, "jsonl"),
        ("a.txt", None, "csv"),
        ("-", None, "csv"),
        ("-", "json", "json"),
        ("a.csv", "json", "json"),
    ],
)
def test_the_form_is_that_of_the_name(output, asked, expected):
    assert table_form(output, asked) == expected
