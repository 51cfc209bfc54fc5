# SPDX-License-Identifier: BSD-3-Clause
"""Tables in files and on standard output: CSV, JSON, or JSON in lines.

Imports nothing heavy, so that the help loads at once.
"""

import csv
import json
import math
import os
from functools import partial

from ..runtime.files import replacing
from ..runtime.text import cell, number

__all__ = ["FORMS", "plain_row", "rows_of", "table_form", "write_table"]

FORMS = ("csv", "json", "jsonl")


def table_form(output, form):
    """Form of a table, one of `FORMS`: that which was asked for, or by the name of its file."""
    named = os.path.splitext(output)[1][1:]
    return form or (named if named in FORMS else "csv")


def rows_of(table):
    """Rows of a table, a dict of columns, as dicts."""
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def plain_row(row):
    """Row of a table with values that JSON has."""
    return {name: _plain(value) for name, value in row.items()}


def write_table(output, form, rows, stream=None):
    """Write rows, dicts with the same keys, to a file or a stream.

    CSV files are as reports write them, with the mark of UTF-8 and without formulas; names of files
    that are no UTF-8 keep their bytes.
    """
    rows = list(map(plain_row, rows))
    write = _write_csv if form == "csv" else partial(_write_json, form)
    if stream is not None:
        write(rows, stream, "\n")
        return
    encoding = "utf-8-sig" if form == "csv" else "utf-8"
    with replacing(output, encoding=encoding, errors="surrogateescape", newline="") as file:
        write(rows, file, "\r\n" if form == "csv" else "\n")


def _write_csv(rows, file, end):
    writer = csv.writer(file, lineterminator=end)
    writer.writerow(rows[0])
    writer.writerows([cell(_csv_text(value)) for value in row.values()] for row in rows)


def _write_json(form, rows, file, end):
    lines = (end if form == "jsonl" else f",{end}").join(map(json.dumps, rows))
    file.write(f"{lines}{end}" if form == "jsonl" else f"[{lines}]{end}")


def _csv_text(value):
    if isinstance(value, list):
        return json.dumps(value)
    return "" if value is None else number(value) if isinstance(value, float) else str(value)


def _plain(value):
    """Value of a table as JSON has it: a number of as many digits as matter, None for NaN."""
    # Of numpy, which the help does not load.
    value = value.item() if hasattr(value, "dtype") else value
    if isinstance(value, float):
        return None if math.isnan(value) else float(number(value))
    return value
