# SPDX-License-Identifier: BSD-3-Clause
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from _strange import few
from hypothesis import given
from hypothesis import strategies as st

from skpatch.features.view import central_region
from skpatch.inspection.regions import find_outline, find_regions

SIDES = range(28, 1200)


def box_of(cells, grid, region):
    """Box of one group of cells, (top, left, bottom, right)."""
    scores = np.zeros(grid)
    scores[cells[0] : cells[2], cells[1] : cells[3]] = 2
    (found,) = find_regions(scores, region)
    return found["box"]


@pytest.mark.parametrize("n_cells", [14, 28, 29, 60])
def test_boxes_of_the_last_cells_end_with_the_image(n_cells):
    for side in SIDES:
        size = (side, side + 3)
        cells = (n_cells - 7, n_cells - 7, n_cells, n_cells)
        left, top, right, bottom = box_of(cells, (n_cells, n_cells), central_region(size, None))
        assert (bottom, right) == size
        assert top == floor(Fraction((n_cells - 7) * size[0], n_cells))
        assert left == floor(Fraction((n_cells - 7) * size[1], n_cells))


def test_boxes_are_exact():
    scores = np.zeros((28, 1))
    scores[::2] = 2
    for side in SIDES:
        spans = sorted(found["box"][1::2] for found in find_regions(scores, (0.0, 0.0, side, 9.0)))
        assert spans == [
            [side * cell // 28, ceil(Fraction((cell + 1) * side, 28))] for cell in range(0, 28, 2)
        ]


@few
@given(
    height=st.integers(28, 5000),
    width=st.integers(28, 5000),
    resize=st.integers(32, 500),
    less=st.integers(0, 30),
    grid=st.tuples(st.integers(1, 64), st.integers(1, 64)),
)
def test_boxes_lie_in_the_image_whatever_was_cropped(height, width, resize, less, grid):
    region = central_region((height, width), (resize - less) / resize)
    scores = np.full(grid, 2.0)
    scores[1::2, ::2] = scores[::2, 1::2] = 0
    for found in [*find_regions(scores, region), *find_regions(np.full(grid, 2.0), region)]:
        left, top, right, bottom = found["box"]
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width
        assert found["area"] <= (right - left) * (bottom - top) + 1


def test_outlines_are_the_edges_of_the_patches_above_the_threshold():
    scores = np.ones((3, 4))
    scores[0, 1:] = 2
    scores[1, 3] = np.inf
    scores[2, 0] = np.nan
    lines = {tuple(line) for line in find_outline(scores, (0, 0, 3, 4))}
    across = {(1, 0, 4, 0), (1, 1, 3, 1), (3, 2, 4, 2)}
    down = {(1, 0, 1, 1), (3, 1, 3, 2), (4, 0, 4, 2)}
    assert lines == across | down
    # Patches of 20 by 10 pixels, from x = 5 and y = 7 on.
    assert [25, 7, 85, 7] in find_outline(scores, (7, 5, 37, 85)).tolist()
    assert find_outline(np.ones((3, 4)), (0, 0, 3, 4)).shape == (0, 4)


def test_outlines_surround_the_regions():
    """Walking along a row, each line that goes down is an edge of a patch, and no other is."""
    scores = np.random.RandomState(0).uniform(0, 2, (9, 7))
    lines = find_outline(scores, (0, 0, 9, 7))
    inside = np.zeros((9, 7), bool)
    for left, top, right, bottom in lines.astype(int):
        if left == right:
            inside[top:bottom, left:] ^= True
    np.testing.assert_array_equal(inside, scores > 1)
    lying = np.zeros((9, 7), bool)
    for left, top, right, bottom in lines.astype(int):
        if top == bottom:
            lying[top:, left:right] ^= True
    np.testing.assert_array_equal(lying, scores > 1)
    boxes = np.array([found["box"] for found in find_regions(scores, (0, 0, 9, 7))])
    assert set(boxes[:, [0, 2]].ravel()) <= set(lines[:, ::2].ravel())
