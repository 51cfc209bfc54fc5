# SPDX-License-Identifier: BSD-3-Clause
"""Tables on a terminal: as wide as it is, and in colour where that is wanted."""

import os
import shutil
import sys

from .text import say

__all__ = ["say_table"]

# Columns of a terminal below which a table has only what matters.
_NARROW = 60
_BOLD, _RED = "1", "31"


def say_table(header, rows, alarms, narrow):
    """Print rows of texts under headings.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequence of str
        The last text is aligned to the left, the others to the right.
    alarms : sequence of bool
        Rows to print in colour.
    narrow : sequence of str
        Headings of the columns that a narrow terminal has space for.
    """
    if not rows:
        return
    is_terminal = sys.stdout.isatty()
    kept = range(len(header))
    if is_terminal and shutil.get_terminal_size().columns < _NARROW:
        kept = [index for index in kept if header[index] in narrow]
    lines = [[row[index] for index in kept] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    colours = [_BOLD, *(_RED if is_alarm else "" for is_alarm in alarms)]
    for line, colour in zip(lines, colours, strict=True):
        cells = [text.rjust(width) for text, width in zip(line[:-1], widths, strict=False)]
        say("  ".join([*cells, line[-1]]), colour=colour if is_terminal and _has_colours() else "")


def _has_colours():
    """Whether a terminal obeys codes for colours, and its user wants them."""
    is_old = os.name == "nt" and "WT_SESSION" not in os.environ
    return not (is_old or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb")
