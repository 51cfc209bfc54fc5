# SPDX-License-Identifier: BSD-3-Clause
import os
import subprocess
import sys
import time
from contextlib import contextmanager

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


@contextmanager
def _starting(folder):
    """Function that starts a command in a process of its own, which is killed at the end."""
    processes = []

    def start(*arguments, **variables):
        command = [sys.executable, "-u", "-m", "skpatch", *map(str, arguments)]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, **variables}
        processes.append(subprocess.Popen(command, cwd=folder, env=environment, **output))
        return processes[-1]

    try:
        yield start
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.fixture
def start(tmp_path):
    """Function that starts a command until the test ends."""
    with _starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def starting(tmp_path_factory):
    """Function that starts a command until the module ends."""
    with _starting(tmp_path_factory.mktemp("process")) as start:
        yield start


@pytest.fixture
def wait_for():
    """Function that waits until something is true; generous, for busy machines."""

    def wait_for(is_true, seconds=120):
        end = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < end
            time.sleep(0.05)

    return wait_for
