# SPDX-License-Identifier: BSD-3-Clause
"""One HTML file of images, their scores and heat maps, without any other file or connection."""

import base64
import hashlib
import os
from datetime import datetime
from importlib import resources

import numpy as np

from .. import __version__
from ..images.names import shorten_names
from ..runtime.files import check_output, replacing
from ..runtime.text import number
from ..runtime.threads import progress, thread_pool
from .cards import Cards, heat_uri
from .charts import HEIGHT, WIDTH, draw_curve, draw_histogram
from .heat import HALO, LINE, N_COLOURS, STRENGTH, TOP
from .run import content_digest, describe_run, find_folder
from .words import ANOMALOUS, FEW, PVALUE, REGION, SCORE, SUSPICIOUS, summary

__all__ = ["write_report"]

# Parts of the script, in the order in which they stand in the page.
_SCRIPTS = ("page", "csv", "gallery", "review", "viewer", "zoom", "charts", "start")


def write_report(
    path, inspection, names=None, notes=(), image_size=None, *, title, meaning, audit=None
):
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
    image_size : int, optional
        Longest side of their copies in pixels.
    title, meaning : str
        Heading, and what images are compared with.
    audit : NoiseAudit, optional
        What else is known of training images.
    """
    check_output(path, ".html", "path")
    names = shorten_names(inspection.names) if names is None else names
    folder = find_folder(inspection.images, names)
    if folder:
        title = f"{'Inspection' if audit is None else 'Audit'} of {os.path.basename(folder)}"
    page = {
        "title": title,
        "notes": notes,
        "run": describe_run(inspection, names, folder),
        "digest": content_digest(names, inspection.scores),
        "has_folders": len({os.path.dirname(name) for name in names}) > 1,
        **_drawings(inspection.scores),
        **_findings(inspection, names, meaning, audit),
    }
    cards = Cards(path, inspection, names, folder, image_size, audit)
    ranks = range(1, len(names) + 1)
    with thread_pool(inspection.model.steps[0][1].n_jobs) as pool:
        _render(path, page, pool.map(cards.make, ranks, inspection.ranking))


def _findings(inspection, names, meaning, audit):
    """What was found, in numbers and in words."""
    is_alarm = inspection.is_anomalous if audit is None else audit.is_suspicious
    word = ANOMALOUS if audit is None else SUSPICIOUS
    n_images, n_alarms = len(names), int(is_alarm.sum())
    is_told = audit is None or n_images >= FEW
    return {
        "n_images": n_images,
        "word": word,
        "counted": f"{n_alarms:,} of {n_images:,} {word}" if is_told else "",
        "summary": summary(n_images, n_alarms, word),
        "finding": "" if audit is None or audit.finding is None else audit.finding.reason,
        "meaning": f"{meaning} The score is the {SCORE}: above 1 an image is {word}. "
        f"The p-value is the {PVALUE}.",
        "region": REGION,
        "groups": [] if audit is None else _groups(audit, names),
        "has_removed": audit is not None,
        "has_outside": bool(np.isnan(inspection.patch_scores).any()),
    }


def _drawings(scores):
    return {
        "histogram": draw_histogram(scores),
        "curve": draw_curve(scores),
        "chart": (WIDTH, HEIGHT),
        "scale": heat_uri(np.linspace(0, TOP, N_COLOURS)[np.newaxis]),
        "scale_top": TOP,
        "strength": round(100 * STRENGTH),
        "line": "#" + bytes(LINE).hex(),
        "halo": "#" + bytes(HALO).hex(),
    }


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
    page |= {"version": __version__, "date": datetime.now().astimezone()}
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
