# SPDX-License-Identifier: BSD-3-Clause
"""How close `partial_fit` and `forget` come to a fit, and what they take.

220 training images of solar cells, 20 of them defective: half of them, then the rest in batches,
against all at once; then without the defective ones, against a fit on the others.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from skpatch.bench.protocol import load_solar_cells, make_detector, timed
from skpatch.bench.settings import ELPV_SETS
from skpatch.datasets import inject_noise
from skpatch.metrics import image_auroc

_BATCH = 22


def compare(name, updated, fitted, features, is_defective):
    """Print one line about two detectors and the images they are tested on."""
    found, expected = (-detector.score_samples(features) for detector in (updated, fitted))
    aurocs = [image_auroc(is_defective, scores) for scores in (found, expected)]
    print(
        f"{name:34} {spearmanr(found, expected).statistic:10.3f}"
        f"{np.median(np.abs(found / expected - 1)):10.1%}{aurocs[0]:10.4f}{aurocs[1]:10.4f}"
        f"{updated.offset_ / fitted.offset_:10.3f}"
        f"{len(updated.memory_bank_) / len(fitted.memory_bank_):10.3f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=["mono", "poly"], choices=ELPV_SETS)
    parser.add_argument("--methods", nargs="+", default=["skpatch", "PatchCore", "SoftPatch lof"])
    parser.add_argument("--cache", type=Path, default=Path("robustness-features"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    print(
        f"{'':34} {'rank corr.':>10}{'median gap':>10}{'AUROC':>10}{'of a fit':>10}"
        f"{'threshold':>10}{'bank':>10}"
    )
    for data in map(load_solar_cells, arguments.sets):
        features = data.features(arguments.cache)
        normal, pool = data.split(arguments.seed)
        defects = pool[data.is_defective[pool]]
        noisy = inject_noise(
            list(normal), list(defects), noise_ratio=0.1, random_state=arguments.seed
        )
        order = np.random.RandomState(arguments.seed).permutation(len(noisy.train_images))
        train = features[np.array(noisy.train_images)[order]]
        rejected = np.flatnonzero(noisy.is_noise[order])
        tested = np.setdiff1d(pool, noisy.train_images)
        test = features[tested], data.is_defective[tested]
        for method in arguments.methods:
            seconds, whole = timed(make_detector(method, arguments.seed).fit, train)
            grown = make_detector(method, arguments.seed).fit(train[: len(train) // 2])
            batches = [
                timed(grown.partial_fit, train[first : first + _BATCH])[0]
                for first in range(len(train) // 2, len(train), _BATCH)
            ]
            compare(f"{data.name}, {method}, partial_fit", grown, whole, *test)
            forgotten, _ = timed(whole.forget, rejected)
            rest = make_detector(method, arguments.seed).fit(np.delete(train, rejected, axis=0))
            compare(f"{data.name}, {method}, forget", whole, rest, *test)
            print(
                f"fit / partial_fit of {_BATCH} images {seconds / np.median(batches):.1f}, "
                f"fit / forget {seconds / forgotten:.1f}"
            )


if __name__ == "__main__":
    main()
