# SPDX-License-Identifier: BSD-3-Clause
"""Numbers and paths as text."""

import math

__all__ = ["first_line", "number", "shown"]


def first_line(error):
    """First line of what an error says, or its type."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def number(value, form=".6g", missing=""):
    """Text of a number that may be NaN."""
    return missing if math.isnan(value) else format(value, form)


def shown(path):
    """Path to print: line breaks, terminal codes and bytes that are no text are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))
