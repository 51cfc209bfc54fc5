# SPDX-License-Identifier: BSD-3-Clause
"""One HTML file of images, their scores and heat maps, without any other file or connection."""

import base64
import hashlib
import io
from datetime import datetime
from importlib import resources

import numpy as np
from PIL import Image

from .. import __version__
from ..features.view import visible_region
from ..images.names import shorten_names
from ..runtime.files import check_output, replacing
from ..runtime.text import number, pvalue_text, score_text
from ..runtime.threads import progress, thread_pool
from .heat import HALO, LINE, N_COLOURS, STRENGTH, TOP, heat_picture
from .regions import find_outline, find_regions
from .words import ANOMALOUS, FEW, PVALUE, REGION, SCORE, SUSPICIOUS, summary, verdict

__all__ = ["write_report"]

# Longest side of a copy in pixels: enough for the large view or, of more images, for the grid.
_FEW, _SIDE_OF_FEW, _SIDE_OF_MANY = 1000, 320, 160
_JPEG_QUALITY = 70


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
    patch_scores = inspection.patch_scores
    is_alarm = inspection.is_anomalous if audit is None else audit.is_suspicious
    word = ANOMALOUS if audit is None else SUSPICIOUS
    side = _SIDE_OF_FEW if len(images) <= _FEW else _SIDE_OF_MANY

    def note(index):
        is_copy = audit is not None and audit.copy_of[index] >= 0
        copied = [f"copy of {names[audit.copy_of[index]]}"] if is_copy else []
        unlike = ["unlike everything learned"] if inspection.is_unlike[index] else []
        return "; ".join(unlike + copied)

    def card(rank, index):
        pixels, scores = images.load(index), patch_scores[index]
        score, pvalue = inspection.scores[index], inspection.pvalues[index]
        region = visible_region(pixels.shape[:2], extractor)
        return {
            "rank": rank,
            "name": names[index],
            "score": score,
            "pvalue": pvalue,
            "score_text": score_text(score),
            "pvalue_text": pvalue_text(pvalue, inspection.n_normal),
            "is_alarm": is_alarm[index],
            "verdict": verdict(score, is_alarm[index], word),
            "regions": _regions_in_words(find_regions(scores, region), pixels.shape[:2]),
            "removed": None if audit is None else audit.n_removed[index],
            "is_declared": audit is not None and audit.declared_normal[index],
            "group": 0 if audit is None else audit.groups[index] + 1,
            "note": note(index),
            "heat": _heat_map(scores),
            "outline": _path(find_outline(scores, (0, 0, *scores.shape))),
            **_small_copy(pixels, side, region, scores.shape),
        }

    page = {
        "title": title,
        "meaning": f"{meaning} The score is the {SCORE}: above 1 an image is {word}. "
        f"The p-value is the {PVALUE}.",
        "region": REGION,
        "word": word,
        "finding": "" if audit is None or audit.finding is None else audit.finding.reason,
        "n_images": len(images),
        "n_alarms": int(is_alarm.sum()),
        "is_told": audit is None or len(images) >= FEW,
        "summary": summary(len(images), int(is_alarm.sum()), word),
        "notes": notes,
        "groups": [] if audit is None else _groups(audit, names),
        "has_removed": audit is not None,
        "has_outside": bool(np.isnan(patch_scores).any()),
    }
    with thread_pool(extractor.n_jobs) as pool:
        _render(path, page, pool.map(card, range(1, len(images) + 1), inspection.ranking))


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
    for kind, suffix in [("style", "css"), ("script", "js")]:
        file = resources.files("skpatch.inspection").joinpath(f"templates/report.{suffix}")
        text = file.read_text(encoding="utf-8")
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


def _regions_in_words(regions, size):
    """How many regions there are in an image of a size (H, W), and how large they are."""
    if not regions:
        return ""
    percent = round(100 * sum(found["area"] for found in regions) / (size[0] * size[1]))
    share = f"{percent} %" if percent else "under 1 %"
    return f"{len(regions)} region{'s' * (len(regions) > 1)}, {share}"


def _path(lines):
    """Lines (k, 4) as an SVG path."""
    return "".join(f"M{x:g} {y:g}L{to_x:g} {to_y:g}" for x, y, to_x, to_y in lines)


def _small_copy(pixels, side, region, grid):
    """Reduced image and its size; the region (top, left, bottom, right) and a patch, in pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    height, width = image.height / pixels.shape[0], image.width / pixels.shape[1]
    edges = np.multiply(region, (height, width, height, width)).round(2).tolist()
    top, left, bottom, right = edges
    return {
        "cell_width": (right - left) / grid[1],
        "cell_height": (bottom - top) / grid[0],
        "photo": _data_uri(image, "JPEG", quality=_JPEG_QUALITY),
        "width": image.width,
        "height": image.height,
        "top": top,
        "left": left,
        "bottom": bottom,
        "right": right,
    }


def _heat_map(scores):
    """Picture (h, w) of scores in units of the threshold; the browser enlarges it smoothly."""
    return _data_uri(heat_picture(scores), "PNG", optimize=True)


def _data_uri(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{form.lower()};base64,{encoded}"
