# SPDX-License-Identifier: BSD-3-Clause
"""The robustness protocol: accuracy against the share of defects in the training set.

Each cell is a data set, a noise ratio, a method and a seed. Solar cells (ELPV): 200 normal ones to
train on, 150 normal and 150 defective ones to test; "unaligned" turns and shifts each of them. A
folder: all of its training part and of its test part. The injected defects are drawn from the
tested ones. With overlap they stay among the tested ones, as when the very folder is inspected that
the model was trained on; without, they are taken out. Without noise there is nothing to overlap, so
there is one row only.

Columns of the CSV: true_noise is the ratio after rounding, and after leaving a third of the defects
to test; pixel AUROC and AUPRO are at the size of the network's input; audit_ap is the average
precision with which training_scores_ find the injected images; false_alarm_rate is the share of
normal test images called outliers at contamination=0.05. The last columns say what a row was
measured with.
"""

import csv
import io
import itertools
import sys
import time
import warnings
from dataclasses import replace
from functools import cache as once
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from ..datasets.folder import list_categories
from ..features.extractor import PatchFeatureExtractor
from ..runtime.files import check_output, replacing
from ..runtime.text import first_few, say, shown
from .protocol import load_parts, load_solar_cells, make_detector, measure
from .provenance import PROVENANCE, check_provenance, provenance
from .report import ACCURACY, OF_FIT, plot_aurocs, print_goals, print_means, print_settings
from .settings import PRESETS

__all__ = ["run_bench"]

_KEYS = ("dataset", "noise", "true_noise", "overlap", "method", "seed")


def run_bench(
    *,
    preset="default",
    sets,
    folders,
    noise=(),
    seeds,
    methods=(),
    parameters=(),
    copies=None,
    output,
    cache,
    style="markdown",
    n_jobs=1,
):
    """Measure what the CSV does not hold yet, then print tables of what was asked.

    Of several shares of noise it draws a plot, too.

    Parameters
    ----------
    preset : str
        Of `PRESETS`: what is measured where the following do not say otherwise.
    sets, folders : sequences of str
        Of the solar cells, and folders laid out as MVTec AD or the like, or that hold such ones.
    noise : sequence of float
        Injected defects divided by normal training images.
    seeds : sequence of int
    methods : sequence of str
        Of `METHODS`.
    parameters : dict
        Of PatchFeatureExtractor and, for all methods, of SoftPatchDetector.
    copies : str or None
        How the injected images differ from those that are tested: `augment` of `inject_noise`.
    output : str
        The .csv without ending, and the .png of several shares of noise.
    cache : Path or None
        Folder of the features; by default one beside the CSV.
    style : {"markdown", "latex"}
        Of the tables.
    n_jobs : int
        Number of processes that measure at a time. Each has its part of the threads.

    Raises
    ------
    ValueError
        If two sets have one name, or the CSV has rows of a set and a method that were measured with
        something else.
    """
    table, picture = Path(f"{output}.csv"), Path(f"{output}.png")
    known = PRESETS[preset]
    noise, methods = noise or known.noise, methods or known.methods
    # Against a single share of noise there is nothing to plot.
    plots = len(set(noise)) > 1
    check_output(table, ".csv", "--output")
    if plots:
        check_output(picture, ".png", "--output")
    extractor, detector = _chosen(known, dict(parameters))
    data = _load(sets, folders, extractor)
    cache = Path(f"{output}-features") if cache is None else cache
    cache.mkdir(parents=True, exist_ok=True)
    cells = list(itertools.product(seeds, noise, methods))
    measured, asked = _read_rows(table), _asked(data, methods, detector, copies)
    check_provenance(measured, asked, table)
    planned = _plan(data, cells, measured)
    before, found = table.read_bytes() if table.exists() else b"", {}
    total, started = sum(len(cells) for _, cells in planned), time.monotonic()
    for number, rows in _measure_all(planned, cache, detector, copies, n_jobs):
        found[number] = [{**row, **asked[row["dataset"], row["method"]]} for row in rows]
        # In the order of the plan, whichever cell was the first to be done.
        _write_rows(table, before, [row for number in sorted(found) for row in found[number]])
        _report(rows, len(found), total, started)
    wanted = {(one.name, *cell) for one in data for cell in cells}
    rows = [row for row in _read_rows(table) if _cell_of(row) in wanted]
    comment = "% " if style == "latex" else ""
    print_settings(preset, data, make_detector("PatchCore", 0, detector), style)
    if known.variant:
        say(f"\n{comment}Variant: {known.variant}")
    print_means(rows, style, [one for one in known.published if one.copies == copies])
    if "skpatch" in methods:
        print_goals(rows)
    say(f"\n{comment}Rows: {shown(table)}")
    if plots:
        plot_aurocs(rows, picture)
        say(f"Plot: {shown(picture)}")


def _chosen(preset, given):
    """Parameters of extractor and detector: those of a preset as far as they fit the given ones."""
    known = PatchFeatureExtractor().get_params()
    extractor = {name: value for name, value in given.items() if name in known}
    detector = {name: value for name, value in given.items() if name not in known}
    if extractor.get("weights") == "random":
        extractor.update(weights=None, random_state=0)
    replaced = {"backbone": {"layers"}, "image_size": {"resize", "crop"}, "crop": {"image_size"}}
    dropped = set().union(*(replaced.get(name, ()) for name in extractor))
    kept = {name: value for name, value in preset.extractor.items() if name not in dropped}
    return {**kept, **extractor}, {**preset.detector, **detector}


def _load(sets, folders, parameters):
    """The image sets, with an extractor of these parameters."""
    categories = [category for folder in folders for category in list_categories(folder)]
    data = [*map(load_solar_cells, sets), *map(load_parts, categories)]
    for one in data:
        one.extractor = PatchFeatureExtractor(**parameters).fit(one.images)
    return data


def _asked(sets, methods, parameters, copies):
    """What rows are measured with, from (dataset, method)."""
    for one in sets:
        folders = [other.folder for other in sets if other.name == one.name]
        if len(folders) > 1:
            raise ValueError(
                f"{first_few(folders)} are sets of one name, {one.name!r}, by which a table tells "
                "them apart; rename a folder, or measure them in runs with another --output."
            )
    return {
        (one.name, method): provenance(one, make_detector(method, 0, parameters), copies)
        for one in sets
        for method in methods
    }


def _cell_of(row):
    return row["dataset"], row["seed"], row["noise"], row["method"]


def _plan(sets, cells, measured):
    """The sets, each with its cells (seed, noise, method) that are not among the measured rows."""
    done = set(map(_cell_of, measured))
    return [(data, [cell for cell in cells if (data.name, *cell) not in done]) for data in sets]


def _measure_all(planned, cache, parameters, copies, n_jobs):
    """Number among the planned cells, and rows, of one cell after the other, as they are done."""
    tasks = _tasks(planned, cache, parameters, copies)
    if n_jobs > 1:
        # Features are extracted first, by all threads; with one process, set by set.
        tasks = list(tasks)
    # Threads are joblib's to bound; of batches the first cells would wait for the last.
    return Parallel(n_jobs, return_as="generator_unordered", batch_size=1)(tasks)


def _tasks(planned, cache, parameters, copies):
    """The planned cells, for workers."""
    numbers = itertools.count()
    for data, cells in planned:
        if not cells:
            continue
        features, masks = data.features(cache), data.masks()
        # Without its extractor, and so the network, which only copies need.
        sent = data if copies else replace(data)
        for seed, noise, method in cells:
            cell = sent, features, masks, noise, method, seed, parameters, copies
            yield delayed(_measure_cell)(next(numbers), *cell)


def _measure_cell(number, data, features, masks, noise, method, seed, parameters, copies):
    """Number and rows of a cell, measured where everything is compiled."""
    _compile(method, features.shape[1:], tuple(parameters.items()))
    return number, measure(data, features, masks, noise, method, seed, parameters, copies)


@once
def _compile(method, shape, parameters):
    """Run all that a method runs, once in each process."""
    features = np.random.RandomState(0).random_sample((20, *shape)).astype(np.float32)
    with warnings.catch_warnings():
        # They would be about these numbers, not about the images.
        warnings.simplefilter("ignore")
        make_detector(method, 0, parameters).fit(features)


def _report(rows, number, total, started):
    """Print the line of a measured cell."""
    minutes = (time.monotonic() - started) / number * (total - number) / 60
    first = rows[0]
    aurocs = ", ".join(f"{row['image_auroc']:.3f} (overlap {row['overlap']})" for row in rows)
    say(
        f"{number}/{total}, {minutes:.0f} min left: {first['dataset']}, "
        f"seed {first['seed']}, noise {first['noise']:.0%}, {first['method']}: "
        f"image AUROC {aurocs}, fit {first['fit_seconds']:.1f} s",
        sys.stderr,
    )


def _write_rows(path, before, rows):
    """Write the CSV anew, with rows below its bytes before: a full disk leaves none cut off."""
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, [*_KEYS, *ACCURACY, *OF_FIT, *PROVENANCE])
    if not before:
        writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as file:
        file.write(before + lines.getvalue().encode(errors="surrogateescape"))


def _read_rows(path):
    """Rows of the CSV as dicts, numbers parsed and NaN where a metric is empty; [] without it."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return [
            {
                **row,
                "seed": int(row["seed"]),
                **{key: float(row[key]) for key in ("noise", "true_noise")},
                **{metric: float(row.get(metric) or "nan") for metric in (*ACCURACY, *OF_FIT)},
            }
            for row in csv.DictReader(file)
        ]
