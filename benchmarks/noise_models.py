# SPDX-License-Identifier: BSD-3-Clause
"""Noise models on sets that they were not tuned on, on equal terms, and rules chosen without a set.

    python benchmarks/noise_models.py measure --data DATA --csv noise_models.csv --seeds 20 21 22
    python benchmarks/noise_models.py report --csv noise_models.csv

DATA is a folder of folders laid out as MVTec AD; solar cells, as they are and turned by any angle,
come with the package extra 'demo'. Of each set at most 120 normal images are trained on, with 0, 5,
10, 20 and 40 % defective ones among them. All methods score an image by the mean of its worst 0.6 %
patches, compare training images with the patches of others only, and have a memory bank of 2 %;
"truth" is PatchCore with the defective images taken out.

A rule that drops what smoothed LOF accuses, or nothing, decides by rho: whether the accused vouch
for each other. Its threshold is chosen for each set on the other sets. The report prints image
AUROC without overlap against that of nothing dropped, by set and noise, then the rules: mean gain,
loss on clean sets, and the worst regret against the better choice.
"""

import argparse
import csv
import itertools
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.stats import spearmanr

from skpatch import GaussianDiscriminator, LOFDiscriminator, SoftPatchDetector
from skpatch.bench.protocol import load_parts, load_solar_cells
from skpatch.bench.settings import ELPV_SETS
from skpatch.datasets import inject_noise
from skpatch.discriminators import NoiseDiscriminator, SupportDiscriminator
from skpatch.discriminators.base import KeepAll
from skpatch.metrics import image_auroc

NOISE = (0.0, 0.05, 0.1, 0.2, 0.4)
N_TRAIN, N_HELD, BANK, WORST = 120, 120, 0.02, 0.006
FIELDS = ("dataset", "noise", "seed", "method", "overlap", "auroc", "audit", "rho", "rank")
THRESHOLDS = np.arange(-0.2, 0.61, 0.02)


class _EqualTerms:
    """Training images are recognised, so that no method is flattered by what it was trained on."""

    recognizes_training_images = True
    worst_patches = WORST


class Nothing(_EqualTerms, KeepAll):
    """PatchCore."""


class LOF(_EqualTerms, LOFDiscriminator):
    """The paper's."""


class Gaussian(_EqualTerms, GaussianDiscriminator):
    """The paper's."""


class SmoothedLOF(_EqualTerms, NoiseDiscriminator):
    """The logarithm of LOF, averaged over 5 x 5 patches; measures how the accused vouch."""

    def score_patches(self, patches):
        """Score by the mean logarithm of the neighbourhood."""
        logs = np.log(LOFDiscriminator().fit(patches).outlier_scores_)
        return np.exp(uniform_filter(logs, (1, 5, 5), mode="nearest"))

    def screen(self, training, threshold):
        """Drop the worst, and measure what is known of them."""
        scores, is_kept = super().screen(training, threshold)
        self.rho_ = mutual_support(training, scores > np.quantile(scores, 0.93))
        self.rank_ = rank_of_the_same_position(training.patches)
        return np.ones_like(scores), is_kept


METHODS = {
    "nothing": (Nothing(), 0.0),
    "LOF .15": (LOF(), 0.15),
    "LOF .30": (LOF(), 0.3),
    "Gaussian .15": (Gaussian(), 0.15),
    "default": (SupportDiscriminator(), "auto"),
    "smoothed .15": (SmoothedLOF(), 0.15),
    "truth": (Nothing(), 0.0),
}


def mutual_support(training, is_accused):
    """Rank correlation of accusations of images and what the others of the accused did for them.

    Rebuild the bank without the accused patches: an image that scores much higher then was
    supported by accused patches of others. If that holds for the accused images above all, the
    accused resemble each other across images, as noise that can hurt does.
    """
    n_images = len(is_accused)
    held = np.sort(np.random.RandomState(0).permutation(n_images)[:N_HELD])
    before, after = (
        training.trial_bank(kept).score_images(training.features[held], own=held)[0]
        for kept in (np.ones_like(is_accused), ~is_accused)
    )
    shares = is_accused.reshape(n_images, -1).mean(axis=1)[held]
    return spearmanr(shares, np.log(after / before)).statistic


def rank_of_the_same_position(patches, n_pairs=200):
    """Mean rank, in (0, 1), of the patch at the same position of another image by distance."""
    rng, ranks = np.random.RandomState(0), []
    flat = patches.reshape(len(patches), -1, patches.shape[-1])
    for _ in range(n_pairs):
        one, other = rng.choice(len(flat), 2, replace=False)
        position = rng.randint(flat.shape[1])
        distances = np.linalg.norm(flat[other] - flat[one, position], axis=1)
        ranks.append(np.mean(distances < distances[position]))
    return np.mean(ranks)


def measure(arguments):
    """Append a row for each set, noise, seed, method and overlap that is not in the CSV."""
    path = Path(arguments.csv)
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    done = {(row["dataset"], float(row["noise"]), int(row["seed"]), row["method"]) for row in rows}
    sets = [load_solar_cells(name) for name in ELPV_SETS]
    folders = sorted(Path(arguments.data).iterdir()) if arguments.data else []
    sets += [load_parts(folder) for folder in folders if folder.is_dir()]
    cache = Path(arguments.cache)
    cache.mkdir(exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if not rows:
            writer.writeheader()
        for seed, data in itertools.product(arguments.seeds, sets):
            features = data.features(cache)
            for noise, method in itertools.product(NOISE, METHODS):
                if (data.name, noise, seed, method) not in done:
                    writer.writerows(cell(data, features, noise, seed, method))
                    file.flush()
            print(data.name, seed, file=sys.stderr)


def cell(data, features, noise, seed, method):
    """Rows of one fit, without and with overlap."""
    train, pool = data.split(seed)
    train = train[:N_TRAIN]
    defects = pool[data.is_defective[pool]]
    share = min(noise, 2 * len(defects) // 3 / len(train))
    noisy = inject_noise(list(train), list(defects), noise_ratio=share, random_state=seed)
    images, is_noise = np.array(noisy.train_images), noisy.is_noise
    discriminator, threshold = METHODS[method]
    learned = images[~is_noise] if method == "truth" else images
    detector = SoftPatchDetector(
        discriminator=discriminator,
        noise_threshold=threshold,
        soft_weights=method == "default",
        coreset_size=BANK * len(images) / len(learned),
        random_state=seed,
    ).fit(features[learned])
    scores = np.full(len(data.images), np.nan)
    scores[pool] = -detector.score_samples(features[pool])
    suspicion = np.nan_to_num(-detector.training_scores_)
    known = is_noise.any() and method != "truth"
    row = {
        "dataset": data.name,
        "noise": noise,
        "seed": seed,
        "method": method,
        "audit": image_auroc(is_noise, suspicion) if known else "",
        "rho": getattr(detector.discriminator_, "rho_", ""),
        "rank": getattr(detector.discriminator_, "rank_", ""),
    }
    tested = {"no": np.setdiff1d(pool, images)}
    if is_noise.any():
        tested["yes"] = pool
    return [
        {**row, "overlap": overlap, "auroc": image_auroc(data.is_defective[some], scores[some])}
        for overlap, some in tested.items()
    ]


def report(arguments):
    """Print gains by set and noise, then the rules."""
    found = {}
    for row in csv.DictReader(Path(arguments.csv).read_text().splitlines()):
        if row["overlap"] == "no":
            key = row["dataset"], float(row["noise"]), int(row["seed"])
            cells = found.setdefault(key, {})
            cells[row["method"]] = float(row["auroc"])
            if row["rho"]:
                cells["rho"], cells["rank"] = float(row["rho"]), float(row["rank"])
    found = {key: cells for key, cells in found.items() if METHODS.keys() <= cells.keys()}
    others = [method for method in METHODS if method != "nothing"]
    print(f"{'set':<16} noise nothing " + " ".join(f"{name:>12}" for name in [*others, "rho"]))
    for dataset, noise in sorted({key[:2] for key in found}):
        group = [cells for key, cells in found.items() if key[:2] == (dataset, noise)]
        plain = np.mean([cells["nothing"] for cells in group])
        gains = [np.mean([cells[name] - cells["nothing"] for cells in group]) for name in others]
        rho = np.mean([cells["rho"] for cells in group])
        shown = " ".join(f"{value:>+12.3f}" for value in [*gains, rho])
        print(f"{dataset:<16} {noise:>5} {plain:7.3f} {shown}")
    print_rules(found)


def print_rules(found):
    """Mean gain over nothing, gain on clean sets, and the worst regret, of each rule."""
    keys = list(found)
    sets = np.array([key[0] for key in keys])
    noise = np.array([key[1] for key in keys])
    gain = {
        method: np.array([found[key][method] - found[key]["nothing"] for key in keys])
        for method in METHODS
    }
    rho = np.array([found[key]["rho"] for key in keys])
    dropped = gain["smoothed .15"]

    def rule(threshold):
        return np.where(rho > threshold, dropped, 0)

    chosen = np.zeros(len(keys))
    for dataset in set(sets):
        rest = sets != dataset
        best = max(THRESHOLDS, key=lambda threshold: rule(threshold)[rest].mean())
        chosen[~rest] = rule(best)[~rest]
    gain["if rho, leave one set out"] = chosen
    best = np.maximum(dropped, 0)
    print(f"\n{'rule':<28} {'mean gain':>10} {'clean':>8} {'worst regret':>13}")
    for name, values in gain.items():
        print(
            f"{name:<28} {values.mean():>+10.4f} {values[noise == 0].mean():>+8.4f} "
            f"{(best - values).max():>13.4f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["measure", "report"])
    parser.add_argument("--data", help="folder of folders laid out as MVTec AD")
    parser.add_argument("--csv", default="noise_models.csv")
    parser.add_argument("--cache", default="noise-models-cache", help="folder for features")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    arguments = parser.parse_args()
    {"measure": measure, "report": report}[arguments.action](arguments)


if __name__ == "__main__":
    main()
