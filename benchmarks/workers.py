# SPDX-License-Identifier: BSD-3-Clause
"""A fit in shards on one process, and on two workers of a dask cluster.

    pip install -e . elpv-dataset distributed
    python benchmarks/workers.py
    python benchmarks/workers.py --engine openvino

Each worker is a process with one thread, and so is the process without a cluster. Printed are
images per second, the bytes that went over the loopback interface for each image (Linux), and the
most memory that a worker held, libraries and network included. The results must be the same to the
bit. The ratio of two workers to one process comes last.
"""

import argparse
import contextlib
import time
from pathlib import Path

import dask
import numpy as np
from _common import held
from distributed import Client, LocalCluster
from joblib import parallel_config

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import load_elpv

# By default dask has the C library give memory back at once, which it then asks for again with
# every layer of the network.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": 2**28, "MALLOC_MMAP_THRESHOLD_": 2**25}


def sent():
    """Bytes that went over the loopback interface since the system started."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.strip().startswith("lo:"))


def warm():
    """Import the libraries, and compile or read the kernels."""
    make_pipeline(PatchFeatureExtractor(), SoftPatchDetector()).fit(load_elpv().images[:8])


@contextlib.contextmanager
def workers(count):
    """Client of a cluster that joblib uses; None for one worker, for which it uses none."""
    if count == 1:
        yield None
        return
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": _MALLOC}),
        LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
        parallel_config(backend="dask"),
    ):
        yield client


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--limit", default="256M")
    parser.add_argument("--coreset-size", type=int, default=2000)
    parser.add_argument("--engine", default="torch")
    arguments = parser.parse_args()
    images = load_elpv().images[: arguments.images]
    rates, models = [], []
    print(f"{'workers':>7}{'images/s':>10}{'KB an image':>13}{'MB of a worker':>16}")
    for count in (1, 2):
        detector = SoftPatchDetector(
            coreset_size=arguments.coreset_size,
            memory_limit=arguments.limit,
            n_jobs=1,
            random_state=0,
        )
        extractor = PatchFeatureExtractor(engine=arguments.engine, n_jobs=1)
        model = make_pipeline(extractor, detector)
        with workers(count) as client:
            if client is not None:
                client.run(warm)
            before, started = sent(), time.perf_counter()
            model.fit(images)
            rates.append(len(images) / (time.perf_counter() - started))
            moved = (sent() - before) / len(images) / 1000
            most = held("VmHWM") if client is None else max(client.run(held, "VmHWM").values())
        models.append(model)
        print(f"{count:7}{rates[-1]:10.1f}{moved:13.1f}{most:16.0f}", flush=True)
    one, two = (model[1] for model in models)
    np.testing.assert_array_equal(two.memory_bank_, one.memory_bank_)
    np.testing.assert_array_equal(two.training_scores_, one.training_scores_)
    print("same memory bank and scores")
    print(f"two workers / one {rates[1] / rates[0]:.2f}")


if __name__ == "__main__":
    main()
