# SPDX-License-Identifier: BSD-3-Clause
"""Other tools on the same images, and on the same features where they take any.

    python -m venv PYOD && PYOD/bin/pip install pyod
    python -m venv ANOMALIB && ANOMALIB/bin/pip install anomalib
    python benchmarks/peers.py --data DATA --pyod PYOD/bin/python --anomalib ANOMALIB/bin/python
    python benchmarks/tables.py

DATA is a folder of folders laid out as MVTec AD. Each tool runs in an environment of its own; one
that is not given is left out, and the table says so. At most 100 normal images of a set are trained
on, with 0 and 10 % defective ones among them that are not tested.

skpatch, with its default and as PatchCore, has the patch features of its default network at 224
pixels. PyOD's detectors have vectors, so they get the mean and the maximum of these over the grid.
anomalib has networks of its own, whose weights it downloads, and takes the files. All parameters
are the defaults of the tools; seconds are of processor time after a first run, without features but
for anomalib, which makes them on the way. A row also has the number of packages that the tool
needs, itself included, and of lines of code.
"""

import argparse
import contextlib
import csv
import importlib
import importlib.metadata
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_TRAIN, NOISE = 100, (0.0, 0.1)
FIELDS = (
    *("tool", "version", "packages", "lines", "method", "dataset", "noise", "seed", "auroc"),
    *("fit_seconds", "score_milliseconds", "date"),
)


def skpatch(method, folder):
    from skpatch import SoftPatchDetector

    train, test = np.load(folder / "train.npy"), np.load(folder / "test.npy")
    discriminator = None if method == "PatchCore" else "support"
    detector = SoftPatchDetector(discriminator=discriminator, random_state=0)
    yield detector.fit(train)
    yield -detector.score_samples(test)


def pyod(method, folder):
    detector_class = getattr(importlib.import_module(f"pyod.models.{method.lower()}"), method)
    train, test = np.load(folder / "train.npy"), np.load(folder / "test.npy")
    train, test = (np.hstack([x.mean(axis=(1, 2)), x.max(axis=(1, 2))]) for x in (train, test))
    detector = detector_class()
    yield detector.fit(train)
    yield detector.decision_function(test)


def anomalib(method, folder):
    from anomalib import models
    from anomalib.data import Folder
    from anomalib.engine import Engine

    data = Folder(
        name="images",
        root=folder,
        normal_dir="train",
        normal_test_dir="test",
        val_split_mode="none",
        num_workers=0,
    )
    parts = {"evaluator": False, "visualizer": False, "post_processor": False}
    model = getattr(models, method)(**parts)
    engine = Engine(accelerator="cpu", barebones=True, limit_val_batches=0)
    yield engine.fit(model=model, datamodule=data)
    batches = engine.predict(model=model, datamodule=data)
    scores = {}
    for batch in batches:
        scores.update(zip(batch.image_path, batch.pred_score.tolist(), strict=True))
    yield np.array([scores[path] for path in sorted(scores)])


# By tool: what yields twice, after a fit and with scores that are high for anomalous images.
TOOLS = {
    skpatch: ("default", "PatchCore"),
    pyod: ("LOF", "KNN", "ECOD", "IForest"),
    anomalib: ("Patchcore", "Padim"),
}


def run(tool, methods, folder):
    """Print a line of JSON for each method, in the environment of the tool."""
    # The first run imports and compiles.
    for number, method in enumerate([methods[0], *methods]):
        # Forests draw from here unless they are told otherwise.
        np.random.seed(0)  # noqa: NPY002
        # Only the line of JSON may be on stdout.
        with contextlib.redirect_stdout(sys.stderr):
            started = time.process_time()
            steps = tool(method, folder)
            next(steps)
            fitted = time.process_time()
            scores = next(steps)
            seconds = fitted - started, time.process_time() - fitted
        if number:
            print(json.dumps([method, *seconds, np.asarray(scores).tolist()]))


def n_packages(name):
    """Number of packages that one needs, itself included; extras left out."""
    found, left = set(), [name]
    while left:
        name = left.pop().lower().replace("_", "-")
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            left += [re.match(r"[\w.-]+", one)[0] for one in requirements if "extra ==" not in one]
    return len(found)


def write_cell(folder, data, features, noise, seed):
    """Write features and links to the files of a training set and its tests; return the labels."""
    from skpatch.datasets import inject_noise

    train, pool = data.split(seed)
    train, defects = train[:N_TRAIN], pool[data.is_defective[pool]]
    share = min(noise, 2 * len(defects) // 3 / len(train))
    noisy = inject_noise(list(train), list(defects), noise_ratio=share, random_state=seed)
    learned = np.array(noisy.train_images)
    for name, images in {"train": learned, "test": np.setdiff1d(pool, learned)}.items():
        np.save(folder / f"{name}.npy", features[images])
        (folder / name).mkdir()
        for number, image in enumerate(images):
            path = Path(data.images[image])
            os.symlink(path, folder / name / f"{number:05}{path.suffix}")
    return data.is_defective[images]


def measure(arguments, environments):
    """Yield rows, by FIELDS."""
    from skpatch import PatchFeatureExtractor
    from skpatch.bench.protocol import load_parts
    from skpatch.metrics import image_auroc

    about = {tool: describe(tool, python) for tool, python in environments.items()}
    folders = sorted(path for path in Path(arguments.data).iterdir() if path.is_dir())
    cache = Path(arguments.cache)
    cache.mkdir(exist_ok=True)
    for folder in folders:
        data = load_parts(folder)
        data.extractor = PatchFeatureExtractor(image_size=224).fit(data.images)
        features = data.features(cache)
        for seed, noise in itertools.product(arguments.seeds, NOISE):
            cell = {"dataset": data.name, "noise": noise, "seed": seed}
            with tempfile.TemporaryDirectory() as place:
                labels = write_cell(Path(place), data, features, noise, seed)
                for tool, python in environments.items():
                    command = [python, __file__, "--run", tool.__name__, place]
                    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                    for method, fit, score, scores in map(json.loads, lines.splitlines()):
                        yield {
                            **about[tool],
                            **cell,
                            "method": method,
                            "auroc": round(image_auroc(labels, scores), 5),
                            "fit_seconds": round(fit, 3),
                            "score_milliseconds": round(1e3 * score / len(labels), 3),
                            "date": time.strftime("%Y-%m-%d"),
                        }
            print(*cell.values(), file=sys.stderr)


def describe(tool, python):
    """Columns that are the same in all rows of a tool."""
    name = tool.__name__
    command = [python, __file__, "--about", name]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    version, packages = printed.split()
    return {"tool": name, "version": version, "packages": packages, "lines": n_lines(tool)}


def n_lines(tool):
    """Lines of code in a function, without its head."""
    return sum(bool(line.strip()) for line in inspect.getsource(tool).splitlines()[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of folders laid out as MVTec AD")
    parser.add_argument("--pyod", help="Python of an environment that has PyOD")
    parser.add_argument("--anomalib", help="Python of an environment that has anomalib")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    parser.add_argument("--cache", default="peers-cache", help="folder for features")
    parser.add_argument("--csv", default="docs/peers.csv", help="table of all runs to write")
    parser.add_argument("--run", nargs=2, metavar=("TOOL", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--about", metavar="TOOL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        name, folder = arguments.run
        tool = next(tool for tool in TOOLS if tool.__name__ == name)
        return run(tool, TOOLS[tool], Path(folder))
    if arguments.about:
        return print(importlib.metadata.version(arguments.about), n_packages(arguments.about))
    given = {skpatch: sys.executable, pyod: arguments.pyod, anomalib: arguments.anomalib}
    environments = {tool: python for tool, python in given.items() if python}
    for tool in TOOLS.keys() - environments.keys():
        print(f"{tool.__name__} is not measured: no --{tool.__name__}", file=sys.stderr)
    with open(arguments.csv, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        for row in measure(arguments, environments):
            writer.writerow(row)
            file.flush()
    return None


if __name__ == "__main__":
    main()
