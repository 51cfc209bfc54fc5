# SPDX-License-Identifier: BSD-3-Clause
"""A folder watched: each image that comes is scored once, recorded, and perhaps moved."""

import os
import shutil
import sys
import threading
import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from ..images.collection import ImageList
from ..inspection.words import ANOMALOUS
from ..runtime.files import in_words, is_full
from ..runtime.text import say, score_text, shown
from .arrivals import Arrivals, stamped
from .drift import Drift
from .record import file_key
from .scoring import inspect_images

__all__ = ["Watch"]

# Images that are scored together.
_BATCH = 8
# Looks that find a file unchanged, and no picture, before it is called broken.
_PATIENCE = 10
# Seconds between two lines of how fast it is.
_REPORT = 60
# Of every table, but for those of audits and the rank among all images.
_COLUMNS = ("image", "score", "p_value", "label", "n_regions", "regions", "unlike")


class Watch:
    """Score what comes into a folder until it is told to stop.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline.
    folder : path
    record : Record
        Where results go, and what is done already.
    move_to : path or None
        Folder for the folders of images that are done, by label.
    interval : float
        Seconds between two looks.
    quiet : bool
        Whether to print warnings only.

    Attributes
    ----------
    stopped : threading.Event
        To be set by whoever wants it to end.
    """

    def __init__(self, model, folder, record, *, move_to, interval, quiet):
        self._model, self._folder, self._record = model, folder, record
        self._move_to, self._interval, self._quiet = move_to, interval, quiet
        self._arrivals = Arrivals(folder)
        self._drift = Drift(len(model[1].calibration_scores_))
        self._drift.recall(record.recent, has_changed=False)
        self._troubles, self._past_troubles = set(), set()
        self._pace = _Pace()
        self.stopped = threading.Event()

    def run(self):
        """Look, score and wait, until it is stopped."""
        while not self.stopped.is_set():
            start = time.monotonic()
            self._past_troubles, self._troubles = self._troubles, set()
            try:
                self._step()
            except OSError as error:
                self._tell(error)
            if self._pace.is_due() and not self._quiet:
                say(self._pace.recent())
            # Of a folder so full that a look takes long, it looks less often.
            self.stopped.wait(max(self._interval, time.monotonic() - start))
        if not self._quiet:
            say(self._pace.whole())

    def _step(self):
        """Look once, and score what is complete."""
        found = self._arrivals.look()
        ready = []
        for arrival, n_looks in found.items():
            label = self._record.labels.get(file_key(arrival.name, arrival.size, arrival.modified))
            if label is not None:
                # Here it is still if the process was killed before it was moved.
                self._move(arrival, label)
            elif n_looks:
                ready.append((arrival, n_looks))
        for start in range(0, len(ready), _BATCH):
            if self.stopped.is_set():
                return
            self._inspect(ready[start : start + _BATCH])

    def _inspect(self, ready):
        """Score files that have not changed of late, and record them."""
        start = time.monotonic()
        arrivals, images, broken = [], [], []
        for arrival, n_looks in ready:
            pixels, error = self._read(arrival)
            if error is None and pixels is not None:
                arrivals.append(arrival)
                images.append(pixels)
            elif error is not None and n_looks >= _PATIENCE:
                broken.append((arrival, error))
        rows = [self._row(arrival, {"label": "unreadable"}, error) for arrival, error in broken]
        if images:
            names = [arrival.name for arrival in arrivals]
            found = inspect_images(self._model, images, names)[1]
            rows += list(map(self._row, arrivals, found))
        if rows and self._append(rows):
            self._pace.add(rows, time.monotonic() - start)
            done = [arrival for arrival, _ in broken] + arrivals
            for arrival, row in zip(done, rows, strict=True):
                self._say(row)
                self._move(arrival, row["label"])

    def _read(self, arrival):
        """Pixels of a file, or why it is no picture; neither of one that has changed or gone."""
        images = ImageList([arrival.path], self._model[0].intensity_range_)
        pixels = reason = None
        try:
            pixels = images.load(0)
            images.check_size(0, pixels.shape[:2], self._model[0].grid_size_)
        except (OSError, ValueError, TypeError, MemoryError) as error:
            reason = str(error)
        try:
            is_same = stamped(self._folder, arrival.name) == arrival
        except FileNotFoundError:
            is_same = False
        return (pixels, reason) if is_same else (None, None)

    def _row(self, arrival, found, error=None):
        """Row of the results file: the columns of a table, and what makes it a record."""
        row = {name: found.get(name) for name in _COLUMNS}
        if error is None:
            self._warn(self._drift.add(arrival.name, row["p_value"]))
        row |= {
            "image": arrival.name,
            "error": error,
            "drift": self._drift.state,
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "latency": round(self._arrivals.waited(arrival), 3),
            "size": arrival.size,
            "modified": arrival.modified,
            "moved_to": self._target(arrival, row["label"]),
        }
        return {name: value for name, value in row.items() if value is not None}

    def _warn(self, has_changed):
        if has_changed:
            say(f"Warning: {self._drift.words}", sys.stderr)

    def _append(self, rows):
        """Record rows, once the disk has room; return False if it is stopped before."""
        while True:
            try:
                self._record.append(rows)
            except OSError as error:
                if not is_full(error):
                    raise
                self._tell(OSError(error.errno, error.strerror, self._record.path))
                if self.stopped.wait(self._interval):
                    return False
            else:
                return True

    def _move(self, arrival, label):
        """Move a file that is done; nothing is overwritten."""
        # Not as recorded: the disk may have kept that waiting, and something may lie there by now.
        target = self._target(arrival, label)
        if target is None:
            return
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.move(arrival.path, target)
        except FileNotFoundError:
            # Somebody else has taken it.
            pass
        except OSError as error:
            self._tell(error)

    def _target(self, arrival, label):
        """Where a file goes once it is done, which nothing has the name of; None if it stays."""
        if self._move_to is None:
            return None
        return str(_free(Path(self._move_to, label, arrival.name)))

    def _say(self, row):
        """Tell of an image that somebody should look at."""
        if "error" in row:
            say(f"unreadable  {row['error']}", sys.stderr)
        elif row["label"] == ANOMALOUS and not self._quiet:
            say(f"anomalous   {score_text(row['score'])}  {shown(row['image'])}")

    def _tell(self, error):
        """Tell of trouble with a disk, once as long as it lasts."""
        trouble = in_words(error)
        if trouble not in self._troubles | self._past_troubles:
            say(f"Waiting: {trouble}", sys.stderr)
        self._troubles.add(trouble)


class _Pace:
    """How many images, and how fast."""

    def __init__(self):
        self._counts = Counter()
        self._begin()

    def _begin(self):
        self._began, self._seconds, self._latencies = time.monotonic(), 0.0, []

    def add(self, rows, seconds):
        """Count images that took so many seconds together."""
        self._counts.update(row["label"] for row in rows)
        self._latencies += [row["latency"] for row in rows]
        self._seconds += seconds

    def is_due(self):
        """Whether it is time to tell of it, and there is something to tell."""
        return self._latencies and time.monotonic() - self._began >= _REPORT

    def recent(self):
        """What to tell of the images since the last time."""
        n_images = len(self._latencies)
        p50, p95 = np.percentile(self._latencies, (50, 95))
        line = (
            f"{datetime.now():%H:%M:%S}  {n_images} images, {n_images / self._seconds:.1f} "
            f"images/s; seconds from arrival to result: p50 {p50:.2f}, p95 {p95:.2f}"
        )
        self._begin()
        return line

    def whole(self):
        """What to tell at the end."""
        said = ", ".join(f"{count:,} {label}" for label, count in sorted(self._counts.items()))
        total = sum(self._counts.values())
        return f"Stopped after {total:,} images{f': {said}' if said else ''}."


def _free(target):
    """That path, or the first one with a number that nothing has."""
    path, number = target, 1
    while os.path.lexists(path):
        number += 1
        path = target.with_name(f"{target.stem}-{number}{target.suffix}")
    return path
