# SPDX-License-Identifier: BSD-3-Clause
"""The command that inspects images with a saved model."""

import os

import numpy as np

from ..console.inputs import common_folder, images_to_score, named_inputs, readable_images
from ..console.maps import make_folders, map_places, write_maps
from ..console.output import check_free, check_table, table_stream
from ..inspection.table_files import rows_of, table_form, write_table
from ..inspection.words import ANOMALOUS, summary
from ..runtime.stages import Stages
from ..runtime.telling import heard, told_once
from ..runtime.terminal import say_table
from ..runtime.text import pvalue_text, say, score_text, shown
from ..runtime.threads import execution, progress, thread_pool
from .loading import load_pipeline

__all__ = ["run_score"]

# Images whose features are in memory at a time.
_CHUNK = 32
# Anomalous images that are printed.
_MOST = 10


def run_score(
    *,
    model,
    images,
    layout,
    output,
    form,
    maps,
    report,
    report_image_size,
    force,
    contamination,
    skip_bad,
    quiet,
    jobs,
    **options,
):
    """Score images; write a table, heat maps and a report.

    Returns
    -------
    n_anomalous, n_unreadable : int
        Number of images that are anomalous, and of those that could not be read.
    """
    check_table(output, form, "--output", force)
    check_free(report, ".html", "--report", force)
    with table_stream(output) as stream:
        inputs = named_inputs(images)
        (given, unread), root = images_to_score(inputs, layout, quiet), common_folder(inputs)
        places = None if maps is None else map_places(maps, given, root, inputs)
        os.stat(model)
        stages = Stages(2 + (maps is not None) + (report is not None), quiet)
        with stages.begin(f"reading the model and {len(given)} images"):
            model = load_pipeline(model, jobs=jobs, **options)
            if contamination is not None:
                _promise(model[1], contamination)
            paths = readable_images(
                given,
                skip_bad=skip_bad,
                quiet=quiet,
                jobs=jobs,
                intensity_range=model[0].intensity_range_,
                grid=model[0].grid_size_,
            )
        if places is not None:
            make_folders(places, maps)
        with heard() as warned, stages.begin("scoring"):
            table, patch_scores = _inspect(model, paths, maps or report, quiet)
        rows, every = rows_of(table), given + unread
        write_table(output, table_form(output, form), _with_unread(rows, every), stream)
        if patch_scores:
            inspection = _all_inspected(model, paths, patch_scores)
            if maps is not None:
                with stages.begin("drawing heat maps"), thread_pool(jobs) as pool:
                    write_maps(inspection, places, pool, force)
            if report is not None:
                model[1].set_params(verbose=not quiet)
                names = [os.path.relpath(path, root) for path in paths]
                with stages.begin("writing the report"):
                    inspection.to_html(report, names, warned, report_image_size)
        anomalous = [row for row in rows if row["label"] == ANOMALOUS]
        n_unreadable = len(every) - len(rows)
        if not quiet:
            outputs = {"Scores": output, "Heat maps, by rank and score": maps, "Report": report}
            _print_anomalous(anomalous, len(rows), model[1], outputs)
            _print_others(n_unreadable, outputs)
    return len(anomalous), n_unreadable


def _promise(detector, contamination):
    """Set the share of false alarms, and warn if so few images cannot promise it."""
    from ..detector.calibration import warn_of_promise

    detector.set_params(contamination=contamination)
    if contamination != "auto":
        warn_of_promise(detector.calibration_scores_, contamination)


def _inspect(model, paths, keeps, quiet):
    """Table of images, part by part, and the scores of their patches if they are kept."""
    from ..inspection.result import Inspection
    from ..inspection.table import join_tables

    tables, patch_scores = [], []
    with (
        execution(None, not quiet),
        progress(len(paths), "score") as bar,
        told_once(paths),
    ):
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            scores = model[1].predict_map(model[0].transform(chunk))
            inspection = Inspection.from_patch_scores(model, chunk, scores)
            tables.append(inspection.to_dict())
            if keeps:
                patch_scores.append(scores)
            bar.update(len(chunk))
    return join_tables(tables), patch_scores


def _with_unread(rows, paths):
    """Rows of all images in their order; those that were not inspected say so."""
    found = {row["image"]: row for row in rows}
    lost = {**dict.fromkeys(rows[0]), "label": "unreadable"}
    return [found.get(path, {**lost, "image": path}) for path in paths]


def _all_inspected(model, paths, patch_scores):
    """Inspection of images whose patches were scored part by part."""
    from ..inspection.result import Inspection

    return Inspection.from_patch_scores(model, paths, np.concatenate(patch_scores))


def _print_anomalous(anomalous, n_images, detector, outputs):
    """Say how many images are anomalous, which are the worst, and where the others are."""
    say(summary(n_images, len(anomalous), ANOMALOUS))
    n_normal = len(detector.calibration_scores_)
    lines = [
        (score_text(row["score"]), pvalue_text(row["p_value"], n_normal), shown(row["image"]))
        for row in sorted(anomalous, key=lambda row: row["rank"])[:_MOST]
    ]
    say_table(("score", "p-value", "image"), lines, [True] * len(lines), narrow=("score", "image"))
    if len(anomalous) > _MOST:
        where = outputs["Report"] or outputs["Scores"]
        named = "the table" if where == "-" else shown(where)
        say(f"... and {len(anomalous) - _MOST} more: see {named}")


def _print_others(n_unreadable, outputs):
    """Say how many images were not inspected, and what was written."""
    if n_unreadable:
        say(f"{n_unreadable} more are unreadable, and not inspected.")
    for name, path in outputs.items():
        if path not in (None, "-"):
            say(f"{name}: {shown(path)}")
