# SPDX-License-Identifier: BSD-3-Clause
"""What a terminal shows, other than a pipe: colours, narrow tables, and what happens now."""

import os
import re
import sys

import pytest
from _cli import SMALL, run

from skpatch.runtime.terminal import say_table

HEADER = ("rank", "score", "p-value", "image")
ROWS = [("1", "1.20", "0.01", "a.png"), ("2", "0.90", "0.2", "a long name.png")]


@pytest.fixture
def terminal(monkeypatch):
    """Function that makes a terminal of both outputs, of a width."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def make(columns=80):
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))

    return make


def test_a_pipe_has_no_colours_and_all_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    say_table(HEADER, ROWS, [True, False], narrow=("score", "image"))
    assert capsys.readouterr().out == (
        "rank  score  p-value  image\n"
        "   1   1.20     0.01  a.png\n"
        "   2   0.90      0.2  a long name.png\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="old terminals have no codes")
def test_a_terminal_has_colours(terminal, monkeypatch, capsys):
    terminal()
    say_table(HEADER, ROWS, [True, False], narrow=("score", "image"))
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.startswith("\x1b[1m")
    assert first.startswith("\x1b[31m")
    assert first.endswith("\x1b[m")
    assert "\x1b" not in second
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as context:
            context.setenv(name, value)
            say_table(HEADER, ROWS, [True, False], narrow=("score", "image"))
            assert "\x1b" not in capsys.readouterr().out


def test_a_narrow_terminal_has_what_matters(terminal, monkeypatch, capsys):
    terminal(40)
    monkeypatch.setenv("NO_COLOR", "1")
    say_table(HEADER, ROWS, [True, False], narrow=("score", "image"))
    assert capsys.readouterr().out.splitlines() == [
        "score  image",
        " 1.20  a.png",
        " 0.90  a long name.png",
    ]


@pytest.mark.parametrize("command", ["audit", "fit", "update", "info", "sort", "score"])
def test_help_of_a_narrow_terminal(command):
    """In a process of its own: the width is that of the start."""
    import subprocess

    printed = subprocess.run(
        [sys.executable, "-m", "skpatch", command, "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "40"},
        check=True,
    ).stdout
    beginning = printed.partition("Example")[0]
    words = re.findall(r"^ *\S.{39,}$", beginning, re.MULTILINE)
    # A choice is not broken.
    assert all(re.fullmatch(r" *--\S+ \S+", line) for line in words), words


def test_what_happens_now_is_said_at_once(photos, terminal, tmp_path, monkeypatch, capsys):
    terminal()
    monkeypatch.setattr("skpatch.cli.train.readable_images", None)
    arguments = ["audit", photos, "-o", tmp_path / "a.html", *SMALL]
    with pytest.raises(TypeError):
        run(*arguments)
    first, left = capsys.readouterr().err.split("\r", 1)
    assert first == "1/5 reading 30 images ..."
    assert left.strip() == ""
    with pytest.raises(TypeError):
        run(*arguments, "--quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("default")
def test_a_tiny_input_is_warned_of(photos, tmp_path, capsys):
    output = tmp_path / "m.skpatch"
    for size, warns in ((48, True), (64, False)):
        assert run("fit", photos, "-o", output, "--image-size", size, "--quiet") == 0
        assert ("--image-size 48 leaves 6 patches" in capsys.readouterr().err) == warns


def test_a_line_is_left_behind_by_each_stage(photos, terminal, tmp_path, capsys):
    terminal(60)
    report = tmp_path / "a.html"
    assert run("audit", photos, "-o", report, "--contamination", "0.001", *SMALL) == 0
    left = _left_behind(capsys.readouterr().err)
    stages = [re.fullmatch(r"(\d)/5 (.*) \d+ s", line) for line in left]
    assert [(found[1], found[2]) for found in stages if found] == [
        ("1", "reading 30 images"),
        ("2", "extracting features"),
        ("3", "finding noise, choosing memory patches"),
        ("4", "scoring each image without itself"),
        ("5", "writing the report"),
    ]
    # What is said in between has lines of its own.
    others = [line for line, stage in zip(left, stages, strict=True) if stage is None]
    assert {line.partition(" ")[0] for line in others} == {"Images"}


def _left_behind(text):
    """Lines of a terminal: what comes after a carriage return is written over the line."""
    return [line.rpartition("\r")[2] for line in text.split("\n")[:-1]]
