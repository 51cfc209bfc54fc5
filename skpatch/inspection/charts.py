# SPDX-License-Identifier: BSD-3-Clause
"""Scores of all images as two small drawings: how many there are of each, and by rank."""

import numpy as np

__all__ = ["HEIGHT", "WIDTH", "draw_curve", "draw_histogram"]

# Size of a drawing in its own units, which a page stretches, and bars of a histogram.
WIDTH, HEIGHT = 480, 120
_N_BARS = 48
# Scores that drawings show at least; larger ones than the most lie on the edge.
_LEAST, _MOST = 1.5, 4.0


def _top(scores):
    """Score at the edge of both drawings."""
    return float(np.clip(np.nanmax(scores, initial=0), _LEAST, _MOST))


def draw_histogram(scores):
    """Bars of a histogram of scores (n,), in units of the threshold.

    Returns
    -------
    dict
        "bars" a list of (x, y, width, height, is_above), "threshold" the x of 1, "top" the score
        at the right edge, and "most" the number of images of the highest bar.
    """
    top = _top(scores)
    # The threshold is an edge, so no bar has images of both sides.
    step = 1 / round(_N_BARS / top)
    n_bars = int(np.ceil(top / step))
    places = np.ceil(np.minimum(scores[np.isfinite(scores)], top) / step).astype(int) - 1
    counts = np.bincount(np.clip(places, 0, n_bars - 1), minlength=n_bars)
    width, most = WIDTH / n_bars, max(1, counts.max())
    bars = [
        (
            round(place * width, 2),
            round(HEIGHT * (1 - count / most), 2),
            round(width * 0.9, 2),
            round(HEIGHT * count / most, 2),
            place * step > 1 - step / 2,
        )
        for place, count in enumerate(counts)
        if count
    ]
    threshold = round(WIDTH / (n_bars * step), 2)
    return {"bars": bars, "threshold": threshold, "top": n_bars * step, "most": int(most)}


def draw_curve(scores):
    """Curve of scores (n,) by rank.

    Returns
    -------
    dict
        "points" the points of a line, "threshold" the y of 1, and "top" the score at the upper
        edge.
    """
    top = _top(scores)
    ranked = -np.sort(-scores[np.isfinite(scores)])
    x = (np.arange(len(ranked)) + 0.5) / len(scores) * WIDTH
    y = HEIGHT * (1 - np.minimum(ranked, top) / top)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return {"points": points, "threshold": round(HEIGHT * (1 - 1 / top), 2), "top": top}
