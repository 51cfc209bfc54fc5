# SPDX-License-Identifier: BSD-3-Clause
"""Write the tables of README and documentation anew, from the rows of all runs in docs/.

    python benchmarks/tables.py

A table lies between two comments that name it, and is replaced as a whole: means, with standard
deviations over seeds where there are several, under what it was measured with.
"""

import csv
import itertools
import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "docs/performance.rst",
    "docs/robustness.rst",
    "docs/guide/comparison.rst",
    "docs/guide/how_many.rst",
    "docs/guide/scores.rst",
    "docs/guide/settings.rst",
)
# What a table starts and ends with in each kind of file.
_MARKS = {
    ".md": ("<!-- table {} -->", "<!-- end of table -->"),
    ".rst": (".. table {}", ".. end of table"),
}
# Columns of the comparison of noise models: methods of benchmarks/noise_models.py.
_MODELS = {
    "nothing": "PatchCore",
    "LOF .15": "LOF, 15 %",
    "LOF .30": "LOF, 30 %",
    "Gaussian .15": "Gaussian, 15 %",
    "default": "skpatch",
    "truth": "truth",
}
# Columns of the learning curve with shares of low p-values.
_LOW = {"p05": 0.05, "p10": 0.1, "p20": 0.2}
# Columns of the table of small defects: kind of defects, whether on textures, and size.
_DEFECTS = {
    "real defects, 448": ("real", False, 448),
    "drawn on these sets, 448": ("drawn", False, 448),
    "4 to 12 pixels, 448": ("4 to 12 pixels", False, 448),
    "drawn on textures, 1200": ("drawn", True, 1200),
    "4 to 12 pixels, 1200": ("4 to 12 pixels", True, 1200),
    "faint 24 x 4, 1200": ("24 x 4, faint", True, 1200),
}
_TEXTURES = ("grain", "fabric")
_PEERS = ("skpatch", "pyod", "anomalib", "pyimgano", "imgad")


def read_rows(name):
    """Rows of a CSV in docs/."""
    with (ROOT / "docs" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def spread(rows, column, digits=3):
    """Mean over the rows of each seed, then over seeds, with the standard deviation of several."""
    of_seeds = {}
    for row in rows:
        if row[column] not in ("", "nan"):
            of_seeds.setdefault(row["seed"], []).append(float(row[column]))
    means = [np.mean(values) for values in of_seeds.values()]
    if not means:
        return ""
    deviation = f" ± {np.std(means, ddof=1):.{digits}f}" if len(means) > 1 else ""
    return f"{np.mean(means):.{digits}f}{deviation}"


def _dates(rows):
    days = sorted({row["date"] for row in rows})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _measured(rows):
    """Versions and days of rows, for a caption."""
    versions = " and ".join(sorted({row["version"] for row in rows}, reverse=True))
    return f"skpatch {versions}, {_dates(rows)}"


def complete(rows):
    """Rows without overlap by (set, noise), each from method to rows of the seeds that have all."""
    cells = {}
    for row in rows:
        if row["overlap"] == "no":
            key = row["dataset"], float(row["noise"])
            cells.setdefault(key, {}).setdefault(row["seed"], {})[row["method"]] = row
    found = {
        key: [methods for methods in seeds.values() if _MODELS.keys() <= methods.keys()]
        for key, seeds in sorted(cells.items())
    }
    return {
        key: {method: [methods[method] for methods in seeds] for method in _MODELS}
        for key, seeds in found.items()
        if seeds
    }


def robustness(rows):
    """Image AUROC by set and noise."""
    cells = complete(rows)
    lines = [
        [dataset, f"{noise:.0%}", str(len(found["default"]))]
        + [spread(found[method], "auroc") for method in _MODELS]
        for (dataset, noise), found in cells.items()
    ]
    caption = (
        "Image AUROC without overlap, mean ± standard deviation over seeds: EfficientNet-Lite0, "
        f"224 pixels, one scale, {_measured(rows)}"
    )
    return caption, ["set", "noise", "seeds", *_MODELS.values()], lines


def summary(rows):
    """Image AUROC by noise: the mean of the sets, and the lowest."""
    cells = complete(rows)
    levels = sorted({noise for _, noise in cells})
    lines = []
    for level in levels:
        found = [methods for (_, noise), methods in cells.items() if noise == level]
        means = {
            method: [np.mean([float(row["auroc"]) for row in one[method]]) for one in found]
            for method in _MODELS
        }
        cells_of = [f"{np.mean(values):.3f} ({min(values):.3f})" for values in means.values()]
        lines.append([f"{level:.0%}", *cells_of])
    n_sets = len({dataset for dataset, _ in cells})
    caption = (
        f"Image AUROC of images that were not trained on, mean of {n_sets} sets (lowest set): "
        f"EfficientNet-Lite0, 224 pixels, one scale, {_measured(rows)}"
    )
    return caption, ["noise", *_MODELS.values()], lines


def default_size(rows):
    """Image AUROC at the default image size: PatchCore and the default, by set and noise."""
    levels = sorted({row["noise"] for row in rows})
    columns = [(noise, method) for noise in levels for method in ("PatchCore", "default")]

    def cells(some):
        return [
            spread([row for row in some if (row["noise"], row["method"]) == column], "auroc")
            for column in columns
        ]

    lines = []
    for dataset in sorted({row["dataset"] for row in rows}):
        of_set = [row for row in rows if row["dataset"] == dataset]
        lines.append([dataset, of_set[0]["input"], *cells(of_set)])
    lines.append(["mean", "", *cells(rows)])
    names = {"PatchCore": "PatchCore", "default": "skpatch"}
    header = [f"{names[method]}, {float(noise):.0%}" for noise, method in columns]
    seeds = ", ".join(sorted({row["seed"] for row in rows}))
    caption = (
        "Image AUROC at the default image size, 80 training images, mean ± standard deviation over "
        f"seeds {seeds}: EfficientNet-Lite0, {_measured(rows)}"
    )
    return caption, ["set", "pixels", *header], lines


def default_size_methods(rows):
    """Image AUROC at the default image size: all methods, by noise and set."""
    columns = {"PatchCore" if name == "nothing" else name: of for name, of in _MODELS.items()}
    lines = []
    for noise in sorted({row["noise"] for row in rows}, key=float):
        of_noise = [row for row in rows if row["noise"] == noise]
        found = {dataset: [] for dataset in sorted({row["dataset"] for row in of_noise})}
        for row in of_noise:
            found[row["dataset"]].append(row)
        found["mean"] = of_noise
        for dataset, some in found.items():
            by_method = ([row for row in some if row["method"] == one] for one in columns)
            cells = [spread(some, "auroc") for some in by_method]
            lines.append([dataset, f"{float(noise):.0%}", *cells])
    seeds = ", ".join(sorted({row["seed"] for row in rows}))
    caption = (
        "Image AUROC at the default image size, 80 training images, mean ± standard deviation over "
        f"seeds {seeds}: EfficientNet-Lite0, {_measured(rows)}"
    )
    return caption, ["set", "noise", *columns.values()], lines


def learning_curve(rows):
    """Image AUROC by number of training images and set."""
    sets = sorted({row["dataset"] for row in rows})
    lines = []
    for n_images, some in _by_images(rows):
        found = ([row for row in some if row["dataset"] == one] for one in sets)
        lines.append([str(n_images), *(spread(one, "auroc", digits=2) for one in found)])
    return f"Image AUROC, {_curve_caption(rows)}", ["images", *sets], lines


def false_alarms(rows):
    """New normal images that are called anomalous, by number of training images."""
    lines = []
    for n_images, some in _by_images(rows):
        shares = [float(row["false_alarms"]) for row in some]
        low = [f"{np.mean([float(row[name]) for row in some]):.0%}" for name in _LOW]
        lines.append([str(n_images), f"{np.mean(shares):.0%}", f"{max(shares):.0%}", *low])
    header = ["images", "false alarms", "worst draw", *(f"p ≤ {level}" for level in _LOW.values())]
    return f"Mean of all sets, {_curve_caption(rows)}", header, lines


def _by_images(rows):
    for n_images in sorted({int(row["images"]) for row in rows}):
        yield n_images, [row for row in rows if int(row["images"]) == n_images]


def _curve_caption(rows):
    n_draws = len({row["seed"] for row in rows})
    return f"{n_draws} draws: EfficientNet-Lite0, default image size, {_measured(rows)}"


def noise_found(rows):
    """What the default finds of the noise, and the AUROC of finding its images."""
    lines = []
    for (dataset, noise), found in complete(rows).items():
        default = found["default"]
        ratios = [float(row["noise_ratio"]) for row in default]
        lines.append(
            [
                *(dataset, f"{noise:.0%}", f"{float(default[0]['truth']):.3f}"),
                " ".join("?" if np.isnan(ratio) else f"{ratio:.3f}" for ratio in ratios),
                " ".join(row["evidence"] for row in default),
                *(spread(found[name], "audit", 2) for name in ("default", "LOF .15", "nothing")),
            ]
        )
    header = ["set", "noise", "true share", "estimated", "evidence", "audit", "LOF", "PatchCore"]
    caption = f"EfficientNet-Lite0, 224 pixels, one scale, {_measured(rows)}"
    return caption, header, lines


def peers(rows):
    """Other tools: a line for each method. Times are of the first set, which all have."""
    sets, lines = sorted({row["dataset"] for row in rows}), []
    for tool in _PEERS:
        of_tool = [row for row in rows if row["tool"] == tool]
        for method in dict.fromkeys(row["method"] for row in of_tool):
            found = [row for row in of_tool if row["method"] == method]
            aurocs = [
                spread([row for row in found if (row["dataset"], row["noise"]) == cell], "auroc")
                for cell in itertools.product(sets, ("0.0", "0.1"))
            ]
            timed = [row for row in found if row["dataset"] == sets[0]]
            times = spread(timed, "fit_seconds", 2), spread(timed, "score_milliseconds", 2)
            about = found[0]["packages"], found[0]["lines"]
            lines.append([f"{tool} {found[0]['version']}", method, *aurocs, *times, *about])
        if not of_tool:
            lines.append([tool, "not measured", *[""] * (2 * len(sets) + 4)])
    caption = (
        "Image AUROC, ± standard deviation over seeds, EfficientNet-Lite0 at 224 pixels, one "
        f"scale; times are those of {sets[0]}, {_dates(rows)}"
    )
    names = [f"{one}, {noise}" for one in sets for noise in ("clean", "10 %")]
    header = ["tool", "method", *names, "fit, seconds", "score, ms", "packages", "lines"]
    return caption, header, lines


def image_sizes(rows):
    """Image AUROC of the default, by set, noise, size of the network's input, and scales."""
    rows = [row for row in rows if row["method"] == "default"]
    found = {}
    for row in rows:
        column = row["noise"], row["size"], row["scales"]
        found.setdefault(column, {})[row["dataset"]] = float(row["auroc"])
    columns = sorted(found)
    sets = sorted({row["dataset"] for row in rows})
    lines = [[one, *(f"{found[column][one]:.3f}" for column in columns)] for one in sets]
    means = [np.mean(list(found[column].values())) for column in columns]
    lines.append(["mean", *(f"{mean:.3f}" for mean in means)])
    caption = (
        f"Image AUROC, 80 training images, clean but where noise is told, seed {rows[0]['seed']}: "
        f"EfficientNet-Lite0, {_measured(rows)}"
    )
    scale = {"1": "", "2": " + half"}
    header = [
        f"{size}{scale[scales]}" + (f", {float(noise):.0%} noise" if float(noise) else "")
        for noise, size, scales in columns
    ]
    return caption, ["set", *header], lines


def small_defects(rows):
    """Image AUROC by what an image scores, for defects of several sizes: means of sets."""

    def mean(score, kind, on_textures, size):
        found = [
            float(row["auroc"])
            for row in rows
            if (row["score"], row["defects"], int(row["size"])) == (score, kind, size)
            and (row["dataset"] in _TEXTURES) == on_textures
        ]
        return f"{np.mean(found):.3f}"

    scores = dict.fromkeys(row["score"] for row in rows)
    lines = [[score, *(mean(score, *column) for column in _DEFECTS.values())] for score in scores]
    n_sets = len({row["dataset"] for row in rows} - set(_TEXTURES))
    caption = (
        f"Image AUROC of PatchCore, means of {n_sets} sets, or of two textures: "
        f"EfficientNet-Lite0, one scale, {_measured(rows)}"
    )
    return caption, ["score of an image", *_DEFECTS], lines


# From the name of a table to what makes it, and the CSV that it is made from.
TABLES = {
    "summary": (summary, "noise_models.csv"),
    "robustness": (robustness, "noise_models.csv"),
    "default size": (default_size, "default_size.csv"),
    "default size methods": (default_size_methods, "default_size_methods.csv"),
    "learning curve": (learning_curve, "learning_curve.csv"),
    "false alarms": (false_alarms, "learning_curve.csv"),
    "noise": (noise_found, "noise_models.csv"),
    "image sizes": (image_sizes, "resolution.csv"),
    "small defects": (small_defects, "small_defects.csv"),
    "peers": (peers, "peers.csv"),
}


def markdown(caption, header, lines):
    """A table for README."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join([f"{caption}.", "", *("| " + " | ".join(row) + " |" for row in rows)])


def restructured(caption, header, lines):
    """A table for a page of the documentation."""
    rows = [", ".join(f'"{cell}"' for cell in row) for row in [header, *lines]]
    head = [f".. csv-table:: {caption}", "    :header-rows: 1", ""]
    return "\n".join([*head, *(f"    {row}" for row in rows)])


_RENDERED = {".md": markdown, ".rst": restructured}


def rewritten(page):
    """Text of a page with its tables made anew."""
    path = ROOT / page
    start, end = _MARKS[path.suffix]
    text = path.read_text(encoding="utf-8")
    for name, (make, source) in TABLES.items():
        mark = start.format(name)
        if mark in text:
            table = _RENDERED[path.suffix](*make(read_rows(source)))
            pattern = rf"{re.escape(mark)}\n.*?\n{re.escape(end)}"
            new = f"{mark}\n\n{table}\n\n{end}"
            text = re.sub(pattern, lambda _, new=new: new, text, count=1, flags=re.DOTALL)
    return text


def main():
    for page in PAGES:
        (ROOT / page).write_text(rewritten(page), encoding="utf-8")


if __name__ == "__main__":
    main()
