# SPDX-License-Identifier: BSD-3-Clause
import re
import sys

import pytest

from skpatch.runtime.stages import Stages
from skpatch.runtime.text import say


@pytest.fixture
def terminal(monkeypatch):
    """Function that makes a narrow terminal of standard error."""

    def make():
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "20")

    return make


def test_a_message_takes_the_line_of_a_stage_which_goes_on_below(terminal, capsys):
    terminal()
    with Stages(2, quiet=False).begin("looking at everything"):
        assert capsys.readouterr().err == "1/2 looking at ever"
        say("Warning: two\nlines", sys.stderr)
        erased = f"\r{' ' * 19}\r"
        assert capsys.readouterr().err == f"{erased}Warning: two\nlines\n1/2 looking at ever"
    assert re.fullmatch(rf"{erased}1/2 looking at everything \d+ s\n", capsys.readouterr().err)


def test_an_error_leaves_no_line(terminal, capsys):
    terminal()
    with pytest.raises(KeyError), Stages(2, quiet=False).begin("learning"):
        raise KeyError
    assert capsys.readouterr().err.rpartition("\r")[2] == ""


def test_silence(terminal, capsys):
    with Stages(1, quiet=False).begin("learning"):
        pass
    terminal()
    with Stages(1, quiet=True).begin("learning"):
        pass
    assert capsys.readouterr().err == ""
