# SPDX-License-Identifier: BSD-3-Clause
"""What commands print and write."""

import csv

from ..runtime.files import replacing
from ..runtime.text import cell

__all__ = ["write_csv"]


def write_csv(path, header, rows):
    """Write a CSV file as reports do: with the mark of UTF-8, and without formulas.

    Names of files that are no UTF-8 keep their bytes.
    """
    text = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    with replacing(path, **text) as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([cell(str(value)) for value in row] for row in rows)
