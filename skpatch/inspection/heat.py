# SPDX-License-Identifier: BSD-3-Clause
"""The one colour scale of reports and overlays, in units of the threshold."""

import numpy as np
from PIL import Image

__all__ = ["COLOURS", "N_COLOURS", "STRENGTH", "TOP", "VEIL", "heat_picture", "overlay"]

# Number of colours, the score of the last one, and anchors of the scale. Well below the threshold
# they are transparent, so that normal places show the photograph.
N_COLOURS, TOP = 64, 2
# How strongly heat covers a photograph, as reports begin with.
STRENGTH = 0.7
_ANCHORS = {
    0.6: (66, 10, 104, 0),
    0.8: (147, 38, 103, 90),
    1.0: (221, 81, 58, 255),
    1.5: (252, 165, 10, 255),
    2.0: (252, 255, 164, 255),
}
COLOURS = np.stack(
    [
        np.interp(np.linspace(0, TOP, N_COLOURS), list(_ANCHORS), channel)
        for channel in zip(*_ANCHORS.values(), strict=True)
    ],
    axis=1,
)
# The one more colour of places that are not inspected.
VEIL = (0, 0, 0, 180)


def heat_picture(scores):
    """Palette picture (h, w) of scores in units of the threshold, with transparent colours.

    NaN, not inspected, darkens the photograph.
    """
    colours = np.vstack([COLOURS, VEIL]).round().astype(np.uint8)
    shown = np.where(np.isfinite(scores), np.clip(scores / TOP, 0, 1), 0)
    shown = np.where(np.isnan(scores), N_COLOURS, np.rint(shown * (N_COLOURS - 1)))
    image = Image.fromarray(shown.astype(np.uint8))
    image.putpalette(colours[:, :3].tobytes())
    image.info["transparency"] = colours[:, 3].tobytes()
    return image


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
