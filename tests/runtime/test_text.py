# SPDX-License-Identifier: BSD-3-Clause
"""Texts of others, printed and in CSV files."""

import re
from pathlib import Path

import numpy as np
import pytest

import skpatch
from skpatch.runtime.text import cell, pvalue_text, say, score_text, shown, shown_lines

# Clears the screen; sets a title; ends a line; is of the 8-bit controls; turns text; no text.
HOSTILE = ["\x1b[2J", "\x1b]0;title\x07", "a\r\nOK", "\x9b2J", "\u202egnp.exe", "\u2028", "\udcff"]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_obeyed(text, capsys):
    assert shown(text).isprintable()
    say(f"{text}\nsecond")
    first, second, end = capsys.readouterr().out.rsplit("\n", 2)
    assert all(line.isprintable() for line in first.split("\n"))
    assert (second, end) == ("second", "")


def test_plain_text_stays():
    text = "Größe 見本 🔍, a\\b 'c'.png"
    assert shown(text) == shown_lines(text) == cell(text) == text


def test_long_texts_are_cut_in_the_middle():
    text = "start" + "x" * 30_000_000 + "end"
    assert len(shown(text)) < 1100
    assert len(shown(text * 2 + "\x1b")) < 1100
    assert len(shown_lines(f"{text}\n{text}")) < 300_000
    assert re.fullmatch(r"startx+ \.\.\. x+end", shown(text))
    path = "folder/" * 100 + "image.png"
    assert shown(path) == path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("-1.png", "'-1.png"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\t=1", r"\t=1"),
        ("\n=1", r"\n=1"),
        ("a;=1;+2", "a;'=1;'+2"),
        ("a; =1", "a;' =1"),
        ("＝1+1", "'＝1+1"),  # noqa: RUF001
        ("a;＠SUM(1)", "a;'＠SUM(1)"),  # noqa: RUF001
        ("\u202e=1", r"\u202e=1"),
        ("\x1b[2J.png", r"\x1b[2J.png"),
        ("\x85a\u2066b\u200f", r"\x85a\u2066b\u200f"),
        ("a=b;c-d.png", "a=b;c-d.png"),
        ("\udcff\u3000.png", "\udcff\u3000.png"),
    ],
)
def test_cells_of_tables(text, expected):
    assert cell(text) == expected


def test_there_is_one_way_to_the_terminal():
    house = Path(skpatch.__file__).parent
    prints = re.compile(r"(?<!>>> )(?<!\.\.\. {5})\b(?:print|click\.s?echo|stdout\.write)\(")
    printing = [
        str(path.relative_to(house))
        for path in house.rglob("*.py")
        if prints.search(path.read_text(encoding="utf-8"))
    ]
    assert printing == ["runtime/text.py"]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (1.00035, "1.0004"),
        (0.99686, "0.997"),
        (1, "1.00"),
        (np.nextafter(1, 2), "1.0000000000000002"),
        (np.nextafter(1, 0), "0.9999999999999999"),
        (0.994, "0.99"),
        (1.006, "1.01"),
        (12.3456, "12.35"),
        (0, "0.00"),
        (np.inf, "inf"),
        (np.nan, "-"),
    ],
)
def test_scores_stay_on_their_side_of_the_threshold(score, expected):
    assert score_text(score) == expected


@pytest.mark.parametrize(
    ("pvalue", "n_normal", "expected"),
    [
        (1 / 124, 123, "at most 0.0081"),
        # Of a training image, which is one of them.
        (1 / 123, 123, "at most 0.0081"),
        (2 / 124, 123, "0.016"),
        (1 / 2, 1, "at most 0.5"),
        (1.0, 0, "1"),
        (1.0, 1, "1"),
        (np.nan, 123, "-"),
    ],
)
def test_the_smallest_pvalue_is_a_bound(pvalue, n_normal, expected):
    assert pvalue_text(pvalue, n_normal) == expected
