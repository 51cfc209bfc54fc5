# SPDX-License-Identifier: BSD-3-Clause
"""The command that finds the defective images of a folder."""

import os
import shlex

import numpy as np

from ..console.output import check_free, check_table, table_stream
from ..inspection.table_files import rows_of, table_form, write_table
from ..inspection.words import SUSPICIOUS, summary
from ..runtime.telling import heard
from ..runtime.terminal import say_table
from ..runtime.text import pvalue_text, say, score_text, shown
from .train import list_training, train, training_stages

__all__ = ["run_audit"]


def run_audit(
    *,
    images,
    output,
    csv,
    form,
    report_image_size,
    top,
    force,
    quiet,
    layout,
    region,
    decisions,
    trusted,
    **options,
):
    """Rank images, each scored without itself; write report and ranking."""
    check_table(csv, form, "--csv", force)
    with table_stream(csv) as stream:
        training = list_training(
            images, layout=layout, region=region, quiet=quiet, decisions=decisions, trusted=trusted
        )
        if output is None:
            output = f"{os.path.basename(os.path.abspath(training.folder)) or 'skpatch'}-audit.html"
        check_free(output, ".html", "--output", force)
        is_replaced = os.path.exists(output)
        stages = training_stages(quiet, options["memory_limit"], n_more=2)
        with heard() as warned:
            model, paths, features = train(training, stages, quiet=quiet, region=region, **options)
            from ..inspection.audit import NoiseAudit

            with stages.begin("scoring each image without itself"):
                audit = NoiseAudit(model, paths, features)
        rows = [row for _, row in sorted((row["rank"], row) for row in rows_of(audit.to_dict()))]
        if csv is not None:
            write_table(csv, table_form(csv, form), rows, stream)
        with stages.begin("writing the report"):
            audit.to_html(output, model.image_names_, warned, report_image_size)
        if not quiet:
            _print_audit(audit, rows[:top], model.image_names_, output)
            say(f"Report: {shown(output)}{' (replaced)' if is_replaced else ''}")
            if csv not in (None, "-"):
                say(f"Ranking: {shown(csv)}")
            say(
                "Next: mark the images in the report, save decisions.csv, and: skpatch fit "
                f"{shown(shlex.join(images))} --decisions decisions.csv -o model.skpatch"
            )


def _print_audit(audit, rows, names, output):
    """Print the first rows, where the others are, what was found, and what to ask the user."""
    n_suspicious = np.count_nonzero(audit.is_suspicious)
    _print_ranking(rows, audit.inspection.n_normal)
    more = n_suspicious - sum(row["label"] == SUSPICIOUS for row in rows)
    if more:
        say(f"... and {more} more are suspicious: see {shown(output)}")
    say(summary(len(audit.scores), n_suspicious, SUSPICIOUS))
    if audit.finding is not None:
        say(audit.finding.reason)
    _print_groups(audit.groups, names)


def _print_ranking(rows, n_normal):
    """Print rows of the ranking under headings."""
    header = ("rank", "score", "p-value", "suspicious", "noise patches", "image")
    lines = [
        (
            str(row["rank"]),
            score_text(row["score"]),
            pvalue_text(row["p_value"], n_normal),
            "yes" if row["label"] == SUSPICIOUS else "no",
            str(row["noise_patches"]),
            shown(row["image"]) + _copied(row.get("copy_of")),
        )
        for row in rows
    ]
    alarms = [row["label"] == SUSPICIOUS for row in rows]
    say_table(header, lines, alarms, narrow=("rank", "score", "image"))


def _copied(original):
    return f", a copy of {shown(original)}" if original else ""


def _print_groups(groups, names):
    """Ask what each group of images that look alike is, and say how to answer."""
    for group in range(groups.max() + 1):
        found = np.flatnonzero(groups == group)
        options = [f"--trust {shown(shlex.quote(names[index]))}" for index in found]
        say(
            f"These {len(options)} look alike: a normal variant, or the same defect? If normal: "
            f"{' '.join(options)}"
        )
