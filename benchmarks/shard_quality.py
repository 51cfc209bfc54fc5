# SPDX-License-Identifier: BSD-3-Clause
"""What a fit in shards costs: radius of the coreset and image AUROC against a fit at once.

    python benchmarks/shard_quality.py

Trained on normal solar cells and, with --defective, on some others; tested on normal and defective
ones. Each seed draws these cells anew. Radii are measured, not bounds: the largest distance of a
training patch to its nearest selected one. Printed are means over the seeds, and the difference in
shards - at once of each seed with its standard error.
"""

import argparse

import numpy as np
from sklearn.base import clone

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.bench.protocol import permute_classes
from skpatch.datasets import load_elpv
from skpatch.detector.estimator import fitted_state
from skpatch.distances.exact import ExactNeighbors
from skpatch.metrics import image_auroc
from skpatch.runtime.threads import execution


def radius(detector, patches):
    """Largest distance of a patch to the patches that were selected, kept or dropped later."""
    selected = fitted_state(detector).candidates().patches
    with execution(None, False):
        search = ExactNeighbors().fit(selected)
        return search.kneighbors(patches[detector.kept_])[0].max()


def split(is_defective, seed, arguments):
    """Numbers of the cells to train on and to test with, and labels of the latter."""
    normal, defective = permute_classes(is_defective, seed)
    n_train, n_test = arguments.train, arguments.test
    train = np.r_[normal[:n_train], defective[n_test : n_test + arguments.defective]]
    test = np.r_[normal[n_train : n_train + n_test], defective[:n_test]]
    return train, test, is_defective[test]


def compare(name, seed, patches, queries, labels, arguments):
    """Ratio of the radii, AUROC of a fit at once and of one in shards."""
    at_once = SoftPatchDetector(
        discriminator=None if name == "none" else name,
        coreset_size=arguments.coreset_size,
        random_state=seed,
    )
    in_shards = clone(at_once).set_params(memory_limit=arguments.limit)
    models = at_once.fit(patches), in_shards.fit(patches)
    aurocs = [image_auroc(labels, -model.score_samples(queries)) for model in models]
    return radius(in_shards, patches) / radius(at_once, patches), *aurocs


def difference(values):
    """Mean and standard error as text."""
    return f"{np.mean(values):+.4f} +- {np.std(values, ddof=1) / len(values) ** 0.5:.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["mono", "poly"])
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--defective", type=int, default=40)
    parser.add_argument("--test", type=int, default=150)
    parser.add_argument("--coreset-size", type=int, default=5000)
    parser.add_argument("--limit", default="256M")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--discriminators", nargs="+", default=["none", "lof", "support"])
    arguments = parser.parse_args()
    found = {}
    for kind in arguments.kinds:
        data = load_elpv(kind=kind)
        # The size learned from all cells is that of any part of them.
        features = PatchFeatureExtractor().fit_transform(data.images)
        is_defective = np.asarray(data.is_defective)
        for seed in range(arguments.seeds):
            train, test, labels = split(is_defective, seed, arguments)
            patches, queries = features[train], features[test]
            for name in arguments.discriminators:
                one = compare(name, seed, patches, queries, labels, arguments)
                found.setdefault((kind, name), []).append(one)
                print(f"{kind} {name} {seed}", *(f"{value:.4f}" for value in one), flush=True)
    print(f"{'':14}{'radius ratio':>14}{'AUROC at once':>15}{'in shards':>11}   difference")
    for (kind, name), rows in found.items():
        ratio, at_once, in_shards = np.transpose(rows)
        print(f"{kind + ' ' + name:14}{ratio.mean():14.3f}", end="")
        print(f"{at_once.mean():15.4f}{in_shards.mean():11.4f}   {difference(in_shards - at_once)}")
    # The splits are shared by the discriminators, so that the seeds are what is independent.
    ratios, at_once, in_shards = np.mean(list(found.values()), axis=0).T
    print(f"all: radius ratio {ratios.mean():.3f}, difference {difference(in_shards - at_once)}")


if __name__ == "__main__":
    main()
