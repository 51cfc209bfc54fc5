# SPDX-License-Identifier: BSD-3-Clause
"""What a server of a saved model can take: requests a second, memory, and bad bodies.

    python benchmarks/serve.py
    python benchmarks/serve.py --requests 100 --steady 1000 --bodies 500 --image-size 64

Solar cells are sent to `skpatch serve` in a process of its own: by 1, 4 and 16 clients at a time;
then many, while its memory is looked at; then bodies that are no images, or damaged ones, all of
which must be answered by 4xx, or 200 where the damage leaves a picture. Clients and server share
the processor.
"""

import argparse
import collections
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from _common import split_cells

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline, save

HEADERS = [
    {},
    {"content-type": "multipart/form-data; boundary=b"},
    {"content-type": "multipart/form-data"},
    {"content-type": "application/json"},
]


def post(client, body, headers=None, query=""):
    """Seconds and status of a request."""
    start = time.perf_counter()
    answer = client.post(f"/score{query}", content=body, headers=headers)
    return time.perf_counter() - start, answer.status_code


def in_parallel(client, bodies, n_clients):
    """Seconds of all requests, and of each."""
    start = time.perf_counter()
    with ThreadPoolExecutor(n_clients) as pool:
        found = list(pool.map(lambda body: post(client, body), bodies))
    assert {status for _, status in found} == {200}
    return time.perf_counter() - start, [seconds for seconds, _ in found]


def resident(process):
    """MB of memory that a process holds."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def bad_body(rng, good):
    """Anything but an image: noise, a part of one, or one with some bytes changed."""
    kind = rng.randrange(5)
    if kind == 0:
        return rng.randbytes(rng.randrange(2000))
    body = bytearray(rng.choice(good))
    if kind == 1:
        return bytes(body[: rng.randrange(len(body))])
    if kind == 2:
        part = b'--b\r\nContent-Disposition: form-data; name="a"; filename="%s"\r\n\r\n'
        whole = part % rng.randbytes(rng.randrange(9)) + bytes(body) + b"\r\n--b--\r\n"
        return whole[: rng.randrange(len(whole))]
    for _ in range(rng.randrange(1, 20)):
        place = rng.randrange(64 if kind == 3 else len(body))
        body[place] = rng.randrange(256)
    return bytes(body)


def measure(client, process, good, arguments):
    """Print all figures."""
    in_parallel(client, good[:20], 4)
    print("clients: requests/s; ms p50, p95, p99")
    for n_clients in (1, 4, 16):
        bodies = [good[index % len(good)] for index in range(arguments.requests)]
        seconds, each = in_parallel(client, bodies, n_clients)
        said = ", ".join(f"{1000 * value:.0f}" for value in np.percentile(each, (50, 95, 99)))
        print(f"{n_clients:7}: {len(bodies) / seconds:.1f}; {said}", flush=True)
    print("requests: MB of the server")
    for tenth in range(11):
        print(f"{tenth * arguments.steady // 10:8}: {resident(process):.0f}", flush=True)
        in_parallel(client, (good * arguments.steady)[: arguments.steady // 10], 8)
    rng, statuses = random.Random(0), collections.Counter()
    for _ in range(arguments.bodies):
        headers = rng.choice(HEADERS)
        status = post(client, bad_body(rng, good), headers)[1]
        statuses[status] += 1
    print(f"bad bodies, by status: {dict(sorted(statuses.items()))}")
    assert max(statuses) < 500
    print(f"alive: {client.get('/health').json()['status']}, {resident(process):.0f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000, help="for each number of clients")
    parser.add_argument("--steady", type=int, default=10_000, help="while memory is looked at")
    parser.add_argument("--bodies", type=int, default=5000)
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--engine", default="torch")
    arguments = parser.parse_args()
    train, test, _ = split_cells(arguments.train, 40)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "line.skpatch"
        extractor = PatchFeatureExtractor(image_size=arguments.image_size)
        save(make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(train), path)
        command = [sys.executable, "-u", "-m", "skpatch", "serve", path, "--port", "0"]
        command += ["--engine", arguments.engine]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                address = process.stdout.readline().split(" at ")[1].split(". ")[0]
                limits = httpx.Limits(max_connections=32)
                with httpx.Client(base_url=address, timeout=120, limits=limits) as client:
                    good = [Path(path).read_bytes() for path in test]
                    measure(client, process, good, arguments)
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
