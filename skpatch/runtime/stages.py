# SPDX-License-Identifier: BSD-3-Clause
"""Numbered stages of a command, for whoever waits at a terminal: a line is left behind by each."""

import sys
import time
from contextlib import contextmanager

from .text import say, say_now

__all__ = ["Stages", "resume_stage", "stage_number"]

# Number and line of the stage that is on: of the whole process, as a terminal is.
_open: list[tuple[str, str]] = []


class Stages:
    """What happens now, and how long it took once it is done.

    Parameters
    ----------
    n_stages : int
    quiet : bool
        Whether nothing is shown; nor is it where standard error is no terminal.
    """

    def __init__(self, n_stages, quiet):
        self._n_stages = n_stages
        self._is_shown = not quiet and sys.stderr.isatty()
        self._number = 0

    @contextmanager
    def begin(self, what):
        """Show that the next stage is on; if it is done, how many seconds it took."""
        self._number += 1
        if not self._is_shown:
            yield
            return
        number, start = f"{self._number}/{self._n_stages} ", time.monotonic()
        _open.append((number, f"{number}{what} ..."))
        resume_stage()
        try:
            yield
        finally:
            _open.pop()
            say_now("")
        say(f"{number}{what} {time.monotonic() - start:.0f} s", sys.stderr)


def stage_number():
    """Number of the stage that is on, to put before the name of a progress bar; "" for none."""
    return _open[-1][0] if _open else ""


def resume_stage():
    """Show the stage that is on, if one is, in place of its progress bar."""
    if _open:
        say_now(_open[-1][1])
