# SPDX-License-Identifier: BSD-3-Clause
"""The one look of reports, overlays and plots: colours in units of the threshold, and outlines."""

import numpy as np
from PIL import Image, ImageDraw

from .regions import find_outline

__all__ = [
    "COLOURS",
    "HALO",
    "LINE",
    "N_COLOURS",
    "STRENGTH",
    "TOP",
    "VEIL",
    "draw_outline",
    "heat_picture",
    "overlay",
]

# Number of colours, the score of the last one, and anchors of the scale. All are equally light, so
# a photograph gets lighter or darker towards them as the score rises, never both; from orange to
# magenta red-blind people see yellow turn into blue. Below the first anchor nothing is tinted.
N_COLOURS, TOP = 64, 2
_ANCHORS = {
    0.86: (245, 100, 0, 0),
    1.0: (245, 100, 0, 102),
    1.4: (255, 70, 140, 204),
    2.0: (240, 70, 205, 255),
}
# How strongly heat covers a photograph, as reports begin with: what is beneath can be made out.
STRENGTH = 0.5
COLOURS = np.stack(
    [
        np.interp(np.linspace(0, TOP, N_COLOURS), list(_ANCHORS), channel)
        for channel in zip(*_ANCHORS.values(), strict=True)
    ],
    axis=1,
)
# The one more colour of places that are not inspected.
VEIL = (0, 0, 0, 255)
# Outlines of regions: one of both can be seen on any grey.
LINE, HALO = (128, 0, 0), (255, 255, 255)
# Pixels of an image for each of a line's width, and the halo in widths of the line.
_PIXELS_FOR_ONE, _HALO_WIDTHS = 300, 3


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
    """Photograph under its heat map, with outlined regions, as in a report.

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
    draw_outline(image, find_outline(scores, region))
    return image


def draw_outline(image, lines):
    """Draw horizontal and vertical lines (k, 4) in pixels, with a halo that is seen on any grey."""
    width = max(1, round(min(image.size) / _PIXELS_FOR_ONE))
    _draw(image, lines, _HALO_WIDTHS * width, HALO)
    _draw(image, lines, width, LINE)


def _draw(image, lines, width, colour):
    """Draw horizontal and vertical lines, wholly within the image."""
    draw = ImageDraw.Draw(image)
    last = np.maximum(0, np.subtract(image.size, width))
    for line in np.reshape(lines, (-1, 2, 2)):
        first, end = np.clip(np.rint(line).astype(int) - width // 2, 0, last)
        draw.rectangle([*first.tolist(), *(end + width - 1).tolist()], fill=colour)
