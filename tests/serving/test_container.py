# SPDX-License-Identifier: BSD-3-Clause
"""The lines of the Dockerfile that can run without Docker: what it copies is all that it needs."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lines(word):
    """What follows a word of the Dockerfile."""
    found = (ROOT / "Dockerfile").read_text().splitlines()
    return [line.removeprefix(word).strip() for line in found if line.startswith(f"{word} ")]


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """Folder of what the Dockerfile copies, and of nothing else."""
    folder = tmp_path_factory.mktemp("container")
    for line in lines("COPY"):
        *sources, target = line.split()
        place = folder / target.lstrip("/")
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, place, ignore=ignored)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    return folder


def test_what_is_copied_is_not_ignored():
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    for line in lines("COPY"):
        assert {f"!{source}" for source in line.split()[:-1]} <= set(kept)


@pytest.mark.slow
def test_the_container_serves(copied, line, put, wait_for, tmp_path):
    pytest.importorskip("setuptools")
    install = lines("RUN")[1].split()
    assert install[:3] == ["pip", "install", "--no-cache-dir"]
    source, extra = install[3].strip('"').removeprefix("/").removesuffix("]").split("[")
    assert extra == "serve"
    # In a folder of its own; what it depends on is here already.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--target", tmp_path / "site", copied / source]
    subprocess.run(command, check=True)
    program = [sys.executable, "-c", "import sys; from skpatch.cli import main; sys.exit(main())"]
    assert json.loads(lines("ENTRYPOINT")[0]) == ["skpatch"]
    command = json.loads(lines("CMD")[0])
    assert command[1:] == ["/models/line.skpatch", "--host", "0.0.0.0"]
    command[1] = str(line)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "site"),
        "SKPATCH_API_KEY": "secret",
        # Its loops would be compiled for a minute.
        "NUMBA_DISABLE_JIT": "1",
    }
    process = subprocess.Popen(
        [*program, *command, "--port", "0"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().split(" at ")[1].split(". ")[0]
        assert urllib.request.urlopen(f"{address}/").status == 200
        check = json.loads(lines("HEALTHCHECK")[0].removeprefix("CMD "))
        check[0] = sys.executable
        check[2] = check[2].replace("http://localhost:8000", address)
        subprocess.run(check, env=environment, check=True)
    finally:
        process.kill()
        process.communicate()
