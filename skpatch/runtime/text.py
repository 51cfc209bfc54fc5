# SPDX-License-Identifier: BSD-3-Clause
"""Numbers, and texts of others: nothing in them is obeyed where they are printed or opened."""

import math
import re
import shutil
import sys

__all__ = [
    "cell",
    "first_few",
    "first_line",
    "listed",
    "number",
    "pvalue_text",
    "say",
    "say_now",
    "score_text",
    "shown",
    "shown_lines",
]

# Enough for paths as they are, and for a line that names thousands of images.
_LONGEST_TEXT, _LONGEST_LINE = 1000, 100_000
# Names that a message lists.
_FEW = 3
# Controls, separators of lines, and what turns the direction of text. Other than for a terminal,
# bytes that are no text stay, and so do rare spaces and the joiners of some scripts.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# Where a field starts, also if a spreadsheet splits it at semicolons.
_FORMULA = re.compile(r"(^|;)(\s*)(?=[=+\-@＝＋－＠﹦﹢﹣﹫])")  # noqa: RUF001


def first_line(error):
    """First line of what an error says, or its type."""
    return shown(next(iter(str(error).splitlines()), type(error).__name__))


def number(value, form=".6g", missing=""):
    """Text of a number that may be NaN."""
    return missing if math.isnan(value) else format(value, form)


def score_text(score):
    """Score to show, 1 = threshold: two decimals, or as many as leave it on its side of 1."""
    if math.isnan(score):
        return "-"
    texts = (f"{score:.{digits}f}" for digits in range(2, 17))
    return next(text for text in texts if _side(float(text)) == _side(score))


def _side(score):
    return score > 1, score < 1


def pvalue_text(pvalue, n_normal):
    """p-value to show; the smallest that is possible with so many normal images is a bound."""
    if math.isnan(pvalue):
        return "-"
    # An image that is one of them is not counted twice: 1 / n, not 1 / (n + 1).
    if pvalue < 1 and round(1 / pvalue) >= n_normal:
        return f"at most {pvalue:.2g}"
    return f"{pvalue:.2g}"


def shown(text):
    """Name or other text of somebody else to print: on one line, cut in the middle if it is long.

    Line breaks, terminal codes and bytes that are no text are escaped.
    """
    return _printable(str(text), _LONGEST_TEXT)


def first_few(texts):
    """The first three names to print, and dots for others."""
    return ", ".join(map(shown, texts[:_FEW])) + (", ..." if len(texts) > _FEW else "")


def listed(texts, most=_FEW):
    """The first names to print, and how many others there are."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(map(shown, texts[:most])) + more


def shown_lines(message):
    """Message to print, of any number of lines; names in it are already on one line each."""
    return "\n".join(_printable(line, _LONGEST_LINE) for line in str(message).split("\n"))


# What stands on a line of the terminal that is not ended yet.
_unended = ""


def say(message, file=None, colour=""):
    """Print a message: the only way to the terminal. The colour is the code of one."""
    text, unended = shown_lines(message), _unended
    say_now("")
    print(f"\x1b[{colour}m{text}\x1b[m" if colour else text, file=file, flush=True)
    say_now(unended)


def say_now(text):
    """Show a line at a terminal until another takes its place, or a message comes before it."""
    global _unended
    # A line as wide as the terminal would be two.
    width = max(1, shutil.get_terminal_size().columns - 1)
    erased = f"\r{' ' * width}\r" if _unended else ""
    _unended = _printable(text, _LONGEST_TEXT)[:width]
    if erased or _unended:
        print(f"{erased}{_unended}", end="", file=sys.stderr, flush=True)


def cell(text):
    """Text for a CSV file, in which controls are escaped, and no spreadsheet sees a formula."""
    return _FORMULA.sub(r"\1'\2", _CONTROLS.sub(lambda found: _escape(found.group()), text))


def _printable(text, longest):
    if len(text) > longest:
        end = longest // 4
        text = f"{text[: longest - end]} ... {text[-end:]}"
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character):
    return character.encode("unicode_escape").decode()
