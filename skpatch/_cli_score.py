# SPDX-License-Identifier: BSD-3-Clause
"""The command that inspects images with a saved model."""

import json
import math
import os
from functools import partial
from pathlib import Path

import click
import numpy as np
from PIL import Image
from scipy.ndimage import find_objects, label

from ._calibration import conformal_pvalues
from ._cli_inputs import common_folder, given_images, readable_images
from ._cli_output import shown, write_csv
from ._cli_train import limit_threads
from ._heat import STRENGTH, heat_picture
from ._images import check_images
from ._output import check_length, check_output, number, remove_abandoned, replacing
from ._parallel import execution, progress, thread_pool
from ._preparation import visible_region
from ._report import check_threshold

__all__ = ["find_regions", "overlay", "run_score"]

_COLUMNS = ("image", "score", "p_value", "label", "n_regions", "regions")
# Images whose features are in memory at a time.
_CHUNK = 32


def run_score(*, model, images, output, maps, report, weights, device, jobs, skip_bad, quiet):
    """Score images; write a CSV, heat maps and a report. Returns the number of anomalous ones."""
    check_output(output, ".csv", "--output")
    check_output(report, ".html", "--report")
    paths, root = given_images(images), common_folder(images)
    targets = None if maps is None else _check_maps(maps, paths, root, images)
    model = _load(model, weights, device, jobs, quiet)
    paths = readable_images(
        paths, skip_bad=skip_bad, quiet=quiet, jobs=jobs, grid=model[0].grid_size_
    )
    rows, patch_scores = [], []
    with (
        execution(None, not quiet),
        progress(len(paths), "score") as bar,
        thread_pool(jobs) as pool,
    ):
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            scores = model[1].predict_map(model[0].transform(chunk))
            rows += _rows(model, chunk, scores)
            if targets is not None:
                list(pool.map(partial(_write_map, model, targets), chunk, scores))
            if report is not None:
                patch_scores.append(scores)
            bar.update(len(chunk))
    write_csv(output, _COLUMNS, rows)
    if report is not None:
        from .report import score_report

        model[1].set_params(verbose=not quiet)
        names = [os.path.relpath(path, root) for path in paths]
        score_report(report, model, paths, patch_scores=np.concatenate(patch_scores), names=names)
    n_anomalous = sum(row[3] == "anomalous" for row in rows)
    if not quiet:
        click.echo(f"{n_anomalous} of {len(rows)} images are anomalous (score above 1).")
        for name, path in {"Scores": output, "Heat maps": maps, "Report": report}.items():
            if path is not None:
                click.echo(f"{name}: {shown(path)}")
    return n_anomalous


def _check_maps(maps, paths, root, inputs):
    """Where the heat map of each image goes, by its path; nothing that was given is in the way."""
    if not maps.absolute().parent.is_dir():
        raise FileNotFoundError(f"--maps={str(maps)!r}: its parent folder does not exist.")
    if maps.exists() and not maps.is_dir():
        raise NotADirectoryError(f"--maps={str(maps)!r} is a file.")
    if not os.access(maps if maps.exists() else maps.absolute().parent, os.W_OK):
        raise PermissionError(f"--maps={str(maps)!r} cannot be written to.")
    # The ending is added, not replaced: a.jpg and a.png may lie side by side.
    targets = {path: maps / f"{os.path.relpath(os.path.abspath(path), root)}.png" for path in paths}
    given = {os.path.realpath(path) for path in (*inputs, *paths)}
    for folder in {target.parent for target in targets.values()}:
        if folder.is_dir():
            remove_abandoned(folder)
    for target in targets.values():
        check_length(maps.absolute().parent / target.name)
        target = Path(os.path.realpath(target))
        if not given.isdisjoint(map(str, (target, *target.parents))):
            raise ValueError(
                f"--maps={str(maps)!r} would put heat maps among the images to inspect; give "
                "another folder."
            )
    return targets


def _load(path, weights, device, jobs, quiet):
    from .persistence import load

    model = load(path, weights=weights)
    if not hasattr(model, "steps"):
        raise ValueError(f"{str(path)!r} holds a detector without its network; save the pipeline.")
    check_threshold(model[1].offset_)
    limit_threads(jobs)
    model[0].set_params(device=device, n_jobs=jobs, verbose=False)
    model[1].set_params(device=device, n_jobs=None, verbose=False)
    return model


def _rows(model, paths, patch_scores):
    """Values of `_COLUMNS` for images and the scores (n, h, w) of their patches."""
    threshold = -model[1].offset_
    scores = model[1]._average_worst(patch_scores)
    pvalues = conformal_pvalues(model[1].calibration_scores_, -scores)
    rows = []
    for index, (_, region) in enumerate(model[0].input_regions(paths)):
        regions = find_regions(patch_scores[index], threshold, region)
        rows.append(
            (
                paths[index],
                number(scores[index] / threshold),
                number(pvalues[index]),
                "anomalous" if scores[index] > threshold else "normal",
                len(regions),
                json.dumps(regions),
            )
        )
    return rows


def find_regions(patch_scores, threshold, region):
    """Groups of adjacent patches above the threshold, diagonal neighbours included.

    They are found among the patches by whose worst the image is judged, so an anomalous image has
    at least one. Smoothing, as in ``predict_map``, would lower the worst places.

    Parameters
    ----------
    patch_scores : ndarray of shape (h, w)
    threshold : float
    region : tuple (top, left, bottom, right)
        Part of the image, in its own pixels, that the patches cover.

    Returns
    -------
    list of dict
        "box" [left, top, right, bottom] and "area" in pixels of the image, "score" in units of the
        threshold; the worst first.
    """
    labels, _ = label(patch_scores > threshold, structure=np.ones((3, 3)))
    top, left, bottom, right = region
    height, width = (bottom - top) / labels.shape[0], (right - left) / labels.shape[1]
    found = []
    for group, (rows, columns) in enumerate(find_objects(labels), start=1):
        inside = labels[rows, columns] == group
        worst = patch_scores[rows, columns][inside].max() / threshold
        found.append(
            {
                "box": [
                    math.floor(left + columns.start * width),
                    math.floor(top + rows.start * height),
                    math.ceil(left + columns.stop * width),
                    math.ceil(top + rows.stop * height),
                ],
                "area": round(inside.sum() * height * width),
                "score": float(f"{worst:.6g}"),
            }
        )
    return sorted(found, key=lambda one: -one["score"])


def _write_map(model, targets, path, patch_scores):
    pixels = check_images([path]).load(0)
    region = visible_region(pixels.shape[:2], model[0])
    target = targets[path]
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        overlay(pixels, patch_scores / -model[1].offset_, region).save(temporary, "PNG")


def overlay(pixels, scores, region):
    """Photograph under its heat map, as in a report.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, 3), uint8
    scores : ndarray of shape (h, w)
        Of the patches, in units of the threshold.
    region : tuple (top, left, bottom, right)
        Part of the image that the patches cover.

    Returns
    -------
    PIL.Image.Image
    """
    image = Image.fromarray(pixels)
    top, left, bottom, right = (round(edge) for edge in region)
    size = right - left, bottom - top
    heat = heat_picture(scores).convert("RGBA").resize(size, Image.Resampling.BILINEAR)
    image.paste(heat, (left, top), heat.getchannel("A").point(lambda alpha: alpha * STRENGTH))
    return image
