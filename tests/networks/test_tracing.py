# SPDX-License-Identifier: BSD-3-Clause
"""Networks that run, and networks that are traced, which no other may run beside."""

import threading
from concurrent.futures import ThreadPoolExecutor

from skpatch.networks.tracing import running, tracing


def test_a_network_is_traced_alone():
    inside, found = {"running": 0, "tracing": 0}, []
    lock, pause = threading.Lock(), threading.Event()

    def turn(index):
        kind, context = ("tracing", tracing) if index % 3 == 0 else ("running", running)
        with context():
            with lock:
                inside[kind] += 1
                found.append({**inside})
            pause.wait(0.001)
            with lock:
                inside[kind] -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(turn, range(60)))
    assert len(found) == 60
    assert all(one["tracing"] == 0 or one == {"running": 0, "tracing": 1} for one in found)
    assert max(one["running"] for one in found) > 1


def test_whoever_waits_to_trace_comes_before_later_networks():
    order, is_waiting = [], threading.Event()

    def trace():
        is_waiting.set()
        with tracing():
            order.append("traced")

    def run():
        with running():
            order.append("run")

    threads = [threading.Thread(target=trace), threading.Thread(target=run)]
    with running():
        threads[0].start()
        is_waiting.wait()
        # Until it stands in the gate.
        threads[0].join(0.05)
        threads[1].start()
        threads[1].join(0.05)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == ["traced", "run"]
