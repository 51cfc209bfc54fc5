# SPDX-License-Identifier: BSD-3-Clause
"""Sets whose publishers say in a file which images are for training."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skpatch.bench.protocol import load_parts
from skpatch.datasets import load_folder
from skpatch.datasets.folder import list_categories

HEADER = "object,split,label,image,mask\n"
NORMAL, ANOMALY = "candle/Data/Images/Normal/", "candle/Data/Images/Anomaly/"
TABLE = (
    f"{HEADER}candle,train,normal,{NORMAL}0002.JPG,\ncandle,train,normal,{NORMAL}0000.JPG,\n"
    f"candle,test,normal,{NORMAL}0001.JPG,\n"
    f"candle,test,anomaly,{ANOMALY}000.JPG,candle/Data/Masks/Anomaly/000.png\n"
    "cashew,train,normal,cashew/Data/Images/Normal/0001.JPG,\n"
)


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 20), 255, np.uint8)).save(path)


@pytest.fixture
def visa(tmp_path):
    """A category of VisA, with the table of all beside it."""
    for name in ("Normal/0000.JPG", "Normal/0001.JPG", "Normal/0002.JPG", "Anomaly/000.JPG"):
        write(tmp_path / "candle" / "Data" / "Images" / name)
    write(tmp_path / "candle" / "Data" / "Masks" / "Anomaly" / "000.png")
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv" / "1cls.csv").write_text(TABLE)
    return tmp_path / "candle"


@pytest.fixture
def real_iad(tmp_path):
    """A category of Real-IAD: a defective part of which one view shows the defect."""
    root = tmp_path / "realiad_1024" / "toy"
    for name in ("OK/S1/a.jpg", "OK/S2/b.jpg", "OK/S3/c.jpg", "NG/HS/S4/d.jpg", "NG/HS/S4/e.jpg"):
        write(root / name)
    write(root / "NG/HS/S4/d.png")
    entries = {
        "train": [("OK/S2/b.jpg", "OK", None), ("OK/S1/a.jpg", "OK", None)],
        "test": [("NG/HS/S4/d.jpg", "HS", "NG/HS/S4/d.png"), ("NG/HS/S4/e.jpg", "OK", None)],
    }
    keys = ("image_path", "anomaly_class", "mask_path")
    split = {
        part: [{"category": "toy", **dict(zip(keys, row, strict=True))} for row in rows]
        for part, rows in entries.items()
    }
    split["meta"] = {"prefix": "toy/", "normal_class": "OK", "pre_transform": None}
    path = tmp_path / "realiad_jsons" / "realiad_jsons" / "toy.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(split))
    return root


def names(paths):
    return [Path(path).name for path in paths]


def test_visa(visa):
    parts = load_folder(visa)
    assert names(parts.train_images) == ["0000.JPG", "0002.JPG"]
    assert names(parts.test_images) == ["0001.JPG", "000.JPG"]
    assert parts.test_labels.tolist() == [0, 1]
    assert parts.test_masks == [None, str(visa / "Data/Masks/Anomaly/000.png")]
    # The benchmark has what it needs of both.
    assert list_categories(visa.parent) == [str(visa)]
    assert len(load_parts(str(visa)).pool) == 2


def test_visa_without_its_table(visa):
    (visa.parent / "split_csv" / "1cls.csv").unlink()
    parts = load_folder(visa)
    assert len(parts.train_images) == 3
    assert parts.test_labels.tolist() == [1]


def test_a_category_that_the_table_does_not_have(visa):
    visa.rename(visa.with_name("mine"))
    assert len(load_folder(visa.with_name("mine")).train_images) == 3


def test_real_iad(real_iad):
    # The file names the masks, so there is nothing to warn of.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = load_folder(real_iad)
    assert names(parts.train_images) == ["a.jpg", "b.jpg"]
    assert list(zip(names(parts.test_images), parts.test_types, strict=True)) == [
        ("e.jpg", "OK"),
        ("d.jpg", "HS"),
    ]
    assert parts.test_labels.tolist() == [0, 1]
    assert parts.test_masks == [None, str(real_iad / "NG/HS/S4/d.png")]
    assert names(parts.unused_images) == ["c.jpg"]
    assert list_categories(real_iad.parent) == [str(real_iad)]


def test_files_of_real_iad_in_one_folder(real_iad):
    folder = real_iad.parent.parent / "realiad_jsons"
    (folder / "realiad_jsons" / "toy.json").rename(folder / "toy.json")
    assert len(load_folder(real_iad).train_images) == 2


@pytest.mark.parametrize("name", ["NG/HS/S4/d.jpg", "OK/S1/a.jpg"])
def test_missing_images_are_told(real_iad, name):
    (real_iad / name).unlink()
    with pytest.warns(UserWarning, match=rf"toy\.json' lists 1 images .* such as '{name}'"):
        load_folder(real_iad)


def test_a_file_of_other_images(real_iad):
    for name in ("a", "b"):
        path = real_iad / "OK" / f"{name}.jpg"
        write(path)
    for path in real_iad.glob("*/*/**/*.jpg"):
        path.unlink()
    with (
        pytest.warns(UserWarning, match="lists 4 images that are not in"),
        pytest.raises(ValueError, match="holds no training images"),
    ):
        load_folder(real_iad)


@pytest.mark.parametrize("text", ["", "{}", '{"train": [{}], "test": []}', "[1]", "\x00\xff"])
def test_a_damaged_file_is_named(real_iad, text):
    path = real_iad.parent.parent / "realiad_jsons" / "realiad_jsons" / "toy.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"toy\.json' .* cannot be read .* take it away"):
        load_folder(real_iad)


def test_a_table_without_its_columns_is_named(visa):
    (visa.parent / "split_csv" / "1cls.csv").write_text(TABLE.replace("image,mask", "path"))
    with pytest.raises(ValueError, match=r"1cls\.csv' .*\(KeyError: 'image'\)"):
        load_folder(visa)
