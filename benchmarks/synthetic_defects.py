# SPDX-License-Identifier: BSD-3-Clause
"""How well `synthetic_defect_score`, which needs no labels, orders settings.

    python benchmarks/synthetic_defects.py --sizes 0.5 1 2 --strengths 1 0.4

Twelve settings learn from 100 solar cells, a tenth of them defective. The score without labels is
taken on 50 more cells of the same folder, the image AUROC on 100 normal and 100 defective others.
For each set and seed: the rank correlation of the two over the settings, and the regret, which is
how much AUROC is lost against the best setting by the one that has the best score. Beside it stand
the regret of the default, and the mean of all settings, which is that of a blind choice. Last comes
the rank correlation of the AUROCs of the first two seeds: they are uncertain themselves.
"""

import argparse

import numpy as np
from scipy.stats import spearmanr

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.bench.protocol import permute_classes
from skpatch.datasets import load_elpv
from skpatch.images.collection import check_images
from skpatch.metrics import image_auroc
from skpatch.metrics.synthetic_defects import SyntheticDefects

_N_TRAIN, _N_HELD_OUT, _N_TEST = 100, 50, 100
# Parameters of the extractor, and those of the detectors that get its features, by their names.
SETTINGS = [
    (
        {},
        {
            "default": {},
            "lof": {"discriminator": "lof"},
            "gaussian": {"discriminator": "gaussian"},
            "PatchCore": {"discriminator": None},
            "PatchCore, 20 patches": {"discriminator": None, "coreset_size": 20},
            "coreset 1 %": {"coreset_size": 0.01},
            "worst patch": {"worst_patches": 1},
            "worst 10 %": {"worst_patches": 0.1},
        },
    ),
    ({"image_size": 112}, {"112 pixels": {}}),
    ({"image_size": 320}, {"320 pixels": {}}),
    ({"layers": "features.3"}, {"finer layer": {}}),
    ({"layers": "features.5"}, {"coarser layer": {}}),
]


def draw(kind, noise, seed):
    """Cells to train on, to hold out and to test on, and the labels of the last."""
    data = load_elpv(kind=kind)
    images = np.asarray(data.images)
    normal, defective = permute_classes(data.is_defective, seed)
    n_folder = _N_TRAIN + _N_HELD_OUT
    n_noise = round(noise * n_folder)
    folder = np.r_[normal[: n_folder - n_noise], defective[:n_noise]]
    folder = images[np.random.RandomState(seed).permutation(folder)]
    test = np.r_[normal[n_folder : n_folder + _N_TEST], defective[n_noise : n_noise + _N_TEST]]
    return folder[:_N_TRAIN], folder[_N_TRAIN:], images[test], np.repeat([0, 1], _N_TEST)


def measure(kind, noise, seed, variants):
    """Scores without labels (settings, variants), and the AUROC of each setting."""
    train, held_out, test, truth = draw(kind, noise, seed)
    copies = [SyntheticDefects(check_images(held_out), *variant) for variant in variants]
    found, aurocs = [], []
    for extractor_parameters, detectors in SETTINGS:
        extractor = PatchFeatureExtractor(**extractor_parameters).fit(train)
        features, held, tested = map(extractor.transform, (train, held_out, test))
        altered = [extractor.transform(one) for one in copies]
        for parameters in detectors.values():
            detector = SoftPatchDetector(**parameters, random_state=seed).fit(features)
            before = -detector.score_samples(held)
            after = [-detector.score_samples(one) for one in altered]
            found.append(
                [image_auroc(np.repeat([0, 1], len(held)), np.r_[before, one]) for one in after]
            )
            aurocs.append(image_auroc(truth, -detector.score_samples(tested)))
    return np.array(found), np.array(aurocs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["mono", "poly"], choices=["mono", "poly"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument(
        "--sizes", type=float, nargs="+", default=[1.0], help="factors of the defects' sides"
    )
    parser.add_argument(
        "--strengths", type=float, nargs="+", default=[1.0], help="how opaque they are"
    )
    arguments = parser.parse_args()
    variants = [(a, b) for a in arguments.sizes for b in arguments.strengths]
    names = [name for _, detectors in SETTINGS for name in detectors]
    for kind in arguments.sets:
        aurocs = []
        for seed in range(arguments.seeds):
            found, truth = measure(kind, arguments.noise, seed, variants)
            aurocs.append(truth)
            print(f"\n{kind}, seed {seed}; size and strength of the defects in the head")
            heads = [f"{size:g} x {strength:g}" for size, strength in variants]
            print_row("", ["AUROC", *heads])
            for name, auroc, scores in zip(names, truth, found, strict=True):
                print_row(name, [f"{value:.3f}" for value in (auroc, *scores)])
            lost = truth.max() - truth
            chosen = found.argmax(axis=0)
            correlations = [spearmanr(scores, truth).statistic for scores in found.T]
            print_row("rank correlation", ["", *(f"{value:.2f}" for value in correlations)])
            print_row("regret", ["", *(f"{value:.3f}" for value in lost[chosen])])
            print("chosen: " + ", ".join(names[one] for one in chosen))
            print(f"regret of the default {lost[0]:.3f}, of a blind choice {lost.mean():.3f}")
        if len(aurocs) > 1:
            between = spearmanr(*aurocs[:2]).statistic
            print(f"rank correlation of the AUROCs of two seeds {between:.2f}", flush=True)


def print_row(name, values):
    print(f"{name:24}" + "".join(f"{value:>10}" for value in values), flush=True)


if __name__ == "__main__":
    main()
