# SPDX-License-Identifier: BSD-3-Clause
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from skpatch.datasets import load_folder


def touch(folder, *names):
    """Make files that are never read."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def relative(paths, folder):
    return [None if path is None else Path(path).relative_to(folder).as_posix() for path in paths]


# load_folder


@pytest.fixture
def mvtec(tmp_path):
    touch(
        tmp_path,
        *("train/good/10.png", "train/good/9.PNG", "train/good/notes.txt", "train/good/._9.png"),
        *("test/good/0.jpg", "test/dent/2.png", "test/dent/11.png", "test/a_crack/1.png"),
        "test/no_mask/1.png",
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
    assert load_folder(mvtec, layout="plain").layout == "plain"


def test_folder_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        load_folder(tmp_path / "missing")
    touch(
        tmp_path, "file.txt", "loose/test/1.png", "mvtec/bottle/train/good/1.png", "x/train/1.png"
    )
    with pytest.raises(NotADirectoryError, match=r"file\.txt' is a file"):
        load_folder(tmp_path / "file.txt")
    with pytest.raises(ValueError, match=r"Unknown layout 'coco'; known are 'auto', 'mvtec'"):
        load_folder(tmp_path, layout="coco")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty' holds no images.*\.png, \.jpg"):
        load_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"no training images in train/good.* 1 other image"):
        load_folder(tmp_path / "x", layout="mvtec")
    with pytest.raises(ValueError, match=r"a category laid out as MVTec AD; .*: bottle\."):
        load_folder(tmp_path / "mvtec")
    with pytest.raises(ValueError, match=r"'test/1\.png'.* The layout 'plain' takes every image"):
        load_folder(tmp_path / "loose")
