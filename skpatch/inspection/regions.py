# SPDX-License-Identifier: BSD-3-Clause
"""Groups of adjacent patches above the threshold."""

import math

import numpy as np
from scipy.ndimage import find_objects, label

__all__ = ["find_regions"]


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
        "box" [left, top, right, bottom] and "area" in pixels of the image, "score" in units of the
        threshold; the worst first.
    """
    labels, _ = label(patch_scores > 1, structure=np.ones((3, 3)))
    top, left, bottom, right = region
    height, width = (bottom - top) / labels.shape[0], (right - left) / labels.shape[1]
    found = []
    for group, (rows, columns) in enumerate(find_objects(labels), start=1):
        inside = labels[rows, columns] == group
        worst = patch_scores[rows, columns][inside].max()
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
