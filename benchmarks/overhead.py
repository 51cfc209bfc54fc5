# SPDX-License-Identifier: BSD-3-Clause
"""What fit and scoring take beside the network's own forward pass.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --backbone efficientnet_lite0

200 photographs of normal solar cells to fit, 50 others to score, as JPEG files, with a coreset of
10 %. The default is WideResNet-50-2 at 224 pixels in float32, with random weights, so that nothing
is downloaded. The forward pass alone runs the same network, up to the same layers, on batches of
the size that is fastest with all of torch's threads, already decoded and normalised. Everything
else counts as overhead: decoding, resizing, pooling, denoising, coreset, search. The ratios come
last.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from _common import in_turns, split_cells
from PIL import Image

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.engines.fusing import fuse, pack

# The fastest of 1, 2, 4 and 8 with two threads for one batch.
_BATCH = 4


def as_jpeg(paths, folder):
    """Copies of images as JPEG files."""
    copies = [str(Path(folder) / f"{Path(path).stem}.jpg") for path in paths]
    for path, copy in zip(paths, copies, strict=True):
        Image.open(path).save(copy, quality=95)
    return copies


@torch.inference_mode()
def forward_only(model, n_images, image_size):
    """Run the network on as many batches as `n_images` take."""
    batch = torch.rand(_BATCH, 3, *image_size).to(memory_format=torch.channels_last)
    for start in range(0, n_images, _BATCH):
        model(batch[: n_images - start])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="wide_resnet50_2")
    parser.add_argument("--discriminator", default="support")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    lite = arguments.backbone == "efficientnet_lite0"
    model = make_pipeline(
        PatchFeatureExtractor(
            backbone=arguments.backbone,
            weights="default" if lite else None,
            device="cpu",
            random_state=0,
        ),
        SoftPatchDetector(discriminator=arguments.discriminator, random_state=0),
    )
    with tempfile.TemporaryDirectory() as folder:
        train, test, _ = split_cells(200, 50)
        train, test = as_jpeg(train, folder), as_jpeg(test[:50], folder)
        model.fit(train[:8]).predict_map(test[:2])  # compile
        extractor = model[0]
        size = extractor.image_size_
        network = fuse(extractor.model_, size)
        pack(network)
        seconds, _ = in_turns(
            arguments.repeats,
            forward_fit=lambda: forward_only(network, len(train), size),
            fit=lambda: model.fit(train),
            forward_score=lambda: forward_only(network, len(test), size),
            score=lambda: model.score_samples(test),
            maps=lambda: model.predict_map(test),
        )
    fit, score, maps = seconds["fit"], seconds["score"], seconds["maps"]
    print(f"forward pass          {seconds['forward_fit'] / len(train) * 1e3:.1f} ms an image")
    print(f"fit, {len(train)} images      {fit:.2f} s")
    print(f"score                 {score / len(test) * 1e3:.1f} ms an image")
    print(f"maps                  {maps / len(test) * 1e3:.1f} ms an image")
    print(f"fit beside the network / network    {fit / seconds['forward_fit'] - 1:.3f}")
    print(f"maps beside the network / network   {maps / seconds['forward_score'] - 1:.3f}")
    print(f"score beside the network / network  {score / seconds['forward_score'] - 1:.3f}")


if __name__ == "__main__":
    main()
