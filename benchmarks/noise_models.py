# SPDX-License-Identifier: BSD-3-Clause
"""Noise models on sets that they were not tuned on, on equal terms.

    python benchmarks/noise_models.py measure --data DATA --seeds 20 21 22
    python benchmarks/noise_models.py report
    python benchmarks/tables.py

The shorter side of images is 224. DATA is a folder of folders laid out as MVTec AD; solar cells, as
they are and turned by any angle, come with the package extra 'demo'. Of each set at most 120 normal
images are trained on, with 0, 5, 10, 20 and 40 % defective ones among them. All methods score an
image by the mean of its worst 0.6 % patches, compare training images with the patches of others
only, and have a memory bank of 2 %; "truth" is PatchCore with the defective images taken out. A run
goes on where it was interrupted.

The report prints what the default loses and wins, and how well clean sets are told from others by a
threshold that was chosen on the other sets; tables.py writes the tables of the documentation.
"""

import argparse
import csv
import itertools
import sys
import time
from pathlib import Path

import numpy as np
from tables import complete

import skpatch
from skpatch import (
    GaussianDiscriminator,
    LOFDiscriminator,
    PatchFeatureExtractor,
    SoftPatchDetector,
)
from skpatch.bench.protocol import load_parts, load_solar_cells
from skpatch.bench.settings import ELPV_SETS
from skpatch.datasets import inject_noise
from skpatch.discriminators import SupportDiscriminator
from skpatch.discriminators.base import KeepAll
from skpatch.metrics import image_auroc

NOISE = (0.0, 0.05, 0.1, 0.2, 0.4)
N_TRAIN, BANK, WORST = 120, 0.02, 0.006
FIELDS = (
    *("dataset", "noise", "seed", "method", "overlap", "auroc", "audit"),
    *("evidence", "noise_ratio", "deviations", "truth", "seconds", "version", "date"),
)


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


METHODS = {
    "nothing": (Nothing(), 0.0),
    "LOF .15": (LOF(), 0.15),
    "LOF .30": (LOF(), 0.3),
    "Gaussian .15": (Gaussian(), 0.15),
    "default": (SupportDiscriminator(), "auto"),
    "truth": (Nothing(), 0.0),
}


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
        for data in sets:
            # The figures of the documentation are older than the default.
            data.extractor = PatchFeatureExtractor(image_size=224, n_scales=1).fit(data.images)
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
    started = time.process_time()
    detector = SoftPatchDetector(
        discriminator=discriminator,
        noise_threshold=threshold,
        soft_weights=method == "default",
        coreset_size=BANK * len(images) / len(learned),
        random_state=seed,
    ).fit(features[learned])
    seconds = time.process_time() - started
    finding = getattr(detector, "noise_finding_", None)
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
        "evidence": finding.evidence if finding else "",
        "noise_ratio": detector.noise_ratio_ if finding else "",
        "deviations": finding.deviations if finding else "",
        "truth": is_noise.mean(),
        "seconds": round(seconds, 2),
        "version": skpatch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    tested = {"no": np.setdiff1d(pool, images)}
    if is_noise.any():
        tested["yes"] = pool
    return [
        {**row, "overlap": overlap, "auroc": image_auroc(data.is_defective[some], scores[some])}
        for overlap, some in tested.items()
    ]


def report(arguments):
    """Print what the default loses and wins, and how well it tells clean sets from others."""
    cells = complete(csv.DictReader(Path(arguments.csv).read_text().splitlines()))
    summarize(cells)
    tell_apart(cells)


def _mean(found, method):
    return np.mean([float(row["auroc"]) for row in found[method]])


def summarize(cells):
    """Print what the default loses and wins."""
    means = {
        method: np.array([_mean(found, method) for found in cells.values()]) for method in METHODS
    }
    noise = np.array([key[1] for key in cells])
    others = ("nothing", "LOF .15", "LOF .30", "Gaussian .15")
    best = np.max([means[method] for method in others], axis=0)
    default, truth, nothing = means["default"], means["truth"], means["nothing"]
    print("mean over cells:", {method: round(values.mean(), 4) for method, values in means.items()})
    clean, heavy = noise == 0, noise >= 0.2
    loss = (default - nothing)[clean]
    print(f"clean, against nothing dropped: mean {loss.mean():+.4f}, worst {loss.min():+.4f}")
    behind = default - best
    print(
        f"against the best of the others: mean {behind.mean():+.4f}, worst {behind.min():+.4f}, "
        f"{np.count_nonzero(behind < -0.01)} of {len(behind)} cells behind by more than .010"
    )
    gap = (truth - best)[heavy].sum()
    closed = behind[heavy].sum() / gap
    print(f"gap of the best to the truth at 20 and 40 % that is closed: {closed:.0%}")
    share = (default - nothing)[heavy].sum() / (truth - nothing)[heavy].sum()
    print(f"of what the truth wins over nothing dropped at 20 and 40 %: {share:.0%}")


def tell_apart(cells):
    """Print how well clean and noisy fits are told apart, by a threshold of the other sets."""
    found = [
        (dataset, noise > 0, float(row["deviations"]))
        for (dataset, noise), found in cells.items()
        for row in found["default"]
        if row["deviations"] not in ("", "nan")
    ]
    sets, is_noisy, deviations = (np.array(column) for column in zip(*found, strict=True))

    def accuracy(threshold, some):
        called = deviations[some] > threshold
        return (called[is_noisy[some]].mean() + (~called)[~is_noisy[some]].mean()) / 2

    thresholds = np.arange(0, 8, 0.05)
    for dataset in np.unique(sets):
        held = sets == dataset
        scores = [accuracy(threshold, ~held) for threshold in thresholds]
        best = thresholds[np.flatnonzero(scores == np.max(scores))].mean()
        called = deviations[held] > best
        clean, noisy = called[~is_noisy[held]], called[is_noisy[held]]
        print(
            f"{dataset:<14} threshold of the others {best:.2f}: {clean.sum()} of {len(clean)} "
            f"clean and {noisy.sum()} of {len(noisy)} noisy fits called noisy"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["measure", "report"])
    parser.add_argument("--data", help="folder of folders laid out as MVTec AD")
    parser.add_argument("--csv", default="docs/noise_models.csv")
    parser.add_argument("--cache", default="noise-models-cache", help="folder for features")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    arguments = parser.parse_args()
    {"measure": measure, "report": report}[arguments.action](arguments)


if __name__ == "__main__":
    main()
