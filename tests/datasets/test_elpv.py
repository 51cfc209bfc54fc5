# SPDX-License-Identifier: BSD-3-Clause
import os
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from skpatch.datasets import load_elpv


def test_elpv_defaults():
    cells = load_elpv()
    assert len(cells.images) == len(cells.target) == len(cells.kinds) == 588 + 313
    assert_array_equal(np.unique(cells.target), [0.0, 1.0])
    assert_array_equal(cells.is_defective, cells.target == 1)
    assert set(cells.kinds) == {"mono"}
    assert all(os.path.isabs(path) for path in cells.images)
    assert "CC BY-NC-SA 4.0" in cells.DESCR
    assert "10.1016/j.solener.2019.02.067" in cells.DESCR
    with Image.open(cells.images[0]) as image:
        assert image.size == (300, 300)


def test_elpv_grades_and_kinds():
    every = load_elpv(kind="all", grades=(0, 0.33, 0.67, 1))
    assert len(every.images) == len(set(every.images)) == 2624
    assert_array_equal(np.unique(every.target), [0, 1 / 3, 2 / 3, 1])
    assert_array_equal(np.unique(every.target[every.is_defective]), [2 / 3, 1])
    poly = load_elpv(kind="poly", grades=(1 / 3,))
    assert len(poly.images) == 178
    assert not poly.is_defective.any()
    assert poly.images == [
        path
        for path, grade, kind in zip(every.images, every.target, every.kinds, strict=True)
        if kind == "poly" and grade == 1 / 3
    ]


def test_elpv_errors(monkeypatch):
    with pytest.raises(ValueError, match="'mono', 'poly' and 'all'"):
        load_elpv(kind="thin")
    for grades in ((), (0.5,), (0, 2)):
        with pytest.raises(ValueError, match="0, 1/3, 2/3 and 1"):
            load_elpv(grades=grades)
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)
    with pytest.raises(ImportError, match=r'pip install "skpatch\[demo\]"'):
        load_elpv()
