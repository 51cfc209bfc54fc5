# SPDX-License-Identifier: BSD-3-Clause
import threading
import time

import numpy as np
import pytest
import torch

from skpatch import SoftPatchDetector
from skpatch.runtime.threads import execution, run_blocks


@pytest.mark.parametrize("n_jobs", [1, 2, 5])
@pytest.mark.parametrize(("n", "block"), [(0, 3), (1, 3), (9, 3), (10, 3)])
def test_every_item_once(n_jobs, n, block):
    seen = np.zeros(n, int)

    def count(start, stop):
        assert stop - start <= block
        seen[start:stop] += 1

    with execution(n_jobs, verbose=False):
        run_blocks(count, n, block, "counting")
    assert (seen == 1).all()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_ends_the_run_and_restores_the_threads(n_jobs):
    before = torch.get_num_threads()
    started = []

    def fail(start, stop):
        started.append(start)
        time.sleep(0.001)
        raise RuntimeError(f"block {start}")

    with execution(n_jobs, verbose=False), pytest.raises(RuntimeError, match="block 0"):
        run_blocks(fail, 10_000, 1)
    assert len(started) < 10_000
    assert torch.get_num_threads() == before


def test_nothing_runs_on_after_an_error():
    begun = threading.Event()
    ended = []

    def work(start, stop):
        if start == 0:
            begun.wait(10)
            raise RuntimeError("block 0")
        begun.set()
        time.sleep(0.2)
        ended.append(start)

    with execution(2, verbose=False):
        with pytest.raises(RuntimeError, match="block 0"):
            run_blocks(work, 2, 1)
        assert ended == [1]


def test_the_threads_are_the_same_until_the_end():
    seen = []
    barrier = threading.Barrier(2)

    def note(start, stop):
        barrier.wait(10)
        seen.append(threading.current_thread())

    with execution(2, verbose=False):
        for _ in range(3):
            run_blocks(note, 2, 1)
    assert len(seen) == 6
    assert len(set(seen)) == 2
    assert not any(thread.is_alive() for thread in seen)


def test_torch_has_one_thread_inside():
    inside = []
    run_blocks(lambda start, stop: inside.append(torch.get_num_threads()), 2, 1)
    assert inside == [1, 1]


def test_one_model_in_eight_threads(patches):
    detector = SoftPatchDetector(random_state=0).fit(patches)
    expected = detector.score_samples(patches)
    before = torch.get_num_threads()
    results = [None] * 8

    def score(place):
        results[place] = detector.score_samples(patches)

    threads = [threading.Thread(target=score, args=[place]) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)
    assert torch.get_num_threads() == before


def test_executions_inside_one_another_share_threads():
    names = set()

    def work(start, stop):
        names.add(threading.current_thread().name)
        time.sleep(0.001)

    with execution(2, verbose=False):
        for _ in range(5):
            run_blocks(work, 20, 1)
            with execution(2, verbose=False):
                run_blocks(work, 20, 1)
    assert len(names) == 2
