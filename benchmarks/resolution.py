# SPDX-License-Identifier: BSD-3-Clause
r"""Accuracy and time by the size of the network's input, and at how many scales it is seen.

    python benchmarks/resolution.py --data DATA --csv resolution.csv --sizes 224 auto \
        --scales 1 2

DATA is a folder of folders laid out as MVTec AD; solar cells come with the package extra 'demo'. Of
each set 80 normal images are trained on, with `--noise` defective ones for each of them, and at
most 100 normal and 100 defective others are tested. All methods but the default score an image by
the mean of its worst 0.6 % of patches; "truth" is PatchCore without the defective images. Times are
seconds of processor time with one thread: of the network for an image, of a fit to features, and of
scoring an image's features. A run goes on where it was interrupted, and prints a table of all rows
at its end.
"""

import argparse
import csv
import datetime
import itertools
import time
from pathlib import Path

import numpy as np
import torch

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.bench.protocol import load_parts, load_solar_cells
from skpatch.metrics import image_auroc

N_TRAIN, N_TEST = 80, 100
FIELDS = (
    *("dataset", "size", "scales", "noise", "seed", "method", "input", "auroc", "network"),
    *("fit", "score", "version", "date"),
)
EQUAL = {"worst_patches": 0.006, "soft_weights": False}
METHODS = {
    "PatchCore": {"discriminator": None, **EQUAL},
    "LOF .15": {"discriminator": "lof", "noise_threshold": 0.15, **EQUAL},
    "LOF .30": {"discriminator": "lof", "noise_threshold": 0.3, **EQUAL},
    "Gaussian .15": {"discriminator": "gaussian", "noise_threshold": 0.15, **EQUAL},
    "default": {},
    "truth": {"discriminator": None, **EQUAL},
}


def draw(data, noise, seed):
    """Numbers of training images, with defective ones among them, and of test images."""
    train, pool = data.split(seed)
    rng = np.random.default_rng(seed)
    # Of at most 200, as the first rows were.
    train = rng.permutation(train[:200])[:N_TRAIN]
    normal, defective = (rng.permutation(pool[data.is_defective[pool] == c]) for c in (False, True))
    n_noise = min(round(noise * len(train)), len(defective) // 2)
    test = np.r_[normal[:N_TEST], defective[n_noise:][:N_TEST]]
    return rng.permutation(np.r_[train, defective[:n_noise]]), test


def processor_time(function, *arguments):
    """Seconds of processor time of a call, and its result."""
    started = time.process_time()
    result = function(*arguments)
    return time.process_time() - started, result


def measure(data, size, scales, noise, seed, methods):
    """A row for each method."""
    train, test = draw(data, noise, seed)
    is_noise = data.is_defective[train]
    images = [data.images[index] for index in np.r_[train, test]]
    extractor = PatchFeatureExtractor(image_size=size, n_scales=scales, device="cpu", n_jobs=1)
    extractor.fit(images[: len(train)])
    extractor.transform(images[:2])
    network, features = processor_time(extractor.transform, images)
    for method in methods:
        detector = SoftPatchDetector(**METHODS[method], random_state=seed, n_jobs=1)
        learned = features[: len(train)]
        learned = learned[~is_noise] if method == "truth" else learned
        fit, _ = processor_time(detector.fit, learned)
        score, scores = processor_time(detector.score_samples, features[len(train) :])
        yield {
            "dataset": data.name,
            "size": size,
            "scales": scales,
            "noise": noise,
            "seed": seed,
            "method": method,
            "input": "{} x {}".format(*extractor.image_size_),
            "auroc": round(image_auroc(data.is_defective[test], -scores), 4),
            "network": round(network / len(images), 4),
            "fit": round(fit, 2),
            "score": round(score / len(test), 4),
            "version": skpatch.__version__,
            "date": datetime.date.today().isoformat(),
        }


def key(row):
    """What tells a measurement from others."""
    size, scales = str(row["size"]), str(row["scales"])
    return row["dataset"], size, scales, float(row["noise"]), int(row["seed"]), row["method"]


def tell(rows):
    """Print the mean over seeds of each set and size, and the mean over the sets."""
    rows = [{**row, "size": "{size} at {scales}".format(**row)} for row in rows]
    sizes, sets = (list(dict.fromkeys(row[name] for row in rows)) for name in ("size", "dataset"))
    settings = sorted({(float(row["noise"]), row["method"]) for row in rows})
    for noise, method in settings:
        some = [row for row in rows if (float(row["noise"]), row["method"]) == (noise, method)]
        print(f"\n{method}, noise {noise:.0%}: image AUROC (ms network + ms score, s fit)")
        print("| set |", " | ".join(sizes), "|")
        for name in sets:
            found = [
                mean([r for r in some if (r["dataset"], r["size"]) == (name, s)]) for s in sizes
            ]
            print(f"| {name} |", " | ".join(map(in_words, found)), "|")
        print("| mean |", " | ".join(in_words(mean_of_sets(some, sets, s)) for s in sizes), "|")


def mean(rows):
    """AUROC and times of rows, averaged; None without rows."""
    columns = ("auroc", "network", "score", "fit")
    return np.mean([[float(row[c]) for c in columns] for row in rows], 0) if rows else None


def mean_of_sets(rows, sets, size):
    """The mean over the sets; None unless all of them were measured."""
    found = [mean([r for r in rows if (r["dataset"], r["size"]) == (name, size)]) for name in sets]
    return None if any(one is None for one in found) else np.mean(found, 0)


def in_words(found):
    """One cell of the table."""
    if found is None:
        return "-"
    auroc, network, score, fit = found
    return f"{auroc:.4f} ({1e3 * network:.0f} + {1e3 * score:.0f}, {fit:.0f})"


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--csv", type=Path, default="resolution.csv")
    parser.add_argument("--sizes", nargs="+", default=["224", "320", "448", "auto"])
    parser.add_argument("--scales", nargs="+", default=["auto"], help="n_scales of the extractor")
    parser.add_argument("--seeds", nargs="+", type=int, default=[20])
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0])
    parser.add_argument("--sets", nargs="*", default=["mono", "poly"], help="of solar cells")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["PatchCore", "default"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sets = [load_solar_cells(name) for name in arguments.sets]
    folders = sorted(arguments.data.iterdir()) if arguments.data else []
    sets += [load_parts(folder) for folder in folders if folder.is_dir()]
    rows = list(csv.DictReader(arguments.csv.open())) if arguments.csv.exists() else []
    done = {key(row) for row in rows}
    with arguments.csv.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if not rows:
            writer.writeheader()
        settings = itertools.product(arguments.sizes, arguments.scales)
        cells = itertools.product(arguments.seeds, arguments.noise, settings, sets)
        for seed, noise, (size, scales), data in cells:
            cell = data.name, size, scales, noise, seed
            methods = [method for method in arguments.methods if (*cell, method) not in done]
            if not methods:
                continue
            numbers = (one if one == "auto" else int(one) for one in (size, scales))
            new = list(measure(data, *numbers, noise, seed, methods))
            writer.writerows(new)
            file.flush()
            rows += new
            print(*new[-1].values(), flush=True)
    tell(rows)


if __name__ == "__main__":
    main()
