# SPDX-License-Identifier: BSD-3-Clause
"""One fitted model in several processes gives the bits of the serial result."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed

SECONDS = 300


def scores(model, images):
    """What a model says of images, of all together and of one alone, and its maps."""
    alone = model.score_samples(images[:1])
    maps = np.ravel(model.predict_map(images[:3]))
    return np.concatenate([model.score_samples(images), alone, maps])


@pytest.mark.slow
def test_a_spawned_process(model, data):
    expected = scores(model, data.images)
    context = multiprocessing.get_context("spawn")
    # One, since joblib's below run at the same time.
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found = pool.submit(scores, model, data.images).result(SECONDS)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_processes_of_joblib(model, data):
    parallel = Parallel(n_jobs=2, backend="loky", timeout=SECONDS)
    for result in parallel(delayed(scores)(model, data.images) for _ in range(2)):
        np.testing.assert_array_equal(result, scores(model, data.images))


FORK = """
import multiprocessing, sys
import numpy as np
import torch
from sklearn.base import clone
import skpatch
from test_system_processes import scores

def work(model, images, expected, fit_again):
    if fit_again:
        model = clone(model).fit(images)
    np.testing.assert_array_equal(scores(model, images), expected)
    assert torch.get_num_threads() == 1

torch.set_num_threads(2)
images = skpatch.datasets.make_contaminated_images(9, 1, image_size=64, random_state=0).images
model = skpatch.make_pipeline(
    skpatch.PatchFeatureExtractor(image_size=64), skpatch.SoftPatchDetector(random_state=0)
).fit(images)
expected = scores(model, images)
context = multiprocessing.get_context("fork")
processes = [context.Process(target=work, args=(model, images, expected, i)) for i in range(2)]
for process in processes:
    process.start()
for process in processes:
    process.join(60)
codes = [process.exitcode for process in processes]
for process in processes:
    process.kill()
if None in codes:
    sys.exit(HUNG)
assert codes == [0, 0], codes
assert torch.get_num_threads() == 2
"""
# Exit code of a try in which a forked process never came back.
HUNG = 75


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="fork is not safe elsewhere")
def test_forked_processes():
    """The parent has used the threads of OpenMP, which a forked process does not have.

    About one try in twenty, on a busy machine, MKL's memory manager spins forever in a forked
    process (mm_account_ptr_by_tid, at its first matrix product). A lock of skpatch's own would be
    waited for each time, so it shows in three tries.
    """
    for _ in range(3):
        process = subprocess.run(
            [sys.executable, "-c", FORK.replace("HUNG", str(HUNG))],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        if process.returncode != HUNG:
            break
    assert process.returncode == 0, process.stderr
