# SPDX-License-Identifier: BSD-3-Clause
"""Seconds until commands are done that do little, first-use compilation, and the demonstration.

    python benchmarks/startup.py [--demo]

Commands: median of five, wall clock and processor time, one thread. Their code was compiled before.
Then the parts of a process that scores, and of one whose model was saved with the engine onnx and
that finds neither torch nor pandas.
Compilation is what a fit and a scoring of small features take longer in a process with an empty
cache of compiled code than in the next one. The demonstration runs as a user types it, first with
an empty cache.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from PIL import Image

FIT = """
import numpy as np
from skpatch import SoftPatchDetector
features = np.random.RandomState(0).normal(size=(60, 12, 12, 64)).astype(np.float32)
for discriminator in ("lof", "gaussian", "nearest"):
    detector = SoftPatchDetector(discriminator=discriminator, coreset_size=0.6)
    detector.fit(features).score_samples(features)
    detector.predict_map(features)
"""
PARTS = """
import importlib, sys, time
from importlib.machinery import PathFinder
from importlib.util import find_spec
model, *hidden = sys.argv[1:]

class Others(PathFinder):
    @classmethod
    def find_spec(cls, name, *arguments):
        return None if name.split(".")[0] in hidden else super().find_spec(name, *arguments)

sys.meta_path = [Others if one is PathFinder else one for one in sys.meta_path]

def part(name, work):
    before = time.process_time()
    result = work()
    print(f"  {name:51} {'':8} {time.process_time() - before:5.2f} s of processor time")
    return result

def load(name, *modules):
    if find_spec(modules[0].partition(".")[0]):
        part(name, lambda: [importlib.import_module(module) for module in modules])

load("commands", "skpatch.cli")
load("NumPy, and scipy.stats for scikit-learn", "scipy.stats")
load("pandas, which scikit-learn imports where it is", "pandas")
load("the rest of scikit-learn", "sklearn.pipeline")
load("torch", "torch")
load("the rest of skpatch", "skpatch.cli.score", "skpatch.persistence", "skpatch.inspection.result")
model = part("the model", lambda: importlib.import_module("skpatch").load(model))
load("numba", "skpatch.distances.kernels")
features = part("the first features", lambda: model[0].transform(["one.png"]))
part("the first search, by code from numba's cache", lambda: model[1].predict_map(features))
part("the second features", lambda: model[0].transform(["one.png"]))
part("the second search", lambda: model[1].predict_map(features))
"""
CLI = "import sys; from skpatch.cli import main; sys.exit(main())"


def seconds(command, cache, **options):
    """Wall clock and processor time that a command takes, and what it prints."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, **options)
    taken, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return taken, used, done.stdout


def make_model(folder):
    """Save models, which were learned with torch and with onnxruntime, and an image."""
    from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline, save
    from skpatch.datasets import make_contaminated_images

    images = make_contaminated_images(n_normal=20, n_defective=4, random_state=0).images
    model = make_pipeline(PatchFeatureExtractor(), SoftPatchDetector(random_state=0)).fit(images)
    save(model, f"{folder}/model.skpatch")
    model[0].set_params(engine="onnx")
    save(model, f"{folder}/onnx.skpatch")
    Image.fromarray(images[0]).save(f"{folder}/one.png")


def main():
    python = [sys.executable, "-c"]
    with tempfile.TemporaryDirectory() as folder:
        caches = [str(Path(folder) / name) for name in ("fit", "demo")]
        make_model(folder)
        commands = {
            "python": [*python, "pass"],
            "import skpatch": [*python, "import skpatch"],
            **{
                f"skpatch {line}": [*python, CLI, *line.split()]
                for line in (
                    "--version",
                    "--help",
                    "audit nowhere",
                    "score model.skpatch nothing.png -o scores.csv",
                    "score model.skpatch one.png -o scores.csv",
                )
            },
        }
        for name, command in commands.items():
            runs = [seconds(command, caches[0], cwd=folder) for _ in range(6)][1:]
            wall, used = (median(run[part] for run in runs) for part in (0, 1))
            print(f"{name:53} {wall:5.2f} s, {used:5.2f} s of processor time", flush=True)
        for parts in (["model.skpatch"], ["onnx.skpatch", "torch", "pandas"]):
            print(*parts, sep=" without ")
            print(seconds([*python, PARTS, *parts], caches[0], cwd=folder)[2], end="", flush=True)
        (cold, *_), (warm, *_) = (seconds([*python, FIT], caches[1]) for _ in range(2))
        print(f"first-use compilation {cold - warm:.1f} s ({cold:.1f} cold, {warm:.1f} warm)")
        for state in ("cold", "warm") if "--demo" in sys.argv else ():
            taken, _, output = seconds([*python, CLI, "demo", "-o", f"{folder}/demo.png"], folder)
            stages = re.search(r"^ *total +([\d.]+)", output, re.MULTILINE)[1]
            print(f"demo, {state} {taken:.1f} s, of it {stages} s in its stages")


if __name__ == "__main__":
    main()
