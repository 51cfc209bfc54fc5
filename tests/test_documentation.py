# SPDX-License-Identifier: BSD-3-Clause
"""What the documentation is made with."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from _reports import NAMES, SCORES, write
from PIL import Image

DOCS = Path(__file__).parent.parent / "docs"


def script(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_picture_of_a_report(browser, model, tmp_path):
    pytest.importorskip("playwright")
    report = tmp_path / "report.html"
    write(report, model, SCORES, NAMES)
    output = tmp_path / "report.jpg"
    script("show_report").photograph(browser, report, output)
    with Image.open(output) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (1300, 1195)
        red, green, blue = np.asarray(picture).reshape(-1, 3).astype(int).T
    # The mark of the first image.
    assert ((red > 150) & (green < 70) & (blue < 60)).sum() > 500


def test_pictures_are_small_enough_for_a_page():
    for path in (DOCS / "images").iterdir():
        assert path.stat().st_size < 600_000, path
