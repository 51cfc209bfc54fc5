# SPDX-License-Identifier: BSD-3-Clause
"""An audit at a glance: what a prompt and a notebook show of it."""

from html import escape

import numpy as np

from ..runtime.text import pvalue_text, score_text, shown
from .words import SUSPICIOUS, summary, verdict

__all__ = ["as_html", "as_text"]

# Images that are shown.
_MOST = 10
_HEADER = ("rank", "score", "p-value", "verdict", "image")


def as_text(audit):
    """Lines of a NoiseAudit for a prompt."""
    rows = _worst(audit)
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    # The names of images come last, and need no space behind them.
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (_HEADER, *rows)]
    return "\n".join([f"NoiseAudit: {_said(audit)}", *lines, *_more(audit)])


def as_html(audit):
    """The same as a table for a notebook."""
    cells = "".join(f"<th>{name}</th>" for name in _HEADER)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in _worst(audit)
    )
    more = "".join(f"<p>{escape(text)}</p>" for text in _more(audit))
    return (
        f"<p><b>NoiseAudit</b>: {escape(_said(audit))}</p>"
        f"<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>{more}"
    )


def _said(audit):
    """Sentences about all images."""
    counted = summary(len(audit.scores), np.count_nonzero(audit.is_suspicious), SUSPICIOUS)
    return counted if audit.finding is None else f"{counted} {audit.finding.reason}"


def _worst(audit):
    """Texts on the most suspicious images."""
    found = audit.inspection
    return [
        (
            str(rank),
            score_text(found.scores[index]),
            pvalue_text(found.pvalues[index], found.n_normal),
            verdict(found.scores[index], audit.is_suspicious[index], SUSPICIOUS),
            shown(found.names[index]),
        )
        for rank, index in enumerate(audit.ranking[:_MOST], 1)
    ]


def _more(audit):
    """What is not shown, and where it is."""
    n_more = len(audit.scores) - _MOST
    return [f"... and {n_more} more: see to_frame() and to_html(path)"] if n_more > 0 else []
