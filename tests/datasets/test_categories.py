# SPDX-License-Identifier: BSD-3-Clause
"""A folder of several sets, as benchmarks are unpacked."""

import numpy as np
import pytest
from PIL import Image

from skpatch.datasets.folder import list_categories, load_folder

SETS = {
    "mvtec": ("train/good/0.png", "test/good/1.png", "test/dent/2.png"),
    "loco": ("train/good/0.png", "test/good/1.png", "test/logical_anomalies/2.png"),
    "btad": ("train/ok/0.bmp", "test/ok/1.bmp", "test/ko/2.bmp"),
    "visa": ("Data/Images/Normal/0.JPG", "Data/Images/Normal/1.JPG", "Data/Images/Anomaly/2.JPG"),
    "sorted": ("good/0.png", "good/1.png", "bad/2.png"),
}


def write(root, names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 20), 40 * number, np.uint8)).save(path)


@pytest.mark.parametrize("names", SETS.values(), ids=SETS)
def test_categories_side_by_side(names, tmp_path):
    for category in ("bolt", "nut 2"):
        write(tmp_path / "all" / category, names)
    found = list_categories(tmp_path / "all")
    assert found == [str(tmp_path / "all" / "bolt"), str(tmp_path / "all" / "nut 2")]
    for folder in found:
        assert load_folder(folder).test_labels.sum() == 1
        # One is a list of itself, by the path as it was given.
        assert list_categories(folder) == [folder]


def test_what_has_no_layout_is_left_as_it_is(tmp_path):
    write(tmp_path / "photos", ("a.png", "b/c.png"))
    for path in (tmp_path / "photos", tmp_path / "nowhere", tmp_path / "photos" / "a.png"):
        assert list_categories(path) == [str(path)]
