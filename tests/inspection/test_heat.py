# SPDX-License-Identifier: BSD-3-Clause
"""The look of heat maps: what can be told from them, also by who sees no red."""

from importlib import resources

import numpy as np
import pytest

from skpatch.inspection.heat import HALO, LINE, STRENGTH, heat_picture, overlay

GREYS = np.repeat(np.arange(256)[:, np.newaxis], 3, axis=1)
# Machado, Oliveira and Fernandes (2009): linear RGB as people without cones for red see it.
PROTANOPIA = np.array(
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
)


def linear(colours):
    """Linear RGB of sRGB from 0 to 255."""
    shares = np.asarray(colours) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def without_red(colours):
    return np.clip(linear(colours) @ PROTANOPIA.T, 0, 1)


def luminance(rgb):
    return rgb @ [0.2126, 0.7152, 0.0722]


def lightness(colours):
    """L* of sRGB colours."""
    found = luminance(linear(colours))
    return np.where(found > 216 / 24389, 116 * np.cbrt(found) - 16, found * 24389 / 27)


def contrast(one, other):
    """Contrast of two luminances, as WCAG 2 has it."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    return (high + 0.05) / (low + 0.05)


def tinted(grey, scores):
    """Colours of places with these scores, far from each other, in a grey photograph."""
    heat = np.asarray(heat_picture(np.atleast_2d(scores)).convert("RGBA"))[0] / 255
    alpha = STRENGTH * heat[:, 3:]
    return 255 * heat[:, :3] * alpha + grey * (1 - alpha)


@pytest.mark.parametrize("seen", [linear, without_red])
def test_outlines_are_seen_on_every_grey(seen):
    line, halo, greys = (luminance(seen(colours)) for colours in (LINE, HALO, GREYS))
    assert np.maximum(contrast(line, greys), contrast(halo, greys)).min() >= 3
    assert contrast(line, halo) >= 7


def test_nothing_is_tinted_well_below_the_threshold():
    scores = np.linspace(0, 0.85, 100)
    assert not np.asarray(heat_picture(scores[np.newaxis]).convert("RGBA"))[0, :, 3].any()
    # Hardly, where a normal image comes near it.
    change = np.abs(lightness(tinted(255, [0.95])) - 100)
    assert 0 < change < 6


@pytest.mark.parametrize("grey", [0, 60, 128, 190, 255])
def test_colours_go_one_way(grey):
    """A photograph gets lighter or darker with the score, not first the one and then the other."""
    steps = np.diff(lightness(tinted(grey, np.linspace(0, 2, 64))))
    assert min(steps[steps > 0].sum(), -steps[steps < 0].sum()) < 0.5


@pytest.mark.parametrize("grey", [0, 60, 128, 190, 255])
@pytest.mark.parametrize("seen", [linear, without_red])
def test_high_scores_differ_from_those_at_the_threshold(grey, seen):
    # Cube roots are about as far apart as colours look.
    none, threshold, twice = np.cbrt(seen(tinted(grey, [0, 1, 2])))
    assert np.abs(threshold - none).max() > 0.05
    assert np.abs(twice - threshold).max() > 0.1


def test_what_is_beneath_can_be_made_out():
    scores = np.full((2, 2), 9.0)
    pixels = np.full((20, 20, 3), 100, np.uint8)
    pixels[:, 10:] = 200
    found = np.asarray(overlay(pixels, scores, (0, 0, 20, 20)), int)
    assert (found[10, 15] - found[10, 5] >= 49).all()


def test_pages_begin_as_strong():
    style = resources.files("skpatch.inspection").joinpath("templates/report.css")
    assert f"--heat: {STRENGTH};" in style.read_text(encoding="utf-8")


@pytest.mark.parametrize(("side", "width"), [(60, 1), (1200, 4)])
def test_outline_of_an_overlay(side, width):
    """A line around the patch, as wide as the picture asks for, in the middle of a white one."""
    pixels = np.full((side, side, 3), 100, np.uint8)
    scores = np.zeros((6, 6))
    scores[2, 2:4] = 1.01
    found = np.asarray(overlay(pixels, scores, (0, 0, side, side)))
    is_line, is_halo = ((found == colour).all(axis=2) for colour in (LINE, HALO))
    middle = side // 2
    cell = side // 6
    rows, columns = (
        np.flatnonzero(is_line[:, middle]),
        np.flatnonzero(is_line[2 * cell + cell // 2]),
    )
    assert len(rows) == len(columns) == 2 * width
    np.testing.assert_allclose([rows.mean(), rows.min()], [2.5 * cell, 2 * cell], atol=width)
    np.testing.assert_allclose([columns.mean(), columns.max()], [3 * cell, 4 * cell], atol=width)
    assert is_halo[:, middle].sum() == 4 * width


def test_an_outline_stays_in_the_picture():
    pixels = np.full((60, 60, 3), 100, np.uint8)
    found = np.asarray(overlay(pixels, np.full((6, 6), 2.0), (0, 0, 60, 60)))
    for edge in (found[0], found[-1], found[:, 0], found[:, -1]):
        assert (edge == LINE).all()


def test_no_outline_at_the_threshold():
    pixels = np.full((60, 60, 3), 100, np.uint8)
    found = np.asarray(overlay(pixels, np.ones((6, 6)), (0, 0, 60, 60)))
    assert not (found == HALO).all(axis=2).any()
    assert not (found == LINE).all(axis=2).any()
