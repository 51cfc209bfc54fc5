# SPDX-License-Identifier: BSD-3-Clause
import re

import numpy as np
import pytest
from _images import COLOUR, GREY, RNG, Lazy, load_one, save
from PIL import Image

from skpatch.images.collection import check_images
from skpatch.images.reading import read_image


def test_missing_files_are_counted_and_named(tmp_path):
    there = save(tmp_path / "there.png", GREY)
    missing = [tmp_path / f"missing{index}.png" for index in range(7)]
    with pytest.raises(FileNotFoundError, match="7 of 8 image files do not exist") as caught:
        check_images([there, *missing])
    message = str(caught.value)
    assert all(repr(str(path)) in message for path in missing[:5])
    assert "and 2 more" in message
    assert "there.png" not in message.replace("missing", "")


def test_missing_file_of_a_lazy_sequence(tmp_path):
    path = tmp_path / "missing.png"
    images = check_images(Lazy([path]))
    with pytest.raises(FileNotFoundError, match=r"missing\.png.* does not exist"):
        images.load(0)


def test_directory(tmp_path):
    images = check_images([tmp_path])
    for method in images.load, images.size:
        with pytest.raises(IsADirectoryError, match="is a folder") as caught:
            method(0)
        assert repr(str(tmp_path)) in str(caught.value)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_truncated_file(tmp_path, name):
    path = save(tmp_path / name, RNG.randint(0, 256, (60, 90, 3)).astype(np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="cannot be decoded") as caught:
        check_images([path]).load(0)
    assert repr(str(path)) in str(caught.value)


def test_zero_byte_file(tmp_path):
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(ValueError, match=r"empty\.png.*not an image file.*0 bytes"):
        check_images([path]).load(0)


def test_text_renamed_png(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("a,b\n1,2\n")
    images = check_images([path])
    for method in images.load, images.size:
        with pytest.raises(
            ValueError, match=r"text\.png' is not an image file of a known format\. Known are BMP"
        ):
            method(0)


def test_decompression_bomb(tmp_path, monkeypatch):
    path = save(tmp_path / "bomb.png", np.zeros((40, 40), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"bomb\.png.*cannot be decoded.*bomb.*--max-pixels"):
        check_images([path]).load(0)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)
    assert check_images([path]).load(0).shape == (40, 40, 3)


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"extended"}])
def test_webp_bomb(tmp_path, monkeypatch, options):
    path = tmp_path / "bomb.webp"
    Image.new("RGB", (30, 40)).save(path, **options)
    assert check_images([path]).size(0) == (40, 30)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"bomb\.webp.*30 x 40 pixels are more than 200"):
        check_images([path]).size(0)


def test_webp_larger_than_memory(tmp_path, monkeypatch):
    """libwebp calls such a file damaged, and it would be skipped as one."""
    path = tmp_path / "huge.webp"
    Image.new("RGB", (30, 40)).save(path, exif=b"extended")
    data = path.read_bytes()
    path.write_bytes(data[:24] + b"\xff" * 6 + data[30:])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    images = check_images([path])
    for method in images.load, images.size:
        with pytest.raises(MemoryError, match=r"huge\.webp.*16777216 x 16777216 pixels take"):
            method(0)


def test_too_large_to_convert():
    """The copy of other numbers or without transparency takes memory too."""
    image = np.broadcast_to(np.uint8(9), (2**20, 2**20, 4))
    with pytest.raises(MemoryError, match=r"^image 1 is too large to decode.*: Unable to allocate"):
        check_images([GREY, image]).load(1)


def test_pil_image_larger_than_memory(tmp_path, monkeypatch):
    """That would not be the fault of the image, which would be skipped as damaged."""
    path = tmp_path / "huge.pgm"
    path.write_bytes(b"P5 16777216 16777216 255\n")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with (
        Image.open(path) as image,
        pytest.raises(MemoryError, match=r"^image 0 is too large.*16777216 x 16777216 pixels take"),
    ):
        check_images([image]).load(0)


@pytest.mark.parametrize("X", [[], (), np.array([], dtype=object), np.zeros((0, 4, 4))])
def test_empty(X):
    with pytest.raises(ValueError, match="X is empty: found 0 images"):
        check_images(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ((GREY for _ in range(2)), r"X is a generator.*list\(X\)"),
        ({"a": GREY}, "X is a dict"),
        ({1, 2}, "X is a set"),
        (3, "X is a int"),
        (None, "X is a NoneType"),
        ("folder/a.png", r"single path, 'folder/a\.png'; pass a list"),
        (b"a.png", r"single file; pass a list: \[image\]"),
        (Image.fromarray(GREY), r"single PIL image; pass a list: \[image\]"),
    ],
    ids=["generator", "dict", "set", "int", "None", "str", "bytes", "PIL"],
)
def test_not_a_collection(X, message):
    with pytest.raises(TypeError, match=message):
        check_images(X)


def test_single_path_object(tmp_path):
    with pytest.raises(TypeError, match="single path"):
        check_images(tmp_path / "a.png")


def test_single_colour_image_array():
    with pytest.raises(ValueError, match=r"\(6, 9, 3\), which looks like a single colour image"):
        check_images(COLOUR)


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((6, 9)),
        np.zeros(5),
        np.zeros(()),
        np.zeros((2, 6, 9, 2)),
        np.zeros((1, 2, 3, 4, 3)),
    ],
    ids=lambda X: str(X.shape),
)
def test_wrong_dimensionality_of_an_array(X):
    with pytest.raises(ValueError, match=re.escape(f"X has shape {X.shape}")):
        check_images(X)


def test_channels_first_array_has_a_hint():
    with pytest.raises(ValueError, match="Move the channels"):
        check_images(np.zeros((5, 3, 16, 16)))


NAN = np.full((4, 4), np.nan)
INFINITE = np.full((4, 4), 1.0)
INFINITE[1, 1] = np.inf


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (NAN, ValueError, "NaN or infinity"),
        (INFINITE, ValueError, "NaN or infinity"),
        (GREY.astype(float) - 10, ValueError, "values from -.* of type float64; expected 0 to 255"),
        (GREY.astype(float) + 10, ValueError, "values from .* expected 0 to 255"),
        (GREY.astype(int) * 257, ValueError, "uint16 with 0 to 65535"),
        (np.full((4, 4), -1, np.int8), ValueError, "from -1 to -1 of type int8"),
        (np.ones((4, 4), complex), TypeError, "type complex128"),
        (np.full((4, 4), None), TypeError, "type object"),
        (np.zeros(4), ValueError, r"shape \(4,\); expected \(H, W\)"),
        (np.zeros((4, 4, 2)), ValueError, r"shape \(4, 4, 2\)"),
        (np.zeros((0, 4)), ValueError, "no pixels"),
        ([[1, 2], [3]], ValueError, "cannot be made an array"),
        (5, TypeError, "is a int; expected a path, the bytes of a file, a PIL image or an array"),
        (b"a.png", ValueError, "is not an image file of a known format"),
        (None, TypeError, "is a NoneType"),
    ],
)
def test_bad_item_is_named_by_its_position(item, error, message):
    images = check_images([GREY, item])
    with pytest.raises(error, match=message) as caught:
        images.load(1)
    assert str(caught.value).startswith("image 1")


def test_all_black_float_image_is_accepted():
    np.testing.assert_array_equal(load_one(np.zeros((2, 2))), np.zeros((2, 2, 3)))


def test_bad_values_in_a_file_name_the_file_once(tmp_path):
    path = save(tmp_path / "bright.tif", (GREY * 9.0).astype(np.float32))
    with pytest.raises(ValueError, match="expected 0 to 255") as caught:
        check_images([path]).load(0)
    assert str(caught.value).count("bright.tif") == 1
    assert "decoded" not in str(caught.value)


def test_undecodable_pil_image_is_named(tmp_path):
    path = save(tmp_path / "a.jpg", RNG.randint(0, 256, (60, 90, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    with (
        Image.open(path) as image,
        pytest.raises(ValueError, match="image 1, a PIL image, cannot be decoded"),
    ):
        check_images([GREY, image]).load(1)


def test_read_image_uses_the_given_name():
    with pytest.raises(ValueError, match=r"^cell 7 contains NaN"):
        read_image(NAN, "cell 7")
