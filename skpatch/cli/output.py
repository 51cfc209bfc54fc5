# SPDX-License-Identifier: BSD-3-Clause
"""What commands print and write."""

import csv

from ..runtime.files import replacing

__all__ = ["write_csv"]


def write_csv(path, header, rows):
    """Write a CSV file as reports do: with the mark of UTF-8, and without formulas.

    Names of files that are no UTF-8 keep their bytes.
    """
    text = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    with replacing(path, **text) as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(map(_safe, rows))


def _safe(row):
    # A spreadsheet would run a text that starts like a formula; the apostrophe stops it.
    return [f"'{value}" if str(value).startswith(tuple("=+-@\t\r\n")) else value for value in row]
