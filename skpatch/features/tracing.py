# SPDX-License-Identifier: BSD-3-Clause
"""Tracing of networks, beside which no network may run.

While torch.fx traces a network it replaces methods of all modules of the process, so a network that
another thread runs meanwhile fails. Pickle rebuilds a traced network by tracing it again.
"""

import contextlib
import os
import threading
from functools import partial

__all__ = ["running", "tracing"]


class _Turns:
    """Any number of threads may run networks at once, or a single one may trace.

    In the order in which they come, so that neither keeps the other out for ever.
    """

    def __init__(self):
        self._reset()
        if hasattr(os, "register_at_fork"):
            # The threads whose turn it was stay behind in the parent.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self):
        self._changed = threading.Condition()
        self._waiting = []
        self._n_inside, self._is_tracing = 0, False

    @contextlib.contextmanager
    def turn(self, tracing):
        """Wait for a turn, and have it inside."""
        ticket = object()

        def is_next():
            free = self._n_inside == 0 if tracing else not self._is_tracing
            return free and self._waiting[0] is ticket

        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(is_next)
                self._n_inside += 1
                self._is_tracing = tracing
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._n_inside -= 1
                self._is_tracing = False
                self._changed.notify_all()


_turns = _Turns()
running, tracing = partial(_turns.turn, False), partial(_turns.turn, True)
