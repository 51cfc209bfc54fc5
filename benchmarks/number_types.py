# SPDX-License-Identifier: BSD-3-Clause
"""The network in bfloat16 against float32: time, and image AUROC on solar cells.

    python benchmarks/number_types.py

Forward passes of WideResNet-50-2 (random weights, 224 pixels) up to its third stage; bfloat16 pays
on CPUs with AMX or AVX512-BF16 and GPUs, which the first line names. The image AUROC is that of the
default detector with the pretrained EfficientNet-Lite0, 200 normal cells to fit, 150 normal and 150
defective ones to score, mono- and polycrystalline; a mean over seeds of the detector, since another
seed alone changes it by up to 0.005. The ratio comes last.
"""

import argparse
import copy

import numpy as np
import torch
from _common import in_turns, split_cells

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.metrics import image_auroc

_SEEDS = 5


def aurocs(kind):
    """Image AUROC by number type."""
    train, test, truth = split_cells(200, 150, kind)
    found = {}
    for dtype in ("float32", "bfloat16"):
        extractor = PatchFeatureExtractor(dtype=dtype)
        features, tested = extractor.fit_transform(train), extractor.transform(test)
        detectors = [SoftPatchDetector(random_state=seed).fit(features) for seed in range(_SEEDS)]
        scores = [detector.score_samples(tested) for detector in detectors]
        found[dtype] = np.mean([image_auroc(truth, -values) for values in scores])
    return found


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
    arguments = parser.parse_args()
    print(f"CPU                   {torch.backends.cpu.get_cpu_capability()}")
    for kind in ("mono", "poly"):
        found = aurocs(kind)
        print(f"image AUROC, {kind}     " + ", ".join(f"{k} {v:.4f}" for k, v in found.items()))
    seconds = forward_seconds(arguments.repeats)
    for dtype, value in seconds.items():
        print(f"{dtype:<22}{value / 16 * 1e3:.1f} ms an image")
    print(f"bfloat16, times float32 {seconds['float32'] / seconds['bfloat16']:.2f}")


if __name__ == "__main__":
    main()
