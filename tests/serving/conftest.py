# SPDX-License-Identifier: BSD-3-Clause
import os
import subprocess
import sys
import time

import pytest
from PIL import Image

from skpatch import save


@pytest.fixture(scope="module")
def line(model, tmp_path_factory):
    """A saved pipeline."""
    path = tmp_path_factory.mktemp("line") / "line.skpatch"
    save(model, path)
    return path


@pytest.fixture
def put(data):
    """Function that puts an image of `data` somewhere."""

    def put(path, index=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[index]).save(path)
        return path

    return put


@pytest.fixture
def start(tmp_path):
    """Function that starts a command in a process of its own, which is killed at the end."""
    processes = []

    def start(*arguments, **variables):
        command = [sys.executable, "-u", "-m", "skpatch", *map(str, arguments)]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, **variables}
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **output))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def wait_for():
    """Function that waits until something is true; generous, for busy machines."""

    def wait_for(is_true, seconds=120):
        end = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < end
            time.sleep(0.05)

    return wait_for
