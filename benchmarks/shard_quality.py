# SPDX-License-Identifier: BSD-3-Clause
"""What a fit in shards costs: radius of the coreset and image AUROC against a fit at once.

    python benchmarks/shard_quality.py

Trained on normal solar cells and, with --defective, on some others; tested on normal and defective
ones. Radii are measured, not bounds: the largest distance of a training patch to its nearest
selected one. Printed are means over the seeds; the mean ratio of the radii comes last.
"""

import argparse

import numpy as np
from _common import split_cells

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch._neighbors import ExactNeighbors
from skpatch._parallel import execution
from skpatch.datasets import load_elpv
from skpatch.metrics import image_auroc


def radius(detector, patches):
    """Largest distance of a patch to the patches that were selected, kept or dropped later."""
    selected = np.concatenate([detector.memory_bank_, detector._dropped.patches])
    with execution(None, False):
        search = ExactNeighbors().fit(selected)
        return search.kneighbors(patches[detector.kept_])[0].max()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["mono", "poly"])
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--defective", type=int, default=40)
    parser.add_argument("--test", type=int, default=150)
    parser.add_argument("--coreset-size", type=int, default=5000)
    parser.add_argument("--limit", default="256M")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--discriminators", nargs="+", default=["none", "lof", "support"])
    arguments = parser.parse_args()
    ratios = []
    print(f"{'':14}{'shards':>8}{'radius ratio':>14}{'AUROC at once':>15}{'in shards':>11}")
    for kind in arguments.kinds:
        train, test, labels = split_cells(arguments.train, arguments.test, kind)
        data = load_elpv(kind=kind)
        defective = np.asarray(data.images)[data.is_defective]
        left = [path for path in defective if path not in set(test)]
        train = [*train, *left[: arguments.defective]]
        extractor = PatchFeatureExtractor().fit(train)
        patches, queries = extractor.transform(train), extractor.transform(test)
        for name in arguments.discriminators:
            found = []
            for seed in range(arguments.seeds):
                at_once = SoftPatchDetector(
                    discriminator=None if name == "none" else name,
                    coreset_size=arguments.coreset_size,
                    random_state=seed,
                ).fit(patches)
                in_shards = SoftPatchDetector(**at_once.get_params())
                in_shards.set_params(memory_limit=arguments.limit).fit(patches)
                scores = (-model.score_samples(queries) for model in (at_once, in_shards))
                ratio = radius(in_shards, patches) / radius(at_once, patches)
                found.append([ratio, *(image_auroc(labels, one) for one in scores)])
            ratio, *aurocs = np.mean(found, axis=0)
            ratios.append(ratio)
            n_shards = in_shards._plan(len(patches)).n_shards
            print(f"{kind + ' ' + name:14}{n_shards:8}{ratio:14.3f}", end="")
            print("{:15.4f}{:11.4f}".format(*aurocs), flush=True)
    print(f"radius in shards / radius at once {np.mean(ratios):.3f}")


if __name__ == "__main__":
    main()
