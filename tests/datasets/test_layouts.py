# SPDX-License-Identifier: BSD-3-Clause
"""Which layout a folder has, and what its images are."""

import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skpatch.console.inputs import training_images
from skpatch.datasets import load_folder, read_mask
from skpatch.datasets.folder import images_to_inspect

DEFECT = np.zeros((4, 4), np.uint8)
DEFECT[:2, :2] = 255


def make(root, names):
    """Make images; those after a * mark a defect, and the others are black."""
    for name in names.split():
        path = root / name.removeprefix("*")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(DEFECT * name.startswith("*")).save(path, "PNG")
    return root


def relative(root, path):
    if path is None or isinstance(path, tuple):
        return path and tuple(relative(root, one) for one in path)
    return Path(path).relative_to(root).as_posix()


def summary(root, parts):
    """Training images, and type and mask of each test image."""
    rows = zip(parts.test_images, parts.test_types, parts.test_masks, strict=True)
    return (
        [relative(root, path) for path in parts.train_images],
        {relative(root, path): (kind, relative(root, mask)) for path, kind, mask in rows},
    )


KNOWN = {
    "other words": (
        "train/normal/1.png test/good/2.png test/bad/3.png ground_truth/bad/3.png",
        "mvtec",
        ["train/normal/1.png"],
        {"test/good/2.png": ("good", None), "test/bad/3.png": ("bad", "ground_truth/bad/3.png")},
    ),
    "capitals": (
        "Train/Good/1.PNG Test/Good/1.PNG Test/Dent/1.PNG Ground_truth/Dent/1_Mask.PNG",
        "mvtec",
        ["Train/Good/1.PNG"],
        {
            "Test/Good/1.PNG": ("Good", None),
            "Test/Dent/1.PNG": ("Dent", "Ground_truth/Dent/1_Mask.PNG"),
        },
    ),
    "MVTec LOCO AD": (
        "train/good/0.png validation/good/0.png test/good/0.png test/logical/0.png "
        "test/logical/1.png ground_truth/logical/0/000.png ground_truth/logical/0/001.png "
        "ground_truth/logical/1/000.png",
        "mvtec",
        ["train/good/0.png"],
        {
            "test/good/0.png": ("good", None),
            "test/logical/0.png": (
                "logical",
                ("ground_truth/logical/0/000.png", "ground_truth/logical/0/001.png"),
            ),
            "test/logical/1.png": ("logical", "ground_truth/logical/1/000.png"),
        },
    ),
    "MVTec AD 2": (
        "train/good/0_regular.png validation/good/0.png test_public/good/0_regular.png "
        "test_public/bad/1_regular.png test_public/ground_truth/bad/1_regular_mask.png "
        "test_private/0.png test_private_mixed/0.png",
        "mvtec",
        ["train/good/0_regular.png"],
        {
            "test_public/good/0_regular.png": ("good", None),
            "test_public/bad/1_regular.png": (
                "bad",
                "test_public/ground_truth/bad/1_regular_mask.png",
            ),
        },
    ),
    "MVTec 3D-AD": (
        "train/good/rgb/0.png train/good/xyz/0.tiff test/good/rgb/0.png test/good/gt/0.png "
        "test/cut/rgb/1.png test/cut/gt/1.png test/cut/xyz/1.tiff validation/good/rgb/0.png",
        "mvtec",
        ["train/good/rgb/0.png"],
        {
            "test/good/rgb/0.png": ("good", None),
            "test/cut/rgb/1.png": ("cut", "test/cut/gt/1.png"),
        },
    ),
    "VisA": (
        "Data/Images/Normal/0.JPG Data/Images/Anomaly/0.JPG Data/Masks/Anomaly/0.png",
        "visa",
        ["Data/Images/Normal/0.JPG"],
        {"Data/Images/Anomaly/0.JPG": ("Anomaly", "Data/Masks/Anomaly/0.png")},
    ),
    "VisA, masks in one folder": (
        "Data/Images/Normal/0.JPG Data/Images/Anomaly/0.JPG Data/Masks/0.png",
        "visa",
        ["Data/Images/Normal/0.JPG"],
        {"Data/Images/Anomaly/0.JPG": ("Anomaly", "Data/Masks/0.png")},
    ),
    "hazelnut_toy": (
        "good/1.jpg crack/1.jpg colour/2.jpg mask/crack/1.jpg",
        "sorted",
        ["good/1.jpg"],
        {"crack/1.jpg": ("crack", "mask/crack/1.jpg"), "colour/2.jpg": ("colour", None)},
    ),
    "ok and nok": ("OK/1.png NOK/2.png", "sorted", ["OK/1.png"], {"NOK/2.png": ("NOK", None)}),
    "KolektorSDD": (
        "kos01/Part0.jpg kos01/Part0_label.bmp kos02/Part0.jpg *kos02/Part0_label.bmp",
        "beside",
        ["kos01/Part0.jpg"],
        {"kos02/Part0.jpg": ("defective", "kos02/Part0_label.bmp")},
    ),
    "KolektorSDD2": (
        "train/1.png train/1_GT.png test/2.png test/2_GT.png test/3.png *test/3_GT.png",
        "beside",
        ["train/1.png"],
        {"test/2.png": ("good", None), "test/3.png": ("defective", "test/3_GT.png")},
    ),
    "DAGM": (
        "Train/1.PNG Train/2.PNG *Train/Label/2_label.PNG Test/3.PNG Test/4.PNG "
        "*Test/Label/4_label.PNG",
        "beside",
        ["Train/1.PNG"],
        {
            "Test/3.PNG": ("good", None),
            "Train/2.PNG": ("defective", "Train/Label/2_label.PNG"),
            "Test/4.PNG": ("defective", "Test/Label/4_label.PNG"),
        },
    ),
    "images and masks": (
        "images/1.jpg images/2.jpg masks/1.png *masks/2.png",
        "beside",
        ["images/1.jpg"],
        {"images/2.jpg": ("defective", "masks/2.png")},
    ),
    "the same numbers in two parts": (
        "train/1.png train/1_GT.png test/1.png *test/1_GT.png",
        "beside",
        ["train/1.png"],
        {"test/1.png": ("defective", "test/1_GT.png")},
    ),
    "prefixes": (
        "1.png mask_1.png image_2.png *mask_2.png",
        "beside",
        ["1.png"],
        {"image_2.png": ("defective", "mask_2.png")},
    ),
    "suffixes": (
        "0.jpg a.jpg *a_gt.png b.jpg *b-mask.png c.jpg *c_seg.png d.jpg *d_Mask.bmp e.jpg "
        "*e_label.png *e_mask_2.png",
        "beside",
        ["0.jpg"],
        {
            "a.jpg": ("defective", "a_gt.png"),
            "b.jpg": ("defective", "b-mask.png"),
            "c.jpg": ("defective", "c_seg.png"),
            "d.jpg": ("defective", "d_Mask.bmp"),
            "e.jpg": ("defective", ("e_label.png", "e_mask_2.png")),
        },
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_layouts(tmp_path, name):
    names, layout, train, test = KNOWN[name]
    parts = load_folder(make(tmp_path, names))
    assert parts.layout == layout
    assert summary(tmp_path, parts) == (train, test)
    assert training_images([tmp_path], "auto") == parts.train_images
    is_bad = [kind.lower() != "good" for kind in parts.test_types]
    assert parts.test_labels.tolist() == is_bad
    assert parts.test_annotated.tolist() == [
        mask is not None or not bad for mask, bad in zip(parts.test_masks, is_bad, strict=True)
    ]
    named = load_folder(tmp_path, layout=layout)
    assert summary(tmp_path, named) == (train, test)


def test_images_of_other_ends(tmp_path):
    parts = load_folder(make(tmp_path, KNOWN["MVTec AD 2"][0]))
    assert [relative(tmp_path, path) for path in parts.unused_images] == [
        "test_private/0.png",
        "test_private_mixed/0.png",
        "validation/good/0.png",
    ]


def test_several_masks_of_an_image_are_one(tmp_path):
    make(tmp_path, "*1.png")
    Image.fromarray(np.ascontiguousarray(DEFECT[::-1])).save(tmp_path / "2.png")
    both = read_mask((tmp_path / "1.png", str(tmp_path / "2.png")), (8, 8))
    assert both.shape == (8, 8)
    np.testing.assert_array_equal(both[:, :4], True)
    np.testing.assert_array_equal(both[:, 4:], False)


REFUSED = {
    "categories": ("mvtec/bottle/train/good/1.png mvtec/cable/train/good/1.png", "mvtec/bottle"),
    "category of VisA": ("candle/Data/Images/Normal/1.JPG", "pass its folder: candle"),
    "classes of DAGM": (
        "Class1/Train/1.PNG *Class1/Train/Label/1_label.PNG Class2/Test/1.PNG",
        "Class1",
    ),
    "lines": ("line1/ok/1.png line1/nok/2.png line2/ok/1.png", "line1"),
    "masks only": ("1_mask.png 2_mask.png", "'1_mask.png'"),
    "masks of nothing": ("monday/1.png Labels/7.png", "'Labels/7.png'"),
    "test images": ("train/1.png test/2.png", "'test/2.png'"),
    "test images below": ("2024/1.png 2024/Testing/2.png", "'2024/Testing/2.png'"),
    "validation images": ("a/1.png val/2.png", "'val/2.png'"),
    "depth": ("rgb/1.png xyz/1.tiff", "'rgb'.*: xyz"),
    "labels of unknown kinds": ("good/1.png crack/2.png", "'good'.*: crack"),
    "words among others": ("ok_front/1.png def_front/1.png", "'def_front'.*: ok_front"),
    "defects of a class": ("Class1/1.png Class1_def/1.png", "'Class1_def'.*: Class1"),
    "versions": ("good.v1/1.png bad.v1/1.png", "'bad.v1'.*: good.v1"),
    "passed and failed": ("pass/1.png fail/2.png", "'fail'.*: pass"),
    "accepted and rejected": ("accepted/1.png rejected/2.png", "'rejected'.*: accepted"),
    "German": ("IO/1.png NIO/2.png", "'NIO'.*: IO"),
    "signs": ("Positive/1.png Negative/2.png", "'Positive'.*: Negative"),
    "COCO": ("train2017/1.jpg val2017/2.jpg", "'val2017/2.jpg'"),
    "Severstal": ("train_images/1.jpg test_images/2.jpg", "'test_images/2.jpg'"),
    "sets of data": ("training_data/1.jpg test-set/2.jpg", "'test-set/2.jpg'"),
    "masks by machines": ("ds0/img/1.jpg *ds0/masks_machine/1.png", "1 test image, 1 mask"),
    "masks by kind": (
        "images/1.png *masks_dent/1.png *scratch.masks/1.png",
        "1 test image, 2 masks",
    ),
    "without a separator": ("1.png *1Mask.png", "1 test image, 1 mask"),
    "known defects": ("monday/1.png defects/2.png", "'defects'.*: monday"),
    "photographs saved twice": ("*1.jpg *1.png", "1 mask, such as '1.png' of the JPEG file"),
    "no normal ones": ("test/crack/2.png *ground_truth/crack/2_mask.png", "1 test image, 1 mask"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_what_was_seen(tmp_path, name):
    names, seen = REFUSED[name]
    make(tmp_path, names)
    with pytest.raises(ValueError, match=rf"{seen}.*'plain' takes every image"):
        load_folder(tmp_path)
    assert len(load_folder(tmp_path, layout="plain").train_images) == len(names.split())


@pytest.mark.parametrize(
    "names",
    [
        "monday/1.png tuesday/1.png",
        "good/1.png",
        "ok/a/1.png ok/b/2.png",
        "train/1.png",
        "a.png a.bmp",
        "line1_ok/1.png line2_ok/1.png",
        "normal_light/1.png dim_light/1.png",
        "test1/1.png test2/1.png",
        "solder_mask/1.png no_mask/1.png",
        "label_1.jpg label_2.jpg",
        "good/1.png Good/2.png",
    ],
)
def test_innocent_names(tmp_path, names):
    parts = load_folder(make(tmp_path, names))
    assert parts.layout == "plain"
    assert len(parts.train_images) == len(names.split())


def test_what_does_not_fit_is_told(tmp_path):
    make(tmp_path, "train/good/1.png train/bad/2.png 0.png test/bad/3.png ground_truth/bad/4.png")
    with pytest.warns(UserWarning, match="left alone") as caught:
        parts = load_folder(tmp_path)
    assert len(parts.train_images) == len(parts.test_images) == 1
    messages = " ".join(str(warning.message) for warning in caught)
    assert "where the layout has none are left alone: 2, such as '0.png'" in messages
    assert "masks of no image are left alone: 1, such as 'ground_truth/bad/4.png'" in messages


def test_normal_images_elsewhere_are_not_defective(tmp_path):
    make(tmp_path, "normal/1.png normal_test/1.png abnormal/1.png *mask/abnormal/1.png")
    with pytest.warns(UserWarning, match=r"left alone: 1, such as 'normal_test/1\.png'"):
        parts = load_folder(tmp_path)
    test = {"abnormal/1.png": ("defective", "mask/abnormal/1.png")}
    assert summary(tmp_path, parts) == (["normal/1.png"], test)


def test_names_of_photographs(tmp_path):
    """As of the magnetic tiles: a mask for each photograph, and no other sign of it."""
    make(tmp_path, "Free/Imgs/1.jpg Free/Imgs/1.png Crack/Imgs/2.jpg *Crack/Imgs/2.png")
    with pytest.warns(
        UserWarning, match=r"taken for their masks .*: 2, such as 'Crack/Imgs/2\.png"
    ):
        parts = load_folder(tmp_path)
    train, test = summary(tmp_path, parts)
    assert train == ["Free/Imgs/1.jpg"]
    assert test == {"Crack/Imgs/2.jpg": ("defective", "Crack/Imgs/2.png")}


def test_a_mask_may_not_belong_to_two_images(tmp_path):
    make(tmp_path, "good/1.png crack/a/1.png crack/b/1.png mask/1.png")
    with pytest.warns(UserWarning, match="masks of no image"):
        parts = load_folder(tmp_path)
    assert parts.test_masks == [None, None]


def test_a_mask_of_a_training_image_is_not_that_of_a_test_image(tmp_path):
    make(tmp_path, "train/good/1.png train/good_masks/1.png test/bad/1.png")
    with pytest.warns(UserWarning, match=r"masks of no image .*: 1, such as 'train/good_masks/1"):
        parts = load_folder(tmp_path)
    assert parts.test_masks == [None]


def test_to_inspect(tmp_path):
    """Test images where there is a part for them, and else all but masks."""
    expected = {
        "train/good/1.png test/good/2.png test/a/3.png ground_truth/a/3_mask.png": (2, "mvtec"),
        "good/1.png crack/2.png": (2, "plain"),
        "ok/1.png nok/2.png masks/nok/2.png": (2, "sorted"),
        "1.jpg 1_label.bmp 2.jpg": (2, "beside"),
        "test/1.png": (1, "plain"),
    }
    for number, (names, found) in enumerate(expected.items()):
        images, parts = images_to_inspect(make(tmp_path / str(number), names))
        assert (len(images), parts.layout) == found
        assert not any("mask" in name or "label" in name for name in images)
    make(tmp_path / "few", "train/good/1.png")
    with pytest.raises(ValueError, match="without test images"):
        images_to_inspect(tmp_path / "few")


FOLDERS = [
    *("train", "test", "good", "ok", "normal", "bad", "nok", "ko", "crack", "Anomaly", "Normal"),
    *("ground_truth", "Ground_truth", "mask", "masks", "Masks", "Label", "gt", "Data", "Images"),
    *("test_public", "validation", "rgb", "xyz", "kos01", "Class1", "monday", "bottle", "mvtec"),
    *("val2017", "test_images", "masks_dent", "gt-masks", "pass", "fail"),
    *("@eaDir", "#recycle", "__MACOSX", "lost+found", ".thumbnails", "Thumbs"),
]
FILES = [
    *("1.png", "2.png", "1.jpg", "2.jpg", "1_mask.png", "1-mask.png", "2_gt.png", "1_seg.png"),
    *("2_label.bmp", "1_Mask.png", "1_thumb.jpg", "1.AVIF", "._1.png"),
    *("mask_1.png", "gt_2.png"),
]
SYSTEM = FOLDERS[-6:]
NOT_FOR_TRAINING = [
    *("test", "test_public", "validation", "ground_truth", "mask", "masks", "label", "gt"),
    *("val2017", "test_images", "masks_dent", "gt-masks"),
    *SYSTEM,
]


def random_tree(seed):
    """Paths of files, some of which mark a defect if they are masks."""
    rng = random.Random(seed)
    names = []
    for _ in range(rng.randint(1, 8)):
        folders = rng.sample(FOLDERS, rng.randint(0, 4))
        for file in rng.sample(FILES, rng.randint(1, 3)):
            names.append(rng.choice(["", "*"]) + "/".join([*folders, file]))
    return names


def says_otherwise(name, names):
    """Whether anything in the path of a training image says that it is none."""
    *folders, file = name.split("/")
    stem, ending = file.rsplit(".", 1)
    is_twin = ending == "png" and "/".join([*folders, f"{stem}.jpg"]) in names
    *_, number = stem.split("_")
    is_alone = "_" in stem and not any(
        f"{'/'.join([*folders, number])}.{end}" in names for end in ("png", "jpg")
    )
    is_photograph = (stem in ("1", "2") and ending in ("png", "jpg")) or (
        stem in ("mask_1", "gt_2") and is_alone
    )
    has_word = any(
        folder in NOT_FOR_TRAINING or folder.lower() in NOT_FOR_TRAINING for folder in folders
    )
    return not is_photograph or is_twin or has_word


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_no_mask_test_image_or_thumbnail_is_trained_on(tmp_path, first):
    n_understood = 0
    for seed in range(first, first + 100):
        names = random_tree(seed)
        root = make(tmp_path / str(seed), " ".join(names))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                parts = load_folder(root)
            except ValueError:
                continue
        n_understood += 1
        trained = [relative(root, path) for path in parts.train_images]
        assert trained
        given = {name.removeprefix("*") for name in names}
        assert [name for name in trained if says_otherwise(name, given)] == [], seed
        if parts.layout != "plain":
            folders = {folder.lower() for name in trained for folder in name.split("/")[:-1]}
            assert folders.isdisjoint({"bad", "nok", "ko", "anomaly", "fail", "xyz"}), seed
    assert n_understood > 10
