# SPDX-License-Identifier: BSD-3-Clause
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image, UnidentifiedImageError

from skpatch.datasets import load_elpv, load_folder, make_contaminated_images, read_mask
from skpatch.metrics import image_auroc, pixel_auroc


def touch(folder, *names):
    """Make files that are never read."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def relative(paths, folder):
    return [None if path is None else Path(path).relative_to(folder).as_posix() for path in paths]


# load_elpv


def test_elpv_defaults():
    pytest.importorskip("elpv_dataset")
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
    pytest.importorskip("elpv_dataset")
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


# load_folder


@pytest.fixture
def mvtec(tmp_path):
    touch(
        tmp_path,
        *("train/good/10.png", "train/good/9.PNG", "train/good/notes.txt", "train/good/._9.png"),
        *("test/good/0.jpg", "test/dent/2.png", "test/dent/11.png", "test/a_crack/1.png"),
        *("test/no_mask/1.png", ".hidden/0.png"),
        *("ground_truth/dent/2_mask.png", "ground_truth/dent/11_mask.bmp"),
        "ground_truth/a_crack/1.png",
    )
    return tmp_path


def test_mvtec_layout(mvtec):
    parts = load_folder(mvtec)
    assert parts.layout == "mvtec"
    assert relative(parts.train_images, mvtec) == ["train/good/9.PNG", "train/good/10.png"]
    assert relative(parts.test_images, mvtec) == [
        "test/good/0.jpg",
        "test/a_crack/1.png",
        "test/dent/2.png",
        "test/dent/11.png",
        "test/no_mask/1.png",
    ]
    assert relative(parts.test_masks, mvtec) == [
        None,
        "ground_truth/a_crack/1.png",
        "ground_truth/dent/2_mask.png",
        "ground_truth/dent/11_mask.bmp",
        None,
    ]
    assert_array_equal(parts.test_labels, [0, 1, 1, 1, 1])
    assert_array_equal(parts.test_annotated, [True, True, True, True, False])
    assert parts.test_types == ["good", "a_crack", "dent", "dent", "no_mask"]
    assert parts.defect_types == ["a_crack", "dent", "no_mask"]
    named = load_folder(str(mvtec), layout="mvtec")
    assert named.train_images == parts.train_images
    assert named.test_masks == parts.test_masks


def test_btad_layout(tmp_path):
    touch(
        tmp_path,
        *("train/ok/0.bmp", "test/ok/0.bmp", "test/ko/1.bmp", "test/ko/2.bmp"),
        *("ground_truth/ko/1.png", "ground_truth/ko/2.bmp"),
    )
    parts = load_folder(tmp_path)
    assert parts.layout == "btad"
    assert relative(parts.test_masks, tmp_path) == [
        None,
        "ground_truth/ko/1.png",
        "ground_truth/ko/2.bmp",
    ]
    assert_array_equal(parts.test_labels, [0, 1, 1])
    assert parts.defect_types == ["ko"]


def test_plain_folder(tmp_path):
    names = ["b/img1.jpeg", "img2.tif", "img10.webp", "img010.bmp", "readme.txt"]
    touch(tmp_path, *names)
    parts = load_folder(tmp_path)
    assert parts.layout == "plain"
    assert relative(parts.train_images, tmp_path) == [
        "b/img1.jpeg",
        "img2.tif",
        "img010.bmp",
        "img10.webp",
    ]
    assert parts.test_images == parts.test_masks == parts.test_types == parts.defect_types == []
    assert len(parts.test_labels) == len(parts.test_annotated) == 0


def test_train_only(tmp_path):
    touch(tmp_path, "train/good/0.png")
    parts = load_folder(tmp_path)
    assert parts.layout == "mvtec"
    assert len(parts.train_images) == 1
    assert parts.test_images == []


def test_relative_path_becomes_absolute(tmp_path, monkeypatch):
    touch(tmp_path, "set/1.png")
    monkeypatch.chdir(tmp_path)
    assert load_folder("set").train_images == [str(tmp_path / "set" / "1.png")]


def test_plain_layout_on_request(mvtec):
    assert len(load_folder(mvtec, layout="plain").train_images) == 10


def test_folder_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        load_folder(tmp_path / "missing")
    touch(
        tmp_path, "file.txt", "loose/test/1.png", "mvtec/bottle/train/good/1.png", "x/train/1.png"
    )
    with pytest.raises(NotADirectoryError, match=r"file\.txt' is a file"):
        load_folder(tmp_path / "file.txt")
    with pytest.raises(ValueError, match=r"Unknown layout 'visa'; known are 'auto', 'mvtec'"):
        load_folder(tmp_path, layout="visa")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty' holds no images.*\.png, \.jpg"):
        load_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match="good' does not exist"):
        load_folder(tmp_path / "x", layout="mvtec")
    with pytest.raises(ValueError, match=r"several categories.*: bottle"):
        load_folder(tmp_path / "mvtec")
    with pytest.raises(ValueError, match='layout="plain"'):
        load_folder(tmp_path / "loose")
    touch(tmp_path, "mvtec/bottle/test/7.png")
    with pytest.raises(ValueError, match=r"outside of its subfolders, such as 7\.png"):
        load_folder(tmp_path / "mvtec" / "bottle")


# read_mask


def test_read_mask_modes(tmp_path):
    mask = np.zeros((6, 8), bool)
    mask[1:3, 4:7] = True
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    # The smallest value counts, and neither opaque alpha nor a palette index does.
    palette = Image.fromarray(1 - mask.astype(np.uint8)).convert("P")
    palette.putpalette([0, 0, 255, 0, 0, 0])
    images = {
        "grey": grey,
        "ones": Image.fromarray(mask.astype(np.uint8)),
        "bits": grey.convert("1"),
        "sixteen": Image.fromarray(mask.astype(np.uint16)),
        "colour": Image.fromarray(mask[:, :, np.newaxis] * np.array([0, 0, 1], np.uint8)),
        "alpha": grey.convert("RGBA"),
        "palette": palette,
    }
    for name, image in images.items():
        path = tmp_path / f"{name}.png"
        image.save(path)
        assert_array_equal(read_mask(path), mask, err_msg=name)
        assert_array_equal(read_mask(str(path), (6, 8)), mask, err_msg=name)
        larger = read_mask(path, (12, 24))
        assert_array_equal(larger, mask.repeat(2, axis=0).repeat(3, axis=1), err_msg=name)
        assert larger.dtype == bool


def test_read_mask_without_file(tmp_path):
    assert_array_equal(read_mask(None, (3, 2)), np.zeros((3, 2), bool))
    with pytest.raises(ValueError, match="shape is needed"):
        read_mask(None)
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        read_mask(tmp_path / "gone.png")
    touch(tmp_path, "text.png")
    with pytest.raises(UnidentifiedImageError, match=r"text\.png"):
        read_mask(tmp_path / "text.png")


# make_contaminated_images


@pytest.mark.parametrize("size", [16, 64, (32, 48)])
@pytest.mark.parametrize("grey", [False, True])
def test_synthetic_set(size, grey):
    data = make_contaminated_images(6, 4, image_size=size, grey=grey, random_state=0)
    height, width = np.broadcast_to(size, 2)
    assert data.images.shape == (10, height, width) + (() if grey else (3,))
    assert data.images.dtype == np.uint8
    assert data.masks.shape == (10, height, width)
    assert data.labels.sum() == 4
    assert_array_equal(data.masks.any(axis=(1, 2)), data.labels == 1)
    assert data.masks[data.labels == 1].mean() < 0.12


def test_synthetic_defects_can_be_found():
    data = make_contaminated_images(20, 8, grey=True, random_state=0)
    images = data.images.astype(float)
    images -= np.median(images, axis=(1, 2), keepdims=True)
    maps = np.abs(images - np.median(images, axis=0))
    assert image_auroc(data.labels, maps.max(axis=(1, 2))) > 0.95
    assert pixel_auroc(data.masks, maps) > 0.95


def test_synthetic_seed():
    first = make_contaminated_images(3, 2, random_state=0)
    again = make_contaminated_images(3, 2, random_state=0)
    for name in ("images", "labels", "masks"):
        assert_array_equal(first[name], again[name])
    other = make_contaminated_images(3, 2, random_state=1)
    assert (first.images != other.images).any()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((-1, 2), {}, "n_normal"),
        ((2, -1), {}, "n_defective"),
        ((0, 0), {}, "both 0"),
        ((2, 2), {"image_size": 8}, "image_size=8 must be"),
        ((2, 2), {"image_size": (32, 8)}, "image_size=.32, 8. must be"),
        ((2, 2), {"image_size": (32, 32, 3)}, "must be one integer or"),
        ((2, 2), {"image_size": 32.5}, "must be one integer or"),
    ],
)
def test_synthetic_errors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        make_contaminated_images(*arguments, **options)
