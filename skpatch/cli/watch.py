# SPDX-License-Identifier: BSD-3-Clause
"""The command that scores images as they come into a folder."""

import os
import signal
from contextlib import closing, contextmanager

from ..runtime.files import check_output
from ..runtime.text import say, shown
from .loading import load_pipeline

__all__ = ["run_watch"]


def run_watch(*, model, folder, output, move_to, interval, quiet, jobs, **options):
    """Score what comes into a folder; return the signal that has ended it."""
    os.stat(model)
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{str(folder)!r} is no folder to watch.")
    check_output(output, ".jsonl", "--output")
    _check_target(move_to, folder)
    from ..serving.record import Record
    from ..serving.scoring import warm_up
    from ..serving.watching import Watch

    with closing(Record(output)) as record:
        n_done = len(record.labels)
        pipeline = load_pipeline(model, jobs=jobs, **options)
        warm_up(pipeline)
        watch = Watch(pipeline, folder, record, move_to=move_to, interval=interval, quiet=quiet)
        with _signals(watch.stopped) as received:
            if not quiet:
                known = f", {n_done:,} images of which are in it already" if n_done else ""
                say(f"Watching {shown(folder)}, to {shown(output)}{known}. Ctrl-C ends it.")
            watch.run()
    return received[0]


def _check_target(move_to, folder):
    """Raise if images would be moved to where they are found again."""
    if move_to is None:
        return
    inside, around = os.path.realpath(move_to), os.path.realpath(folder)
    if os.path.commonpath([inside, around]) == around:
        raise ValueError(
            f"--move-to={str(move_to)!r} lies in the folder that is watched, where its images "
            "would be found again; give a folder beside it."
        )


@contextmanager
def _signals(stopped):
    """Have Ctrl-C and a request to end set an event; a second one ends at once."""
    received, before = [], {}

    def stop(number, _):
        received.append(number)
        stopped.set()
        for one, handler in before.items():
            signal.signal(one, handler)

    for one in (signal.SIGINT, signal.SIGTERM):
        before[one] = signal.signal(one, stop)
    try:
        yield received
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
