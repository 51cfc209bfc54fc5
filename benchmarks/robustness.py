# SPDX-License-Identifier: BSD-3-Clause
"""Image AUROC and more against the share of defects in the training set: a CSV, a plot, tables.

    python benchmarks/robustness.py
    python benchmarks/robustness.py --sets --data mvtec/bottle --data mvtec/cable

Each cell is a data set, a noise ratio, a method and a seed. Solar cells (ELPV): 200 normal ones to
train on, 150 normal and 150 defective ones to test; "unaligned" turns and shifts each of them. A
folder: at most 200 images of its training part, all of its test part. The injected defects are
drawn from the tested ones. With overlap they stay among the tested ones, as when the very folder is
inspected that the model was trained on; without, they are taken out.

Features are kept in the cache folder, and rows in the CSV as soon as they are measured: a run that
was stopped goes on where it was. To measure anew, delete the CSV, or its rows of a method. Without
noise there is nothing to overlap, so there is one row only.

Columns of the CSV: true_noise is the ratio after rounding, and after leaving a third of the defects
to test; pixel AUROC and AUPRO are at the size of the network's input; audit_ap is the average
precision with which training_scores_ find the injected images; false_alarm_rate is the share of
normal test images called outliers at contamination=0.05.
"""

import argparse
import csv
import itertools
import sys
import tempfile
import time
from pathlib import Path

from _protocol import ELPV_SETS, METHODS, load_parts, load_solar_cells, make_detector, measure
from _report import ACCURACY, OF_FIT, plot_aurocs, print_goals, print_means

KEYS = ("dataset", "noise", "true_noise", "overlap", "method", "seed")


def plan(sets, arguments, measured):
    """The sets, each with its cells (seed, noise, method) that are not among the measured rows."""
    done = {(row["dataset"], row["seed"], row["noise"], row["method"]) for row in measured}
    cells = list(itertools.product(arguments.seeds, arguments.noise, arguments.methods))
    return [(data, [cell for cell in cells if (data.name, *cell) not in done]) for data in sets]


def measure_all(planned, cache):
    """Rows of one planned cell after the other."""
    for data, cells in planned:
        if not cells:
            continue
        features, masks = data.features(cache), data.masks()
        for method in {method for *_, method in cells}:
            make_detector(method, 0).fit(features[:20])  # compile
        for seed, noise, method in cells:
            yield measure(data, features, masks, noise, method, seed)


def report(rows, number, total, started):
    """Print the line of a measured cell."""
    minutes = (time.monotonic() - started) / number * (total - number) / 60
    first = rows[0]
    aurocs = ", ".join(f"{row['image_auroc']:.3f} (overlap {row['overlap']})" for row in rows)
    print(
        f"{number}/{total}, {minutes:.0f} min left: {first['dataset']}, "
        f"seed {first['seed']}, noise {first['noise']:.0%}, {first['method']}: "
        f"image AUROC {aurocs}, fit {first['fit_seconds']:.1f} s",
        file=sys.stderr,
        flush=True,
    )


def append_rows(path, rows):
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*KEYS, *ACCURACY, *OF_FIT])
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


def read_rows(path):
    """Rows of the CSV as dicts, numbers parsed and NaN where a metric is empty; [] without it."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            {
                **row,
                "seed": int(row["seed"]),
                **{key: float(row[key]) for key in ("noise", "true_noise")},
                **{metric: float(row[metric] or "nan") for metric in (*ACCURACY, *OF_FIT)},
            }
            for row in csv.DictReader(file)
        ]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sets", nargs="*", choices=ELPV_SETS, default=ELPV_SETS, help="solar cells; may be empty"
    )
    parser.add_argument(
        "--data", action="append", default=[], help="a folder like MVTec AD or BTAD; repeatable"
    )
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0, 0.1, 0.2, 0.4])
    parser.add_argument("--seeds", nargs="+", type=int, default=[10, 11, 12])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--output", default="robustness", help="the .csv and .png without ending")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir(), "skpatch-robustness"),
        help="folder of the features",
    )
    arguments = parser.parse_args()
    if not (arguments.sets or arguments.data):
        parser.error("--sets is empty and there is no --data")
    return arguments


def main():
    arguments = parse_arguments()
    sets = [*map(load_solar_cells, arguments.sets), *map(load_parts, arguments.data)]
    arguments.cache.mkdir(parents=True, exist_ok=True)
    table, picture = Path(f"{arguments.output}.csv"), Path(f"{arguments.output}.png")
    planned = plan(sets, arguments, read_rows(table))
    total, started = sum(len(cells) for _, cells in planned), time.monotonic()
    for number, rows in enumerate(measure_all(planned, arguments.cache), start=1):
        append_rows(table, rows)
        report(rows, number, total, started)
    rows = read_rows(table)
    print_means(rows)
    print_goals(rows)
    plot_aurocs(rows, picture)
    print(f"\nRows: {table}, plot: {picture}")


if __name__ == "__main__":
    main()
