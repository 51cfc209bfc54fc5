# SPDX-License-Identifier: BSD-3-Clause
"""The command that inspects images with a saved model."""

import json
import os
from functools import partial
from pathlib import Path

import numpy as np

from .. import __version__
from ..inspection.words import ANOMALOUS, summary
from ..runtime.files import check_length, remove_abandoned, replaced_file, replacing
from ..runtime.telling import told_once
from ..runtime.text import number, pvalue_text, say, score_text, shown
from ..runtime.threads import execution, progress, thread_pool
from .inputs import common_folder, given_images, readable_images
from .options import limit_threads
from .output import check_free, check_replaced, heard, write_csv

__all__ = ["run_score"]

_COLUMNS = ("image", "score", "p_value", "label", "unlike", "n_regions", "regions")
# What a row says of an image that was skipped, or is of a format that is not read.
_UNREADABLE = ("", "", "unreadable", "", "", "")
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
    maps,
    report,
    force,
    weights,
    device,
    engine,
    jobs,
    skip_bad,
    quiet,
):
    """Score images; write a CSV, heat maps and a report.

    Returns
    -------
    n_anomalous, n_unreadable : int
        Number of images that are anomalous, and of those that could not be read.
    """
    check_free(output, ".csv", "--output", force)
    check_free(report, ".html", "--report", force)
    (given, unread), root = given_images(images, layout, quiet), common_folder(images)
    targets = None if maps is None else _check_maps(maps, given, root, images, force)
    os.stat(model)
    # Only now, for it takes a second to load: there may be no such model or image.
    from ..inspection.result import Inspection

    model = _load(model, weights, device, engine, jobs, quiet)
    paths = readable_images(
        given,
        skip_bad=skip_bad,
        quiet=quiet,
        jobs=jobs,
        intensity_range=model[0].intensity_range_,
        grid=model[0].grid_size_,
    )
    if targets is not None:
        # One by one, since a call that makes all folders above fails where they are very deep.
        for folder in sorted(_folders(targets.values(), maps)):
            folder.mkdir(exist_ok=True)
            remove_abandoned(folder)
    rows, anomalous, patch_scores = [], [], []
    with (
        execution(None, not quiet),
        progress(len(paths), "score") as bar,
        thread_pool(jobs) as pool,
        heard() as warned,
        told_once(paths),
    ):
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            scores = model[1].predict_map(model[0].transform(chunk))
            inspection = Inspection.from_patch_scores(model, chunk, scores)
            rows += _rows(inspection)
            anomalous += _anomalous(inspection)
            if targets is not None:
                list(pool.map(partial(_write_map, inspection, targets), range(len(chunk))))
            if report is not None:
                patch_scores.append(scores)
            bar.update(len(chunk))
    found = dict(zip(paths, rows, strict=True))
    given += unread
    write_csv(output, _COLUMNS, [found.get(path, (path, *_UNREADABLE)) for path in given])
    if report is not None:
        model[1].set_params(verbose=not quiet)
        inspection = Inspection.from_patch_scores(model, paths, np.concatenate(patch_scores))
        inspection.to_html(report, [os.path.relpath(path, root) for path in paths], warned)
    n_unreadable = len(given) - len(paths)
    if not quiet:
        _print_anomalous(anomalous, len(rows), output if report is None else report)
        if n_unreadable:
            say(f"{n_unreadable} more are unreadable, and not inspected.")
        for name, path in {"Scores": output, "Heat maps": maps, "Report": report}.items():
            if path is not None:
                say(f"{name}: {shown(path)}")
    return len(anomalous), n_unreadable


def _check_maps(maps, paths, root, inputs, force):
    """Where the heat map of each image goes, by its path; nothing that was given is in the way."""
    if not maps.absolute().parent.is_dir():
        raise FileNotFoundError(f"--maps={str(maps)!r}: its parent folder does not exist.")
    if maps.exists() and not maps.is_dir():
        raise NotADirectoryError(f"--maps={str(maps)!r} is a file.")
    if not os.access(maps if maps.exists() else maps.absolute().parent, os.W_OK):
        raise PermissionError(f"--maps={str(maps)!r} cannot be written to.")
    # The ending is added, not replaced: a.jpg and a.png may lie side by side.
    targets = {path: maps / f"{os.path.relpath(os.path.abspath(path), root)}.png" for path in paths}
    names = (target.name for target in targets.values())
    longest = max(names, key=lambda name: len(os.fsencode(name)), default="")
    check_length(maps.absolute().parent / longest)
    real = set(_without_links(targets.values()))
    above = {str(parent) for path in set(map(os.path.dirname, real)) for parent in _upwards(path)}
    if not (real | above).isdisjoint({*map(os.path.realpath, inputs), *_without_links(paths)}):
        raise ValueError(
            f"--maps={str(maps)!r} would put heat maps among the images to inspect; give "
            "another folder."
        )
    folders = _folders(targets.values(), maps)
    for target in targets.values():
        if target in folders or target.is_dir():
            raise IsADirectoryError(
                f"--maps={str(maps)!r}: the heat map {str(target)!r} would have the name of a "
                "folder; give another folder, or inspect its image in a run of its own."
            )
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(
                f"--maps={str(maps)!r}: {str(folder)!r} is a file, and heat maps need a folder of "
                "that name; give another folder."
            )
    for target in targets.values():
        replaced_file(str(target), "--maps")
        if not force:
            check_replaced(target, ".png", "--maps")
    return targets


def _folders(targets, maps):
    """Folders that heat maps go to, from `maps` down."""
    lowest = {target.parent for target in targets}
    return {folder for path in lowest for folder in _upwards(path) if folder.is_relative_to(maps)}


def _upwards(folder):
    """A folder and all around it."""
    return Path(folder), *Path(folder).parents


def _without_links(paths):
    """Yield where files really are; many lie in one folder, which is looked up once."""
    folders = {}
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        path = os.path.join(folders[folder], name)
        yield os.path.realpath(path) if os.path.islink(path) else path


def _load(path, weights, device, engine, jobs, quiet):
    from ..inspection.result import check_threshold
    from ..persistence import load

    model = load(path, weights=weights)
    if not hasattr(model, "steps"):
        raise ValueError(f"{str(path)!r} holds a detector without its network; save the pipeline.")
    check_threshold(model[1])
    limit_threads(jobs)
    model[0].set_params(device=device, n_jobs=jobs, verbose=False)
    if engine is not None:
        model[0].set_params(engine=engine)
    model[1].set_params(device=device, n_jobs=None, verbose=False)
    return model


def _rows(inspection):
    """Values of `_COLUMNS` for each image."""
    columns = inspection.to_dict()
    columns["score"] = map(number, columns["score"])
    columns["p_value"] = map(number, columns["p_value"])
    columns["regions"] = map(json.dumps, columns["regions"])
    return zip(*(columns[name] for name in _COLUMNS), strict=True)


def _anomalous(inspection):
    """Score and texts of each anomalous image."""
    return [
        (
            inspection.scores[index],
            score_text(inspection.scores[index]),
            pvalue_text(inspection.pvalues[index], inspection.n_normal),
            shown(inspection.names[index]),
        )
        for index in np.flatnonzero(inspection.is_anomalous)
    ]


def _print_anomalous(anomalous, n_images, where):
    """Say how many images are anomalous, which are the worst, and where the others are."""
    say(summary(n_images, len(anomalous), ANOMALOUS))
    worst = sorted(anomalous, key=lambda found: -found[0])[:_MOST]
    if worst:
        say("score       p-value  image")
    for _, score, pvalue, name in worst:
        say(f"{score:>5}  {pvalue:>12}  {name}")
    if len(anomalous) > _MOST:
        say(f"... and {len(anomalous) - _MOST} more: see {shown(where)}")


def _write_map(inspection, targets, index):
    from PIL.PngImagePlugin import PngInfo

    mark = PngInfo()
    mark.add_text("Software", f"skpatch {__version__}")
    with replacing(targets[inspection.names[index]], sweep=False) as file:
        inspection.overlay(index).save(file, "PNG", pnginfo=mark)
