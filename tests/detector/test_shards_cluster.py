# SPDX-License-Identifier: BSD-3-Clause
"""A fit on workers of a real cluster, one of which is killed."""

import os
import re
import signal
import threading

import numpy as np
import pytest
from joblib import parallel_config
from PIL import Image

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.detector import shards

pytestmark = [
    pytest.mark.slow,
    # Messages of a cluster that loses a worker, of how it stops, and of a slow disk when it starts.
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning",
        "ignore::DeprecationWarning",
        "ignore:Creating scratch directories:UserWarning",
    ),
]

PARAMETERS = {"coreset_size": 100, "memory_limit": "2M", "random_state": 0}


def become(version):
    shards.__version__ = version


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def fit(paths):
    detector = SoftPatchDetector(**PARAMETERS)
    return make_pipeline(PatchFeatureExtractor(image_size=64), detector).fit(paths)


def test_workers_of_another_version_are_told_of(cluster):
    features = np.random.RandomState(0).normal(size=(400, 8, 8, 32)).astype(np.float32)
    detector = SoftPatchDetector(coreset_size=100, memory_limit="3M", random_state=0)
    cluster.run(become, "9.0")
    here = re.escape(skpatch.__version__)
    with (
        parallel_config(backend="dask"),
        pytest.raises(RuntimeError, match=rf"worker has skpatch 9\.0, .* started with {here}"),
    ):
        detector.fit(features)
    cluster.run(become, skpatch.__version__)


def test_the_result_is_that_of_one_process_though_a_worker_dies(data, cluster, tmp_path):
    paths = []
    for index, image in enumerate(data.images):
        paths.append(str(tmp_path / f"{index}.png"))
        Image.fromarray(image).save(paths[-1])
    alone = fit(paths)
    pids = cluster.run(os.getpid)
    killed = threading.Event()

    def kill():
        while not killed.wait(0.02):
            busy = [address for address, keys in cluster.processing().items() if keys]
            if len(busy) == 2:
                os.kill(pids[busy[0]], signal.SIGKILL)
                killed.set()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with parallel_config(backend="dask"):
            spread = fit(paths)
    finally:
        was_killed = killed.is_set()
        killed.set()
        killer.join()
    assert was_killed
    assert set(cluster.run(os.getpid).values()) != set(pids.values())
    np.testing.assert_array_equal(spread[1].memory_bank_, alone[1].memory_bank_)
    np.testing.assert_array_equal(spread[1].training_scores_, alone[1].training_scores_)
    np.testing.assert_array_equal(spread.score_samples(paths), alone.score_samples(paths))


@pytest.mark.parametrize("work", [shards._learn_shard, shards._score_shard])
def test_a_task_of_another_version_is_refused_first(work):
    task = shards._Task(None, None, None, None, version="9.0")
    with pytest.raises(RuntimeError, match=r"started with 9\.0\. Install the same version"):
        work(task)
