# SPDX-License-Identifier: BSD-3-Clause
"""Tables and the plot of the rows that the robustness protocol measures."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..features.view import sizes_in_words
from ..plotting import RobustnessDisplay
from ..runtime.files import replacing
from ..runtime.text import say
from .provenance import changed_settings
from .settings import CONTAMINATION, METHODS

__all__ = ["ACCURACY", "OF_FIT", "plot_aurocs", "print_goals", "print_means", "print_settings"]

ACCURACY = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image average precision",
    "f1_max": "Image F1-max",
    "pixel_auroc": "Pixel AUROC",
    "aupro": "AUPRO",
}
# The same with and without overlap, since the fit is.
OF_FIT = {
    "audit_ap": "Audit average precision",
    "false_alarm_rate": "False-alarm rate",
    "fit_seconds": "Fit, seconds",
    "score_milliseconds": "Score of an image, milliseconds, without its features",
    "megabytes": "Memory bank, megabytes",
}

_OVERLAPS = {"yes": "overlap", "no": "no overlap"}
_COLORS = dict(
    zip(
        METHODS,
        ("#D55E00", "#F0A070", "#CC79A7", "#56B4E9", "#009E73", "#E69F00", "#1A1A1A"),
        strict=True,
    )
)
_LINES = {"yes": "-", "no": (0, (4, 2))}
_GOAL_LEVELS = (0.1, 0.4)
_ALL = "mean of all"
_DIGITS = {"fit_seconds": 1, "score_milliseconds": 1, "megabytes": 1}
# What LaTeX would not print.
_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
    }
)
# Parameters of the detector that are no setting of a preset: of a method, and of all.
_OF_METHOD = {"discriminator", "contamination"}


def print_settings(preset, data, detector, style="markdown"):
    """Print what a preset and options have chosen, and a table of the sets.

    Parameters
    ----------
    preset : str
    data : list of ImageSet
        With fitted extractors of the same parameters.
    detector : SoftPatchDetector
        Unfitted, of any method.
    style : {"markdown", "latex"}
    """
    extractor = data[0].extractor
    changed = changed_settings(detector)
    chosen = {
        "backbone": extractor.backbone,
        **changed_settings(extractor),
        "layers": " ".join(extractor.layers_),
        "coreset_size": detector.coreset_size,
        **{name: value for name, value in changed.items() if name not in _OF_METHOD},
    }
    said = ", ".join(f"{name}={value}" for name, value in chosen.items())
    title = f"Settings, preset {preset} (others give other figures, also of PatchCore): {said}"
    header = ["dataset", "normal training images", "test images", "network input", "masks"]
    _TABLES[style](title, header, [_set_in_words(one) for one in data])


def _set_in_words(data):
    """Name, numbers and sizes of a set."""
    train, pool = data.split(0)
    size = sizes_in_words(data.extractor.image_size_, data.extractor.n_scales_)
    masks = f"of {len(data.mask_paths)} images" if data.mask_paths else "none: no pixel metrics"
    return [data.name, str(len(train)), str(len(pool)), size, masks]


def print_means(rows, style="markdown", published=()):
    """Print a table of each metric: mean and spread over seeds, a column for each method.

    Parameters
    ----------
    rows : list of dict
    style : {"markdown", "latex"}
    published : sequence of Published
        They are lines below those that they are to be compared with.
    """
    methods, sources = _methods_in(rows), {}
    for metric, title in {**ACCURACY, **OF_FIT}.items():
        columns = ["noise"] if metric in OF_FIT else ["noise", "overlap"]
        known = [row for row in rows if not np.isnan(row[metric])]
        settings = sorted({tuple(row[column] for column in columns) for row in known})
        lines = []
        for dataset in [*_values(known, "dataset"), None]:
            for setting in settings:
                wanted = dict(zip(columns, setting, strict=True))
                lines += _measured_line(known, metric, dataset, methods, wanted)
                lines += _published_lines(published, metric, dataset, methods, wanted, sources)
        if lines:
            title = f"{title}, mean ± standard deviation over seeds"
            _TABLES[style](title, ["dataset", *columns, *methods], lines)
    comment = "% " if style == "latex" else ""
    if sources:
        say(f"\n{comment}Published figures are from")
    for source, number in sources.items():
        say(f"{comment}[{number}] {source}")


def _measured_line(rows, metric, dataset, methods, wanted):
    """The line of a data set, or of the mean of several, if there are figures for it."""
    cells = [_spread(rows, metric, dataset, method, wanted) for method in methods]
    is_known = any(cell != "-" for cell in cells)
    if not is_known or (dataset is None and len(_values(rows, "dataset")) == 1):
        return []
    return [[dataset or _ALL, *_setting_in_words(wanted), *cells]]


def _published_lines(published, metric, dataset, methods, wanted, sources):
    """Lines of published figures; what is new among their sources gets a number."""
    lines = []
    for one in published:
        of_methods = [one.figures.get((metric, method), {}).get(dataset) for method in methods]
        is_known = any(figure is not None for figure in of_methods)
        if is_known and wanted == {"noise": one.noise, "overlap": one.overlap}:
            number = sources.setdefault(one.source, len(sources) + 1)
            name = f"{dataset or one.images}, published [{number}]"
            cells = ["-" if figure is None else f"{figure:.3f}" for figure in of_methods]
            lines.append([name, *_setting_in_words(wanted), *cells])
    return lines


def _setting_in_words(wanted):
    noise, *others = wanted.values()
    return [f"{noise:.0%}", *others]


def _spread(rows, metric, dataset, method, wanted):
    """Mean over the seeds, with the standard deviation of more than one; None is all data sets."""
    wanted = {"method": method, **wanted, **({} if dataset is None else {"dataset": dataset})}
    of_seeds = {}
    for row in rows:
        if wanted.items() <= row.items():
            of_seeds.setdefault(row["seed"], []).append(row[metric])
    values = [np.mean(found) for found in of_seeds.values()]
    if not values:
        return "-"
    digits = _DIGITS.get(metric, 3)
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


def print_goals(rows):
    """Print what the methods are compared by, in points of image AUROC where not said otherwise."""
    methods, datasets = _methods_in(rows), _values(rows, "dataset")
    drops = [(level, overlap) for level in _GOAL_LEVELS for overlap in _OVERLAPS]
    _print_known(
        "Loss on clean data against PatchCore, and drop from a method's own clean figure",
        [
            "method",
            "mean loss",
            "largest loss",
            *(f"drop at {level:.0%}, {_OVERLAPS[overlap]}" for level, overlap in drops),
        ],
        [
            [method, *_clean_losses(rows, method), *(_mean_drop(rows, method, *d) for d in drops)]
            for method in methods
        ],
    )
    _print_known(
        f"False-alarm rate farthest from {CONTAMINATION:.0%}",
        ["method", "rate"],
        [[method, _farthest_rate(rows, method)] for method in methods],
    )
    levels = sorted(_values(rows, "noise"))
    _print_known(
        "Largest shortfall of skpatch against the best other method, with or without overlap",
        ["set", *(f"{level:.0%}" for level in levels)],
        [[name, *(_shortfall(rows, name, level) for level in levels)] for name in datasets],
    )
    _print_known(
        "Audit average precision at 10 % noise",
        ["set", *methods],
        [
            [name, *(_mean(rows, "audit_ap", dataset=name, noise=0.1, method=m) for m in methods)]
            for name in datasets
        ],
    )


def _print_known(title, header, lines):
    """Print a table without the columns that nothing is known for, or nothing."""
    known = [
        column
        for column in zip(header, *lines, strict=True)
        if any(isinstance(value, str) or not np.isnan(value) for value in column[1:])
    ]
    # The first one names the lines.
    if len(known) > 1:
        header, *lines = map(list, zip(*known, strict=True))
        _print_table(title, header, lines)


def plot_aurocs(rows, path):
    """Draw image AUROC against noise: a panel for each data set, a line for each method."""
    datasets, methods = _values(rows, "dataset"), _methods_in(rows)
    n_columns = math.ceil(math.sqrt(len(datasets)))
    n_lines = math.ceil(len(datasets) / n_columns)
    size = max(4 * n_columns, 6.4), 3.1 * n_lines + 1
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.1)
    axes = figure.subplots(n_lines, n_columns, squeeze=False, sharey=True)
    for ax, dataset in zip(axes.flat, datasets, strict=False):
        _plot_panel(ax, rows, dataset)
    for ax in axes.flat[len(datasets) :]:
        ax.set_visible(False)
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    for ax in axes.flat[: max(len(datasets) - n_columns, 0)]:
        ax.set_xlabel("")
    handles = [Line2D([], [], **_look(method), label=method) for method in methods]
    handles += [
        Line2D([], [], color="0.4", linestyle=_LINES[overlap], label=label)
        for overlap, label in _OVERLAPS.items()
    ]
    n_handles = 3 if n_columns < 3 else len(handles)
    figure.legend(handles=handles, loc="outside lower center", ncols=n_handles, frameon=False)
    figure.suptitle("Accuracy when defects hide among the training images", fontsize=13)
    with replacing(path) as file:
        figure.savefig(file, dpi=150)


def _plot_panel(ax, rows, dataset):
    rows = [row for row in rows if row["dataset"] == dataset]
    for overlap, line in _LINES.items():
        shown = [row for row in rows if row["overlap"] == overlap or not row["noise"]]
        columns = ([row[key] for row in shown] for key in ("true_noise", "image_auroc", "method"))
        looks = {method: {**_look(method), "linestyle": line} for method in _methods_in(shown)}
        RobustnessDisplay.from_predictions(*columns, ax=ax, curve_kwargs=looks, legend=False)
    ax.set_title(dataset, fontsize=11, parse_math=False)
    ax.set_xticks(_values(rows, "noise"))


def _look(method):
    ours = method == "skpatch"
    return {
        "color": _COLORS[method],
        "linewidth": 2.4 if ours else 1.5,
        "marker": "o",
        "markersize": 4.5 if ours else 3.5,
        "zorder": 4 if ours else 3,
    }


def _values(rows, key):
    """Distinct values of a column, in the order of their appearance."""
    return list(dict.fromkeys(row[key] for row in rows))


def _methods_in(rows):
    return [method for method in METHODS if method in _values(rows, "method")]


def _average(values):
    """Mean of the values that are not NaN; NaN if there are none."""
    return np.mean([value for value in values if not np.isnan(value)] or [np.nan])


def _mean(rows, metric, **wanted):
    """Mean of a metric over the rows with the wanted values of other columns, thus over seeds."""
    wanted = wanted.items()
    return _average([row[metric] for row in rows if wanted <= row.items()])


def _auroc(rows, dataset, noise, overlap, method):
    overlap = overlap if noise else "no"
    return _mean(rows, "image_auroc", dataset=dataset, noise=noise, overlap=overlap, method=method)


def _clean_losses(rows, method):
    """Mean over the sets of what a method loses against PatchCore, and the largest with its set."""
    losses = {
        name: _auroc(rows, name, 0, "no", "PatchCore") - _auroc(rows, name, 0, "no", method)
        for name in _values(rows, "dataset")
    }
    name, loss = max(losses.items(), key=lambda item: np.nan_to_num(item[1], nan=-np.inf))
    mean = _average(losses.values())
    return mean, mean if np.isnan(loss) else f"{_shown(loss)} ({name})"


def _mean_drop(rows, method, noise, overlap):
    """Mean over the sets of what noise takes from a method."""
    return _average(
        _auroc(rows, name, 0, "no", method) - _auroc(rows, name, noise, overlap, method)
        for name in _values(rows, "dataset")
    )


def _shortfall(rows, dataset, noise):
    """By how much skpatch is behind another method at most, overlap or not, and by which."""
    gaps = {}
    for overlap in _OVERLAPS if noise else ["no"]:
        ours = _auroc(rows, dataset, noise, overlap, "skpatch")
        for method in _methods_in(rows):
            gap = _auroc(rows, dataset, noise, overlap, method) - ours
            if method != "skpatch" and not np.isnan(gap):
                gaps[f"{_shown(gap)} ({method}, {_OVERLAPS[overlap]})"] = gap
    return max(gaps, key=gaps.get, default=np.nan)


def _farthest_rate(rows, method):
    """The false-alarm rate that is farthest from the contamination asked for, and where it is."""
    rates = {
        (row["dataset"], row["noise"]): _mean(
            rows, "false_alarm_rate", dataset=row["dataset"], noise=row["noise"], method=method
        )
        for row in rows
        if row["method"] == method
    }
    dataset, noise = max(rates, key=lambda setting: abs(rates[setting] - CONTAMINATION))
    return f"{_shown(rates[dataset, noise])} ({dataset}, {noise:.0%})"


def _print_table(title, header, lines):
    """Print a markdown table of texts and numbers."""
    say(f"\n{title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for line in lines:
        cells = (v.replace("|", "\\|") if isinstance(v, str) else _shown(v) for v in line)
        say(f"| {' | '.join(cells)} |")


def _print_latex(title, header, lines):
    """Print the same for a paper; it needs the package booktabs."""
    say(f"\n% {title}\n\\begin{{tabular}}{{{'l' * len(header)}}}\n\\toprule")
    for line in [header, None, *lines]:
        text = "\\midrule" if line is None else " & ".join(map(_latex, line)) + r" \\"
        say(text)
    say("\\bottomrule\n\\end{tabular}")


def _latex(text):
    return text.translate(_LATEX)


_TABLES = {"markdown": _print_table, "latex": _print_latex}


def _shown(value):
    return "-" if np.isnan(value) else f"{value:.3f}"
