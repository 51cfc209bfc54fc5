# SPDX-License-Identifier: BSD-3-Clause
"""Noise models on sets that they were not tuned on, on equal terms.

    python benchmarks/noise_models.py measure --data DATA --csv noise_models.csv --seeds 20 21 22
    python benchmarks/noise_models.py report --csv noise_models.csv --tables docs

The shorter side of images is 224. DATA is a folder of folders laid out as MVTec AD; solar cells, as
they are and turned by any angle, come with the package extra 'demo'. Of each set at most 120 normal
images are trained on, with 0, 5, 10, 20 and 40 % defective ones among them. All methods score an
image by the mean of its worst 0.6 % patches, compare training images with the patches of others
only, and have a memory bank of 2 %; "truth" is PatchCore with the defective images taken out. A run
goes on where it was interrupted.

The report prints image AUROC without overlap by set and noise, what was found of the noise, and how
well clean sets are told from others by a threshold that was chosen on the other sets.
"""

import argparse
import csv
import itertools
import sys
import time
from pathlib import Path

import numpy as np

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
    *("evidence", "noise_ratio", "deviations", "truth", "seconds"),
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
            data.extractor = PatchFeatureExtractor(image_size=224).fit(data.images)
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
    }
    tested = {"no": np.setdiff1d(pool, images)}
    if is_noise.any():
        tested["yes"] = pool
    return [
        {**row, "overlap": overlap, "auroc": image_auroc(data.is_defective[some], scores[some])}
        for overlap, some in tested.items()
    ]


def report(arguments):
    """Print, and write as CSV, figures by set and noise without overlap."""
    cells = {}
    for row in csv.DictReader(Path(arguments.csv).read_text().splitlines()):
        if row["overlap"] == "no":
            key = row["dataset"], float(row["noise"])
            cells.setdefault(key, {}).setdefault(int(row["seed"]), {})[row["method"]] = row
    complete = {
        key: [methods for methods in seeds.values() if METHODS.keys() <= methods.keys()]
        for key, seeds in sorted(cells.items())
    }
    complete = {key: found for key, found in complete.items() if found}
    tables = {
        "robustness_auroc.csv": auroc_table(complete),
        "robustness_noise.csv": noise_table(complete),
    }
    for name, table in tables.items():
        print("\n".join(",".join(row) for row in table), end="\n\n")
        if arguments.tables:
            with open(Path(arguments.tables) / name, "w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(table)
    summarize(complete)
    tell_apart(complete)


def _mean(found, method, field="auroc"):
    values = [float(methods[method][field]) for methods in found if methods[method][field]]
    return np.mean(values) if values else np.nan


def auroc_table(complete):
    """Rows of means over the seeds."""
    table = [["Set", "Noise", "Seeds", *METHODS]]
    for (dataset, noise), found in complete.items():
        values = [f"{_mean(found, method):.3f}".lstrip("0") for method in METHODS]
        table.append([dataset, f"{noise:.0%}", str(len(found)), *values])
    return table


def noise_table(complete):
    """Rows of what the default finds of the noise, and the AUROC of finding its images."""
    table = [
        ["Set", "Noise", "True share", "Estimated", "Evidence", "Audit", "LOF .15", "PatchCore"]
    ]
    for (dataset, noise), found in complete.items():
        rows = [methods["default"] for methods in found]
        audits = [_mean(found, method, "audit") for method in ("default", "LOF .15", "nothing")]
        table.append(
            [
                *(dataset, f"{noise:.0%}"),
                f"{float(rows[0]['truth']):.3f}",
                " ".join(
                    "?" if r["noise_ratio"] == "nan" else f"{float(r['noise_ratio']):.3f}"
                    for r in rows
                ),
                " ".join(row["evidence"] for row in rows),
                *("" if np.isnan(audit) else f"{audit:.2f}" for audit in audits),
            ]
        )
    return table


def summarize(complete):
    """Print what the default loses and wins."""
    means = {
        method: np.array([_mean(found, method) for found in complete.values()])
        for method in METHODS
    }
    noise = np.array([key[1] for key in complete])
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


def tell_apart(complete):
    """Print how well clean and noisy fits are told apart, by a threshold of the other sets."""
    found = [
        (dataset, noise > 0, float(methods["default"]["deviations"]))
        for (dataset, noise), seeds in complete.items()
        for methods in seeds
        if methods["default"]["deviations"] not in ("", "nan")
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
    parser.add_argument("--csv", default="noise_models.csv")
    parser.add_argument("--tables", help="folder for the tables of the report")
    parser.add_argument("--cache", default="noise-models-cache", help="folder for features")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    arguments = parser.parse_args()
    {"measure": measure, "report": report}[arguments.action](arguments)


if __name__ == "__main__":
    main()
