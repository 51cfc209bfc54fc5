# SPDX-License-Identifier: BSD-3-Clause
"""How many images it takes: accuracy, false alarms and low p-values by number of training images.

    python benchmarks/learning_curve.py --data DATA --csv learning_curve.csv

DATA is a folder of folders laid out as MVTec AD; solar cells come with the package extra 'demo'.
For each number of images and seed, as many normal ones are drawn and trained on, and at most 100
normal and 100 defective others are scored. `false_alarms` is the share of the normal ones that the
default calls anomalous, nominal are 5 %; p05 to p20 are the shares that have at most such a
p-value. A run goes on where it was interrupted.
"""

import argparse
import csv
import datetime
import itertools
import warnings
from pathlib import Path

import numpy as np

import skpatch
from skpatch import SoftPatchDetector
from skpatch.bench.protocol import load_parts, load_solar_cells, permute_classes
from skpatch.detector.calibration import conformal_pvalues
from skpatch.metrics import image_auroc

N_TEST = 100
LEVELS = {"p05": 0.05, "p10": 0.1, "p20": 0.2}
FIELDS = ("dataset", "images", "seed", "auroc", "false_alarms", *LEVELS, "version", "date")


def measure(data, features, n_images, seed):
    """A row of the CSV."""
    normal, defective = permute_classes(data.is_defective, seed)
    others, defects = normal[n_images : n_images + N_TEST], defective[:N_TEST]
    detector = SoftPatchDetector(random_state=seed).fit(features[np.sort(normal[:n_images])])
    scores = detector.score_samples(features[np.r_[others, defects]])
    labels = np.repeat([0, 1], [len(others), len(defects)])
    new = scores[: len(others)]
    pvalues = conformal_pvalues(detector.calibration_scores_, new)
    return {
        "dataset": data.name,
        "images": n_images,
        "seed": seed,
        "auroc": round(image_auroc(labels, -scores), 4),
        "false_alarms": round(np.mean(new < detector.offset_), 4),
        **{name: round(np.mean(pvalues <= level), 4) for name, level in LEVELS.items()},
        "version": skpatch.__version__,
        "date": datetime.date.today().isoformat(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of folders laid out as MVTec AD")
    parser.add_argument("--cells", nargs="*", default=["mono", "poly"])
    parser.add_argument("--images", type=int, nargs="+", default=[5, 10, 20, 40, 80, 160, 320])
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22, 23])
    parser.add_argument("--cache", type=Path, default="learning-curve", help="folder for features")
    parser.add_argument("--csv", type=Path, default="learning_curve.csv")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    arguments.cache.mkdir(exist_ok=True)
    folders = sorted(Path(arguments.data).iterdir()) if arguments.data else []
    sets = [load_solar_cells(name) for name in arguments.cells]
    sets += [load_parts(folder) for folder in folders if folder.is_dir()]
    rows = list(csv.DictReader(arguments.csv.open())) if arguments.csv.exists() else []
    done = {(row["dataset"], int(row["images"]), int(row["seed"])) for row in rows}
    with arguments.csv.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if not rows:
            writer.writeheader()
        for data, n_images, seed in itertools.product(sets, arguments.images, arguments.seeds):
            # A set of fewer images has no such line.
            too_few = np.sum(~data.is_defective) < n_images + N_TEST / 2
            if too_few or (data.name, n_images, seed) in done:
                continue
            writer.writerow(row := measure(data, data.features(arguments.cache), n_images, seed))
            file.flush()
            print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
