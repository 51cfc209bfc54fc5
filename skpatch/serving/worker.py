# SPDX-License-Identifier: BSD-3-Clause
"""One thread that scores what requests bring, as many together as wait."""

import io
import queue
import threading
from concurrent.futures import Future
from typing import Any, NamedTuple

from ..images.collection import check_grid
from ..images.reading import read_image
from .drift import Drift
from .scoring import inspect_images

__all__ = ["Served", "Task", "Worker"]

# Requests that wait, and those that are scored together: fewer where their images are large.
_WAITING, _BATCH, _BATCH_BYTES = 64, 8, 2**28


class Served:
    """A model with its name, and the drift of what it has scored."""

    def __init__(self, name, pipeline):
        self.name, self.pipeline = name, pipeline
        self.n_images = 0
        self.drift = Drift(len(pipeline[1].calibration_scores_))


class Task(NamedTuple):
    """What a request brings.

    Attributes
    ----------
    served : Served
    content : bytes
        Of an image file.
    name : str
        Of the image.
    has_map : bool
        Whether a picture of it under its heat map is asked for.
    future : Future
        Gets the row of the table, and the PNG file or None; or ValueError or MemoryError, for an
        image that cannot be read.
    """

    served: Served
    content: bytes
    name: str
    has_map: bool
    future: Future[tuple[dict[str, Any], bytes | None]]


class Worker(threading.Thread):
    """The thread, with its queue.

    Parameters
    ----------
    on_batch : callable
        Is told of each batch: the model, and the rows of its images.
    state : StateFile or None
        Where what is known of recent images is kept.
    """

    def __init__(self, on_batch, state):
        super().__init__(name="skpatch-worker", daemon=True)
        self._queue = queue.Queue(_WAITING)
        self._on_batch, self._state = on_batch, state

    @property
    def n_waiting(self):
        """Number of requests that wait."""
        return self._queue.qsize()

    def submit(self, task):
        """Have a task done; raises queue.Full if too many wait."""
        self._queue.put_nowait(task)

    def stop(self):
        """Do what waits, and end."""
        self._queue.put(None)
        self.join()

    def run(self):
        """Score until it is stopped."""
        is_stopped = False
        while not is_stopped:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            is_stopped = None in batch
            tasks = [task for task in batch if task is not None]
            for served in dict.fromkeys(task.served for task in tasks):
                self._score([task for task in tasks if task.served is served])
            if self._state is not None:
                self._state.keep()
        if self._state is not None:
            self._state.close()

    def _score(self, tasks):
        """Score images for one model."""
        read = []
        for task in tasks:
            # Nobody waits any more for one that took too long to get here.
            if task.future.set_running_or_notify_cancel():
                read += self._read(task)
            if sum(pixels.nbytes for _, pixels in read) > _BATCH_BYTES:
                self._answer(read)
                read = []
        if read:
            self._answer(read)

    def _read(self, task):
        """The task with its pixels, in a list; none if they cannot be read."""
        extractor = task.served.pipeline[0]
        try:
            pixels = read_image(task.content, task.name, extractor.intensity_range_)
            check_grid(task.name, pixels.shape[:2], extractor.grid_size_)
        except Exception as error:
            task.future.set_exception(error)
            return []
        return [(task, pixels)]

    def _answer(self, read):
        """Score images that were read, and give the results to whom they belong."""
        served = read[0][0].served
        names = [task.name for task, _ in read]
        try:
            inspection, rows = inspect_images(
                served.pipeline, [pixels for _, pixels in read], names
            )
            for name, row in zip(names, rows, strict=True):
                served.drift.add(name, row["p_value"])
            served.n_images += len(rows)
            self._on_batch(served, rows)
            pictures = [
                _picture(inspection, index) if task.has_map else None
                for index, (task, _) in enumerate(read)
            ]
        except Exception as error:
            for task, _ in read:
                task.future.set_exception(error)
            return
        for (task, _), row, picture in zip(read, rows, pictures, strict=True):
            task.future.set_result(({**row, "drift": served.drift.state}, picture))


def _picture(inspection, index):
    """PNG file of an image under its heat map."""
    file = io.BytesIO()
    inspection.overlay(index).save(file, "PNG")
    return file.getvalue()
