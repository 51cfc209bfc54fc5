# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of work on a thread pool; threads are set at the entry point and restored.

Every block is computed by one thread, its matrix product included, so a result has the same
bits whatever the number of threads.
"""

import contextlib
import contextvars
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait

from joblib import effective_n_jobs
from tqdm import tqdm

from .memory import memory_errors
from .products import get_threads, set_threads
from .stages import resume_stage, stage_number

__all__ = [
    "execution",
    "progress",
    "run_blocks",
    "stay_single_threaded_after_fork",
    "thread_pool",
]

_n_threads = contextvars.ContextVar("skpatch_n_threads", default=None)
_verbose = contextvars.ContextVar("skpatch_verbose", default=False)
_pool = contextvars.ContextVar("skpatch_pool", default=None)
_has_bar = contextvars.ContextVar("skpatch_has_bar", default=False)


class _SingleThreadedProducts:
    """Hold products at one thread each while any block runs.

    The count of threads belongs to the whole process. Counting the users keeps two fits that
    overlap in time from restoring each other's setting.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._users = 0
        self._before = None
        self._is_forked = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self):
        self._lock = threading.Lock()
        self._users = 0
        self._is_forked = self._is_forked or "torch" in sys.modules

    def stay_after_fork(self):
        """Leave torch at one thread in a forked process.

        The threads of OpenMP stay behind in the parent, and a product on several waits for them
        forever. Called before anything that runs torch outside of blocks.
        """
        if self._is_forked:
            set_threads(1)

    def __enter__(self):
        with self._lock:
            if self._users == 0:
                self._before = get_threads()
                set_threads(1)
            self._users += 1

    def __exit__(self, *_):
        with self._lock:
            self._users -= 1
            if self._users == 0:
                set_threads(self._before)

    @property
    def available(self):
        """Number of threads that products have when no block runs."""
        with self._lock:
            return self._before if self._users else get_threads()


_single_threaded_products = _SingleThreadedProducts()
stay_single_threaded_after_fork = _single_threaded_products.stay_after_fork


@contextlib.contextmanager
def execution(n_jobs, verbose):
    """Set the number of threads and the progress bars for everything called inside.

    Parameters
    ----------
    n_jobs : int or None
        Number of threads; None for as many as torch uses, -1 for all cores.
    verbose : bool
        Whether progress bars are shown.
    """
    stay_single_threaded_after_fork()
    n_threads = _single_threaded_products.available if n_jobs is None else effective_n_jobs(n_jobs)
    with memory_errors(), _pool_of(n_threads) as pool:
        variables = {_n_threads: n_threads, _verbose: bool(verbose), _pool: pool}
        tokens = {variable: variable.set(value) for variable, value in variables.items()}
        try:
            yield
        finally:
            for variable, token in tokens.items():
                variable.reset(token)


def _pool_of(n_threads):
    """The pool of the execution around this one if it is of that size, else a new one.

    The C library keeps some memory for each thread that there is at a time.
    """
    if _pool.get() is not None and _n_threads.get() == n_threads:
        return contextlib.nullcontext(_pool.get())
    return ThreadPoolExecutor(n_threads)


@contextlib.contextmanager
def progress(total, description):
    """Progress bar on a terminal, if the caller asked for `verbose` and it is in no other.

    Its last state is left behind if it took more than a second, and is in no stage of a command.
    """
    # None disables the bar where standard error is no terminal, as in a log file.
    disable = None if _verbose.get() and not _has_bar.get() else True
    token, number = _has_bar.set(True), stage_number()
    options = {"desc": f"{number}{description}", "leave": not number, "delay": 1}
    try:
        with tqdm(total=total, disable=disable, **options) as bar:
            yield bar
    finally:
        _has_bar.reset(token)
        if number and not disable:
            resume_stage()


@contextlib.contextmanager
def thread_pool(n_jobs):
    """Pool of `n_jobs` threads, all cores for None, for work that waits for files."""
    with ThreadPoolExecutor(effective_n_jobs(-1 if n_jobs is None else n_jobs)) as pool:
        try:
            yield pool
        finally:
            # An error ends the work at once instead of after all that is still queued.
            pool.shutdown(wait=True, cancel_futures=True)


def run_blocks(function, n, block, description=None):
    """Call ``function(start, stop)`` for consecutive blocks of ``range(n)`` on the threads.

    Parameters
    ----------
    function : callable
        Writes its result in place; blocks must not overlap in what they write.
    n : int
        Number of items.
    block : int
        Items per block.
    description : str, optional
        Shown in front of a progress bar; no bar without it.
    """
    starts = range(0, n, block)
    n_threads = min(_n_threads.get() or _single_threaded_products.available, len(starts))
    shown = progress(n, description) if description else contextlib.nullcontext()

    def call(start):
        stop = min(start + block, n)
        function(start, stop)
        return stop - start

    with _single_threaded_products, shown as bar, contextlib.ExitStack() as stack:
        if n_threads <= 1:
            done = map(call, starts)
        else:
            pool = _pool.get()
            if pool is None:
                pool = stack.enter_context(ThreadPoolExecutor(n_threads))
            futures = [pool.submit(call, start) for start in starts]
            stack.callback(_end, futures)
            done = (future.result() for future in futures)
        for count in done:
            if description:
                bar.update(count)


def _end(futures):
    """Let nothing run on after an error: neither what is queued nor what has begun."""
    for future in futures:
        future.cancel()
    wait(futures)
