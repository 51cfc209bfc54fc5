# SPDX-License-Identifier: BSD-3-Clause
"""Groups of adjacent patches above the threshold, and the lines around them."""

import math

import numpy as np
from scipy.ndimage import find_objects, label

__all__ = ["find_outline", "find_regions"]


def find_regions(patch_scores, region):
    """Groups of adjacent patches above the threshold, diagonal neighbours included.

    They are found among the patches by whose worst the image is judged, so an anomalous image has
    at least one. Smoothing, as in ``predict_map``, would lower the worst places.

    Parameters
    ----------
    patch_scores : ndarray of shape (h, w)
        In units of the threshold.
    region : tuple (top, left, bottom, right)
        Part of the image, in its own pixels, that the patches cover.

    Returns
    -------
    list of dict
        "box" [left, top, right, bottom] and "area" in pixels of the image, "score" of its worst
        patch in units of the threshold; the worst first.
    """
    labels, _ = label(patch_scores > 1, structure=np.ones((3, 3)))
    n_rows, n_columns = labels.shape
    top, left, bottom, right = region
    cell = (bottom - top) * (right - left) / labels.size
    found = []
    for group, (rows, columns) in enumerate(find_objects(labels), start=1):
        inside = labels[rows, columns] == group
        worst = patch_scores[rows, columns][inside].max()
        first_x, last_x = _pixels(columns, n_columns, left, right)
        first_y, last_y = _pixels(rows, n_rows, top, bottom)
        found.append(
            {
                "box": [first_x, first_y, last_x, last_y],
                "area": round(inside.sum() * cell),
                "score": float(f"{worst:.6g}"),
            }
        )
    return sorted(found, key=lambda one: -one["score"])


def find_outline(patch_scores, region):
    """Lines around all regions, exactly along the edges of their patches.

    Parameters
    ----------
    patch_scores, region
        As for :func:`find_regions`.

    Returns
    -------
    ndarray of shape (k, 4), float64
        Horizontal and vertical lines from x, y to x, y in pixels of the image; those that continue
        each other are one.
    """
    inside = np.pad(patch_scores > 1, 1)
    y, left, right = _runs(inside[1:, 1:-1] != inside[:-1, 1:-1])
    x, top, bottom = _runs((inside[1:-1, 1:] != inside[1:-1, :-1]).T)
    cells = np.vstack([np.stack([left, y, right, y], 1), np.stack([x, top, x, bottom], 1)])
    corners = cells.reshape(-1, 2, 2) / patch_scores.shape[::-1]
    first, last = np.reshape(region, (2, 2))[:, ::-1]
    return (first + corners * (last - first)).reshape(-1, 4)


def _runs(is_edge):
    """Row, start and stop of each run of true values within the rows."""
    steps = np.diff(np.pad(is_edge, ((0, 0), (1, 1))).astype(int))
    rows, starts = np.nonzero(steps == 1)
    return rows, starts, np.nonzero(steps == -1)[1]


def _pixels(cells, n_cells, start, stop):
    """First pixel, and the one after the last, of a slice of cells that lie from start to stop."""
    length = stop - start
    # Multiplied first, whole numbers of pixels are exact; the width of a cell would be rounded.
    first = start + cells.start * length / n_cells
    last = stop if cells.stop == n_cells else start + cells.stop * length / n_cells
    return math.floor(first), math.ceil(last)
