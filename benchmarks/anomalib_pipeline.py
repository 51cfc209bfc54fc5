# SPDX-License-Identifier: BSD-3-Clause
"""Fit and predict of the whole pipeline against anomalib's Patchcore, from files to heat maps.

    pip install -e . elpv-dataset "anomalib>=2.7"
    python benchmarks/anomalib_pipeline.py --project

Both read the same PNG files of normal solar cells, on the CPU, with the same random weights of a
ResNet-18: 224 x 224 pixels, layers 2 and 3, 3 x 3 mean pooling, distance to the nearest memory
patch, its maximum as image score. Timed are Engine.fit and Engine.predict of anomalib and fit and
predict_map of skpatch, after a small run of each, which also compiles numba code. anomalib runs
without checkpoints, logs, validation, post-processing and pictures, with the fastest of the given
numbers of workers and batch sizes. Leave the machine idle otherwise: the threads of a torch
operation wait for each other, so a busy core can slow anomalib down far more than skpatch.

Differences left: skpatch selects in 128 random projections, anomalib in about 300; the fit of
skpatch also scores the training images for a threshold, which anomalib leaves to a validation set;
the maps of skpatch have the size of the file, those of anomalib 224 x 224; each resizes images in
its own way. anomalib predicts with the memory bank that skpatch selected: its search takes as long
with its own, and the scores, whose largest difference is printed, must agree.

anomalib passes over all patches for every pick, which takes a quarter of an hour at 10 % even on an
idle machine. --project times a fit with a few hundred picks and one with a tenth of them,
extrapolates linearly in the number of picks, and says so. The ratios come last.
"""

import argparse
import itertools
import logging
import shutil
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.models import Patchcore

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import load_elpv

SIZE = (224, 224)
LAYERS = ("layer2", "layer3")
PATCHES = 28 * 28  # of an image: layer 2 is 8 times smaller than the input


def timed(function, *args, **kwargs):
    started = time.perf_counter()
    result = function(*args, **kwargs)
    return time.perf_counter() - started, result


def copy_images(root, n_train, n_test):
    """Copy normal cells into two folders; return their paths."""
    normal = load_elpv(kind="mono", grades=[0.0]).images
    parts = {"train": normal[:n_train], "test": normal[n_train : n_train + n_test]}
    for name, paths in parts.items():
        (root / name).mkdir()
        parts[name] = [shutil.copy(path, root / name) for path in paths]
    return parts["train"], parts["test"]


def make_skpatch(ratio):
    network = {"backbone": "resnet18", "weights": None, "layers": LAYERS, "random_state": 0}
    extractor = PatchFeatureExtractor(**network, image_size=SIZE, n_scales=1, device="cpu")
    detector = SoftPatchDetector(discriminator=None, coreset_size=ratio, random_state=0)
    return make_pipeline(extractor, detector)


class Anomalib:
    """Patchcore, its engine and its data, ready to fit."""

    def __init__(self, root, weights, n_picks, n_patches, loader):
        workers, batch_size = loader
        self.model = Patchcore(
            backbone="resnet18",
            layers=LAYERS,
            pre_trained=False,
            coreset_sampling_ratio=(n_picks + 0.5) / n_patches,  # anomalib rounds down
            num_neighbors=1,
            pre_processor=Patchcore.configure_pre_processor(SIZE),
            post_processor=False,
            evaluator=False,
            visualizer=False,
        )
        self.model.model.feature_extractor.feature_extractor.load_state_dict(weights)
        # Without a limit of 0 the trainer asks for validation images, of which there are none.
        self.engine = Engine(
            accelerator="cpu",
            barebones=True,
            limit_val_batches=0,
            default_root_dir=root / "results",
        )
        self.data = Folder(
            name="elpv",
            root=root,
            normal_dir="train",
            normal_test_dir="test",
            val_split_mode="none",
            num_workers=workers,
            train_batch_size=batch_size,
            eval_batch_size=batch_size,
        )

    def fit(self):
        """Time a fit."""
        seconds, _ = timed(self.engine.fit, model=self.model, datamodule=self.data)
        return seconds

    def predict(self, memory_bank):
        """Time a prediction with a given memory bank; return the image scores by path too."""
        self.model.model.memory_bank = torch.from_numpy(memory_bank)
        seconds, batches = timed(self.engine.predict, model=self.model, datamodule=self.data)
        paths = itertools.chain.from_iterable(batch.image_path for batch in batches)
        scores = torch.cat([batch.pred_score for batch in batches]).tolist()
        return seconds, dict(zip(paths, scores, strict=True))


def projected_fit(make, n_picks, n_timed):
    """Seconds of a fit with all picks, from two with fewer."""
    n_few = max(1, n_timed // 10)
    few, more = make(n_few).fit(), make(n_timed).fit()
    return more + (more - few) / (n_timed - n_few) * (n_picks - n_timed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="images to fit")
    parser.add_argument("--test-images", type=int, default=50, help="images to predict")
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="of anomalib")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[4, 32], help="of anomalib")
    parser.add_argument(
        "--project", type=int, nargs="?", const=400, metavar="PICKS", help="picks to time"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as root:
        measure(Path(root), arguments)


def measure(root, arguments):
    train, test = copy_images(root, arguments.images, arguments.test_images)
    n_patches = len(train) * PATCHES

    warm = make_skpatch(0.1).fit(train[:4])
    warm.predict_map(test[:2])
    weights = warm[0].model_.state_dict()

    def make(n_picks, loader):
        return Anomalib(root, weights, n_picks, n_patches, loader)

    loaders = list(itertools.product(arguments.workers, arguments.batch_sizes))
    make(10, loaders[0]).fit()  # the first fit would be slower than the others
    trials = {loader: make(10, loader) for loader in loaders}
    fit_loader = min(loaders, key=lambda loader: trials[loader].fit())
    bank = warm[-1].memory_bank_
    predict_loader = min(loaders, key=lambda loader: trials[loader].predict(bank)[0])

    n_timed = arguments.project or n_patches
    seconds = defaultdict(list)
    difference = 0.0
    for _, ratio in itertools.product(range(arguments.repeats), arguments.ratios):
        n_picks, ours = int(ratio * n_patches), make_skpatch(ratio)
        seconds[ratio, "fit", "skpatch"].append(timed(ours.fit, train)[0])
        seconds[ratio, "predict", "skpatch"].append(timed(ours.predict_map, test)[0] / len(test))
        if n_timed < n_picks:
            fit = projected_fit(lambda n: make(n, fit_loader), n_picks, n_timed)
        else:
            fit = make(n_picks, fit_loader).fit()
        predict, scores = trials[predict_loader].predict(ours[-1].memory_bank_)
        seconds[ratio, "fit", "anomalib"].append(fit)
        seconds[ratio, "predict", "anomalib"].append(predict / len(test))
        relative = np.array([scores[path] for path in test]) / -ours.score_samples(test)
        difference = max(difference, np.abs(relative - 1).max())

    median = {key: statistics.median(values) for key, values in seconds.items()}
    print(f"images                {len(train)} to fit, {len(test)} to predict, {n_patches} patches")
    for part, (workers, batch_size) in (("fit", fit_loader), ("predict", predict_loader)):
        print(f"anomalib, {part:<12}{workers} workers, batches of {batch_size}")
    print(f"difference of scores  {difference:.2%} at most")
    for (ratio, part, library), value in median.items():
        projected = n_timed < int(ratio * n_patches) and (part, library) == ("fit", "anomalib")
        what = f"{library}, {part} at {ratio:.0%}"
        unit = "seconds" if part == "fit" else "seconds per image"
        print(f"{what:<24}{value:10.3f} {unit}{' (projected)' if projected else ''}")
    for part, ratio in itertools.product(("fit", "predict"), arguments.ratios):
        times = median[ratio, part, "anomalib"] / median[ratio, part, "skpatch"]
        print(f"times faster, {part} at {ratio:.0%}: {times:.2f}")


if __name__ == "__main__":
    main()
