# SPDX-License-Identifier: BSD-3-Clause
"""What commands print and write."""

import csv

from ._output import replacing

__all__ = ["shown", "write_csv"]


def shown(path):
    """Path to print: line breaks, terminal codes and bytes that are no text are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))


def write_csv(path, header, rows):
    """Write a CSV file as reports do: with the mark of UTF-8, and without formulas.

    Names of files that are no UTF-8 keep their bytes.
    """
    with (
        replacing(path) as temporary,
        open(temporary, "w", encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(map(_safe, rows))


def _safe(row):
    # A spreadsheet would run a text that starts like a formula; the apostrophe stops it.
    return [f"'{value}" if str(value).startswith(tuple("=+-@\t\r\n")) else value for value in row]
