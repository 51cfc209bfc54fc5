# SPDX-License-Identifier: BSD-3-Clause
"""Tracing of networks, beside which no network may run.

While torch.fx traces a network it replaces methods of all modules of the process, so a network that
another thread runs meanwhile fails. Pickle rebuilds a traced network by tracing it again.
"""

import contextlib
import os
import threading

__all__ = ["running", "tracing"]


class _Turns:
    """Any number of threads may run networks at once, or a single one may trace.

    Whoever waits to trace stands in the gate, so no other network begins to run before it.
    """

    def __init__(self):
        self._reset()
        if hasattr(os, "register_at_fork"):
            # The threads whose turn it was stay behind in the parent.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self):
        self._gate, self._changed = threading.Lock(), threading.Condition()
        self._n_running = 0

    @contextlib.contextmanager
    def running(self):
        """Run a network inside."""
        with self._gate, self._changed:
            self._n_running += 1
        try:
            yield
        finally:
            with self._changed:
                self._n_running -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def tracing(self):
        """Trace a network inside."""
        with self._gate, self._changed:
            self._changed.wait_for(lambda: self._n_running == 0)
            yield


_turns = _Turns()
running, tracing = _turns.running, _turns.tracing
