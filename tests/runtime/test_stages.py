# SPDX-License-Identifier: BSD-3-Clause
import re
import sys

import pytest

from skpatch.runtime.stages import Stages
from skpatch.runtime.text import say


@pytest.fixture
def terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")


def test_a_message_takes_the_line_of_a_stage_which_goes_on_below(terminal, capsys):
    with Stages(2, quiet=False).begin("looking at everything"):
        assert capsys.readouterr().err == "1/2 looking at ever"
        say("Warning: two\nlines", sys.stderr)
        erased = f"\r{' ' * 19}\r"
        assert capsys.readouterr().err == f"{erased}Warning: two\nlines\n1/2 looking at ever"
    assert re.fullmatch(rf"{erased}1/2 looking at everything \d+ s\n", capsys.readouterr().err)


def test_an_error_leaves_no_line(terminal, capsys):
    with pytest.raises(KeyError), Stages(2, quiet=False).begin("learning"):
        raise KeyError
    assert capsys.readouterr().err.rpartition("\r")[2] == ""


@pytest.mark.parametrize("is_terminal", [False, True])
def test_silence(terminal, capsys, monkeypatch, is_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with Stages(1, quiet=is_terminal).begin("learning"):
        pass
    assert capsys.readouterr().err == ""
