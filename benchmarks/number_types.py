# SPDX-License-Identifier: BSD-3-Clause
"""The network in bfloat16 against float32: time, and image AUROC on solar cells.

    python benchmarks/number_types.py
    python benchmarks/number_types.py --data mvtec/bottle --data mvtec/cable

Forward passes of WideResNet-50-2 (random weights, 224 pixels) up to its third stage; bfloat16 pays
on CPUs with AMX or AVX512-BF16 and GPUs, which the first line names. The image AUROC is that of the
default detector with the pretrained EfficientNet-Lite0, 200 normal cells to fit, 150 normal and 150
defective ones to score, mono- and polycrystalline; a mean over seeds of the detector, since another
seed alone changes it by up to 0.005. So is that of folders with a known layout. By OpenVINO, too,
if it is installed. The ratio comes last.
"""

import argparse
import copy
from itertools import product
from pathlib import Path

import numpy as np
import torch
from _common import in_turns, split_cells

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.datasets import load_folder
from skpatch.engines.choosing import ENGINES, is_installed
from skpatch.metrics import image_auroc

_SEEDS = 5


def aurocs(train, test, truth):
    """Image AUROC by engine and number type."""
    found = {}
    for engine, dtype in product(filter(is_installed, ENGINES), ("float32", "bfloat16")):
        if (engine, dtype) == ("onnx", "bfloat16"):
            continue
        extractor = PatchFeatureExtractor(engine=engine, dtype=dtype)
        features, tested = extractor.fit_transform(train), extractor.transform(test)
        detectors = [SoftPatchDetector(random_state=seed).fit(features) for seed in range(_SEEDS)]
        scores = [detector.score_samples(tested) for detector in detectors]
        found[f"{engine} {dtype}"] = np.mean([image_auroc(truth, -values) for values in scores])
    return found


def sets(folders):
    """Name, training images, test images and their labels of each set."""
    for kind in ("mono", "poly"):
        yield kind, *split_cells(200, 150, kind)
    for folder in folders:
        data = load_folder(folder)
        yield Path(folder).name, data.train_images, data.test_images, data.test_labels


@torch.inference_mode()
def forward_seconds(repeats):
    """Median seconds of a pass of 16 images by number type."""
    images, _, _ = split_cells(16, 0)
    extractor = PatchFeatureExtractor(
        backbone="wide_resnet50_2", weights=None, random_state=0, device="cpu"
    ).fit(images)
    batch = torch.rand(16, 3, 224, 224).to(memory_format=torch.channels_last)
    model = extractor.model_
    passes = {"float32": lambda: model(batch)}
    half = copy.deepcopy(model).bfloat16()
    half_batch = batch.bfloat16()
    passes["bfloat16"] = lambda: half(half_batch)
    for one in passes.values():
        one()
    return in_turns(repeats, **passes)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", action="append", default=[], help="folder; repeatable")
    arguments = parser.parse_args()
    print(f"CPU                   {torch.backends.cpu.get_cpu_capability()}")
    for name, *images in sets(arguments.data):
        found = aurocs(*images)
        said = ", ".join(f"{engine} {value:.4f}" for engine, value in found.items())
        print(f"image AUROC, {name:<15} {said}", flush=True)
    seconds = forward_seconds(arguments.repeats)
    for dtype, value in seconds.items():
        print(f"{dtype:<22}{value / 16 * 1e3:.1f} ms an image")
    print(f"bfloat16, times float32 {seconds['float32'] / seconds['bfloat16']:.2f}")


if __name__ == "__main__":
    main()
