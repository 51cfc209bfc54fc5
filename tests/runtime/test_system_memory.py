# SPDX-License-Identifier: BSD-3-Clause
"""Memory that runs out ends in one kind of error, which says what was wanted and what to do."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from _images import Lazy
from PIL import Image

import skpatch
from skpatch.runtime.memory import memory_errors
from skpatch.runtime.threads import execution, run_blocks

ADVICE = r"\. Less is needed for fewer images at a time"
# More than there are addresses.
HUGE = 2**47


class Repeated(Lazy):
    def __len__(self):
        return HUGE // 2**16

    def __getitem__(self, index):
        return self.items[0]


def test_features_that_do_not_fit(fitted):
    message = r"^Not enough memory \(Unable to allocate .* for an array with shape .*\)"
    with pytest.raises(MemoryError, match=message + ADVICE):
        fitted.transform(Repeated([np.zeros((64, 64), np.uint8)]))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_torch_in_blocks(n_jobs):
    def allocate(start, stop):
        torch.empty(HUGE)

    message = r"^Not enough memory \(.*you tried to allocate \d+ bytes.*\)"
    with (
        pytest.raises(MemoryError, match=message + ADVICE) as caught,
        execution(1, verbose=False),
        execution(n_jobs, verbose=False),
    ):
        run_blocks(allocate, 4, 1)
    assert str(caught.value).count("Less is needed") == 1


def test_errors_that_hide_their_cause():
    class Greedy(torch.nn.Module):
        def forward(self, x):
            return x + torch.empty(HUGE)[0]

    extractor = skpatch.PatchFeatureExtractor(backbone=Greedy(), layers="")
    with pytest.raises(MemoryError, match="you tried to allocate"):
        extractor.fit([np.zeros((64, 64), np.uint8)])


@pytest.mark.parametrize("error", [RuntimeError("block 0"), ValueError("can't allocate memory")])
def test_other_errors_stay(error):
    with pytest.raises(type(error)) as caught, memory_errors():
        raise error
    assert caught.value is error


# A process forks, limits its addresses to so many megabytes more, and runs a command.
LIMITED = """
import json, os, resource, sys
import torch
from skpatch import audit, load
from skpatch.cli import main, score, train
from skpatch.networks import backbones

def megabytes():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() // 2**20

model, photos, out, *large = sys.argv[1:]
load(model)
fit = ["fit", photos, "-o", f"{out}/m.skpatch", "--image-size", "512", "--quiet"]
score = ["score", "-o", f"{out}/s.csv", "--skip-bad", "--quiet", model, photos]
# With still less, a thread of Python may die before it has started, and is waited for forever.
runs = [(fit, 20), (fit, 60), (fit, 120), *(([*score, path], 60) for path in large)]
main([*fit, "--image-size", "64"])
main(score)
for command, more in runs:
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.dup2(writing, 2)
        limit = (megabytes() + more) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        os._exit(main(command))
    os.close(writing)
    with open(reading) as file:
        said = file.read()
    print(json.dumps([command[0], more, os.waitstatus_to_exitcode(os.wait()[1]), said]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_limited_addresses(model, photos, tmp_path):
    line, out = tmp_path / "line.skpatch", tmp_path / "out"
    skpatch.save(model, line)
    out.mkdir()
    large = [tmp_path / name for name in ("large.png", "large.webp", "large.jpg")]
    for path in large:
        Image.new("L", (5000, 5000)).save(path, progressive=True, quality=5, method=0)
    process = subprocess.run(
        [sys.executable, "-c", LIMITED, line, photos, out, *large],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    runs = [json.loads(text) for text in process.stdout.splitlines()]
    assert len(runs) == 6
    for *_, status, said in runs:
        assert status == 1
        assert said.startswith("Error: Not enough memory")
        assert said.count("\n") == 1
    for path, run in zip(large, runs[-3:], strict=True):
        assert repr(str(path)) in run[-1]
    assert sorted(path.name for path in out.iterdir()) == ["m.skpatch", "s.csv"]
