# SPDX-License-Identifier: BSD-3-Clause
"""Peak memory of fitting the whole pipeline, in units of the float32 feature array.

    python benchmarks/memory.py
    python benchmarks/memory.py --backbone wide_resnet50_2

One process fits 400 photographs of normal solar cells; its peak above the memory it has after
fitting eight of them, with the libraries loaded, the kernels compiled and the network's buffers
allocated, is divided by the size of the features. The ratio comes last.
"""

import argparse
import resource

from _common import resident, split_cells

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline


def peak():
    """MB of memory that the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--discriminator", default="support")
    arguments = parser.parse_args()
    images, _, _ = split_cells(arguments.images, 0)
    weights = "default" if arguments.backbone == "efficientnet_lite0" else None
    extractor = PatchFeatureExtractor(backbone=arguments.backbone, weights=weights, random_state=0)
    model = make_pipeline(
        extractor, SoftPatchDetector(discriminator=arguments.discriminator, random_state=0)
    ).fit(images[:8])
    before = resident()
    model.fit(images)
    height, width = model[0].grid_size_
    features = len(images) * height * width * model[0].n_features_out_ * 4 / 2**20
    print(f"features              {features:.0f} MB")
    print(f"libraries and network {before:.0f} MB")
    print(f"peak                  {peak():.0f} MB")
    print(f"peak above libraries and network / features {(peak() - before) / features:.3f}")


if __name__ == "__main__":
    main()
