# SPDX-License-Identifier: BSD-3-Clause
"""One HTML file of images, their scores and heat maps, without any other file or connection."""

import base64
import hashlib
import io
import json
import os
from datetime import datetime
from importlib import resources
from urllib.parse import quote

import numpy as np
from PIL import Image

from .. import __version__
from ..detector.estimator import fitted_state
from ..features.view import visible_region
from ..images.names import shorten_names
from ..runtime.files import check_output, replacing
from ..runtime.text import number, pvalue_text, score_text
from ..runtime.threads import progress, thread_pool
from .charts import HEIGHT, WIDTH, draw_curve, draw_histogram
from .heat import HALO, LINE, N_COLOURS, STRENGTH, TOP, heat_picture
from .places import cut, find_normal_places, middle_of, side_of, worst_patch
from .regions import find_outline, find_regions
from .run import content_digest, describe_run, find_folder, relative_file
from .words import ANOMALOUS, FEW, PVALUE, REGION, SCORE, SUSPICIOUS, summary, verdict

__all__ = ["write_report"]

# Longest side of a copy in pixels: enough for the large view or, of more images, for the grid.
_FEW, _SIDE_OF_FEW, _SIDE_OF_MANY = 1000, 320, 160
# The most suspicious images have a larger copy and their worst place as the camera has seen it.
_N_LARGE, _LARGE_SIDE = 200, 640
_JPEG_QUALITY, _PLACE_QUALITY = 70, 85
# Parts of the script, in the order in which they stand in the page.
_SCRIPTS = ("page", "csv", "gallery", "review", "viewer", "zoom", "charts", "start")


def write_report(path, inspection, names=None, notes=(), *, title, meaning, audit=None):
    """Write a report of scored images, the most suspicious first.

    Parameters
    ----------
    path : path
        HTML file; it is replaced once the report is complete.
    inspection : Inspection
        Its images are read one by one; only small copies are kept.
    names : list of str, optional
        Names to show; by default those of the inspection, short.
    notes : sequence of str
        What else to say above the images, such as warnings.
    title, meaning : str
        Heading, and what images are compared with.
    audit : NoiseAudit, optional
        What else is known of training images.
    """
    check_output(path, ".html", "path")
    names = shorten_names(inspection.names) if names is None else names
    images, extractor = inspection.images, inspection.model.steps[0][1]
    folder = find_folder(images, names)
    is_alarm = inspection.is_anomalous if audit is None else audit.is_suspicious
    word = ANOMALOUS if audit is None else SUSPICIOUS
    n_images, n_alarms = len(images), int(is_alarm.sum())
    is_told = audit is None or n_images >= FEW
    if folder:
        title = f"{'Inspection' if audit is None else 'Audit'} of {os.path.basename(folder)}"
    page = {
        "title": title,
        "counted": f"{n_alarms:,} of {n_images:,} {word}" if is_told else "",
        "meaning": f"{meaning} The score is the {SCORE}: above 1 an image is {word}. "
        f"The p-value is the {PVALUE}.",
        "region": REGION,
        "word": word,
        "finding": "" if audit is None or audit.finding is None else audit.finding.reason,
        "run": describe_run(inspection, names, folder),
        "digest": content_digest(names, inspection.scores),
        "histogram": draw_histogram(inspection.scores),
        "curve": draw_curve(inspection.scores),
        "chart": (WIDTH, HEIGHT),
        "n_images": n_images,
        "summary": summary(n_images, n_alarms, word),
        "notes": notes,
        "groups": [] if audit is None else _groups(audit, names),
        "has_folders": len({os.path.dirname(name) for name in names}) > 1,
        "has_removed": audit is not None,
        "has_outside": bool(np.isnan(inspection.patch_scores).any()),
    }
    side = _SIDE_OF_FEW if n_images <= _FEW else _SIDE_OF_MANY
    places = _worst_places(inspection, names, is_alarm, audit)

    def card(rank, index):
        pixels, scores = images.load(index), inspection.patch_scores[index]
        score, pvalue = inspection.scores[index], inspection.pvalues[index]
        region = visible_region(pixels.shape[:2], extractor)
        regions = find_regions(scores, region)
        file = relative_file(path, folder, names[index]) if folder else None
        return {
            "rank": rank,
            "name": names[index],
            "file": None if file is None else quote(os.fsencode(file)),
            "score": score,
            "pvalue": pvalue,
            "score_text": score_text(score),
            "pvalue_text": pvalue_text(pvalue, inspection.n_normal),
            "is_alarm": is_alarm[index],
            "verdict": verdict(score, is_alarm[index], word),
            "places_text": _places_in_words(regions, pixels.shape[:2]),
            "regions": json.dumps(regions),
            "removed": None if audit is None else audit.n_removed[index],
            "known": "" if audit is None else _known(index, audit, inspection),
            "group": 0 if audit is None else audit.groups[index] + 1,
            "is_unlike": inspection.is_unlike[index],
            "original": names[audit.copy_of[index]] if audit and audit.copy_of[index] >= 0 else "",
            "heat": _heat_map(scores),
            "outline": _path(find_outline(scores, (0, 0, *scores.shape))),
            **_geometry(pixels, region, scores.shape),
            "photo": _small_copy(pixels, side),
            "large": None,
            **(places(index, pixels, side) if rank <= _N_LARGE and is_alarm[index] else {}),
        }

    with thread_pool(extractor.n_jobs) as pool:
        _render(path, page, pool.map(card, range(1, n_images + 1), inspection.ranking))


def _known(index, audit, inspection):
    """What the model has been told of a training image."""
    if inspection.model.steps[-1][1].forgotten_images_[index]:
        return "defect"
    return "normal" if audit.declared_normal[index] else ""


def _worst_places(inspection, names, is_alarm, audit):
    """Function that gives the larger pictures of an image that is suspicious."""
    images, (_, extractor) = inspection.images, inspection.model.steps[0]
    detector = inspection.model.steps[-1][1]
    grid = inspection.patch_scores.shape[1:]
    normal = {}
    if audit is not None:
        numbers = np.flatnonzero(is_alarm)
        found = find_normal_places(fitted_state(detector), numbers, detector.device)
        normal = dict(zip(numbers.tolist(), found.tolist(), strict=True))

    def square(pixels, patch, side):
        region = visible_region(pixels.shape[:2], extractor)
        return _photo(cut(pixels, middle_of(patch, grid, region), side), _PLACE_QUALITY)

    def places(index, pixels, small):
        scores = inspection.patch_scores[index]
        side = side_of(scores, visible_region(pixels.shape[:2], extractor))
        found = {"place": square(pixels, worst_patch(scores), side)}
        if max(pixels.shape[:2]) > small:
            found["large"] = _small_copy(pixels, _LARGE_SIDE)
        image, *patch = normal.get(int(index), (-1,))
        if image >= 0:
            found["normal"] = square(images.load(image), patch, side)
            found["normal_text"] = f"{names[image]}, row {patch[0]}, column {patch[1]}"
        return found

    return places


def _groups(audit, names):
    """Names of the images of each group, the most suspicious first."""
    return [
        [names[index] for index in audit.ranking if audit.groups[index] == group]
        for group in range(audit.groups.max() + 1)
    ]


def _render(path, page, cards):
    """Write the page piece by piece."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("skpatch.inspection"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "literal": repr}
    script = "".join(_template(f"{name}.js") for name in _SCRIPTS)
    for kind, text in [
        ("style", _template("report.css")),
        ("script", f'"use strict";\n{{\n{script}}}\n'),
    ]:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        page |= {kind: Markup(text), f"{kind}_hash": f"sha256-{digest}"}
    page |= {
        "version": __version__,
        "date": datetime.now().astimezone(),
        "scale": _heat_map(np.linspace(0, TOP, N_COLOURS)[np.newaxis]),
        "scale_top": TOP,
        "strength": round(100 * STRENGTH),
        "line": "#" + bytes(LINE).hex(),
        "halo": "#" + bytes(HALO).hex(),
    }
    with (
        progress(page["n_images"], "report") as bar,
        # Names of files may hold bytes that are no text.
        replacing(path, encoding="utf-8", errors="replace", newline="\n") as file,
    ):

        def counted():
            for card in cards:
                yield card
                bar.update()

        template = environment.get_template("report.html")
        file.writelines(template.generate(page, cards=counted()))


def _template(name):
    return resources.files("skpatch.inspection").joinpath(f"templates/{name}").read_text("utf-8")


def _places_in_words(regions, size):
    """How many regions there are in an image of a size (H, W), and how large they are."""
    if not regions:
        return ""
    percent = round(100 * sum(found["area"] for found in regions) / (size[0] * size[1]))
    share = f"{percent} %" if percent else "under 1 %"
    return f"{len(regions)} place{'s' * (len(regions) > 1)}, {share} of the image"


def _path(lines):
    """Lines (k, 4) as an SVG path."""
    return "".join(f"M{x:g} {y:g}L{to_x:g} {to_y:g}" for x, y, to_x, to_y in lines)


def _geometry(pixels, region, grid):
    """Size of an image, its part that is inspected, and the size of a patch, in its pixels."""
    top, left, bottom, right = np.round(region, 2).tolist()
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "top": top,
        "left": left,
        "bottom": bottom,
        "right": right,
        "cell_width": (right - left) / grid[1],
        "cell_height": (bottom - top) / grid[0],
    }


def _small_copy(pixels, side):
    """Picture of an image, reduced so that no side is longer."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    return _data_uri(image, "JPEG", quality=_JPEG_QUALITY)


def _photo(pixels, quality):
    return _data_uri(Image.fromarray(pixels), "JPEG", quality=quality)


def _heat_map(scores):
    """Picture (h, w) of scores in units of the threshold; the browser enlarges it smoothly."""
    return _data_uri(heat_picture(scores), "PNG", optimize=True)


def _data_uri(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{form.lower()};base64,{encoded}"
