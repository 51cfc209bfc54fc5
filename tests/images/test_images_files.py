# SPDX-License-Identifier: BSD-3-Clause
import struct
import threading

import numpy as np
import pytest
from _images import COLOUR, GREY, GREY_COLOUR, RNG, load_one, save
from PIL import Image, PngImagePlugin

from skpatch.images.collection import check_images

# How an upright array is stored so that the EXIF orientation turns it back.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def test_grey_file(tmp_path):
    np.testing.assert_array_equal(load_one(save(tmp_path / "a.png", GREY)), GREY_COLOUR)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_files(tmp_path, name):
    path = save(tmp_path / name, GREY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(load_one(path), GREY_COLOUR)
    with Image.open(path) as image:
        np.testing.assert_array_equal(load_one(image), GREY_COLOUR)


def test_dark_sixteen_bit_file_stays_dark(tmp_path):
    path = save(tmp_path / "a.png", GREY.astype(np.uint16))
    assert load_one(path).max() == 1


def test_big_endian_sixteen_bit_tiff(tmp_path):
    path = tmp_path / "a.tif"
    values = (GREY.astype(np.uint16) * 257).astype(">u2")
    Image.frombytes("I;16B", values.shape[::-1], values.tobytes()).save(path)
    np.testing.assert_array_equal(load_one(path), GREY_COLOUR)


def test_big_endian_sixteen_bit_values_below_256_stay_dark():
    assert load_one(GREY.astype(">u2")).max() == 1


def test_sixteen_bit_pgm(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 9 6 65535\n" + (GREY.astype(np.uint16) * 257).astype(">u2").tobytes())
    np.testing.assert_array_equal(load_one(path), GREY_COLOUR)


def test_32_bit_integer_image_is_not_taken_for_sixteen_bit(tmp_path):
    image = Image.fromarray(GREY.astype(np.int32))
    assert image.mode == "I"
    np.testing.assert_array_equal(load_one(image), GREY_COLOUR)
    path = tmp_path / "a.tif"
    image.save(path)
    np.testing.assert_array_equal(load_one(path), GREY_COLOUR)


def test_float_tiff(tmp_path):
    path = save(tmp_path / "a.tif", GREY.astype(np.float32))
    np.testing.assert_array_equal(load_one(path), GREY_COLOUR)


def test_palette(tmp_path):
    path = tmp_path / "a.png"
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert image.mode == "P"
    image.save(path)
    np.testing.assert_array_equal(load_one(path)[0], [[10, 20, 30], [40, 50, 60], [70, 80, 90]])
    image.save(path, transparency=1)
    np.testing.assert_array_equal(load_one(path)[0], [[10, 20, 30], [0, 0, 0], [70, 80, 90]])


def test_grey_with_alpha(tmp_path):
    path = tmp_path / "a.png"
    Image.merge("LA", [Image.fromarray(np.array([[200, 200]], np.uint8)) for _ in range(2)]).save(
        path
    )
    with Image.open(path) as image:
        assert image.mode == "LA"
    np.testing.assert_array_equal(load_one(path), np.full((1, 2, 3), round(200 * 200 / 255)))


def test_colour_with_alpha(tmp_path):
    array = np.zeros((1, 2, 4), np.uint8)
    array[0] = [(200, 100, 51, 255), (200, 100, 51, 51)]
    expected = [[200, 100, 51], [40, 20, 10]]
    np.testing.assert_array_equal(load_one(save(tmp_path / "a.png", array))[0], expected)


def test_cmyk(tmp_path):
    path = tmp_path / "a.tif"
    inks = bytes([0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255])
    Image.frombytes("CMYK", (3, 1), inks).save(path)
    expected = [[255, 255, 255], [0, 255, 255], [0, 0, 0]]
    np.testing.assert_array_equal(load_one(path)[0], expected)


def test_one_bit_file(tmp_path):
    path = save(tmp_path / "a.png", np.array([[0, 255, 255, 0]], np.uint8), "1")
    with Image.open(path) as image:
        assert image.mode == "1"
    np.testing.assert_array_equal(load_one(path)[0, :, 0], [0, 255, 255, 0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["png", "tif", "compressed tif", "webp", "jpg"])
def test_exif_orientation(tmp_path, orientation, form):
    name = form.rpartition(" ")[2]
    options = {
        "webp": {"lossless": True},
        "compressed tif": {"compression": "tiff_lzw"},
        "jpg": {"quality": 100, "subsampling": 0},
    }.get(form, {})
    smooth = np.zeros((16, 24, 3), np.uint8)
    smooth[:8, :12] = 200, 40, 40
    smooth[8:, 12:] = 90
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{name}", STORED[orientation](smooth), exif=exif, **options)
    tolerance = 3 if name == "jpg" else 0
    # load_one also compares the size with the array.
    np.testing.assert_allclose(load_one(path).astype(int), smooth, atol=tolerance)
    with Image.open(path) as image:
        np.testing.assert_allclose(load_one(image).astype(int), smooth, atol=tolerance)
        # A second time, now that PIL has decoded it.
        np.testing.assert_allclose(load_one(image).astype(int), smooth, atol=tolerance)


def test_orientation_behind_the_pixels_of_a_png(tmp_path):
    upright = tmp_path / "a.png"
    save(upright, STORED[6](COLOUR))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = upright.read_bytes()
    end = data.rindex(b"IEND") - 4
    late = tmp_path / "late.png"
    with open(late, "wb") as file:
        file.write(data[:end])
        PngImagePlugin.putchunk(file, b"eXIf", exif.tobytes()[6:])
        file.write(data[end:])
    np.testing.assert_array_equal(load_one(late), COLOUR)


def test_unknown_orientation_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 9
    path = save(tmp_path / "a.png", COLOUR, exif=exif)
    np.testing.assert_array_equal(load_one(path), COLOUR)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_damaged_metadata_leaves_the_image_usable(tmp_path, exif):
    path = save(tmp_path / "a.png", COLOUR, exif=exif)
    np.testing.assert_array_equal(load_one(path), COLOUR)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg"])
def test_damage_beside_the_orientation_leaves_the_image_upright(tmp_path, name):
    """Pillow's own exif_transpose fails when it writes such metadata again."""
    # The orientation, and a date that is a floating point number.
    entries = [(0x0112, 3, 1, 6), (0x0132, 12, 1, 8)]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    exif += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(104)
    options = {"lossless": True} if name == "a.webp" else {"quality": 100, "subsampling": 0}
    upright = np.full((16, 24, 3), 90, np.uint8)
    upright[:8] = 200
    path = save(tmp_path / name, STORED[6](upright), exif=exif, **options)
    np.testing.assert_allclose(load_one(path).astype(int), upright, atol=3)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_size_reads_only_the_header(tmp_path, name):
    path = save(tmp_path / name, RNG.randint(0, 256, (60, 90, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    images = check_images([path])
    assert images.size(0) == (60, 90)
    with pytest.raises(ValueError, match="cannot be decoded"):
        images.load(0)


def test_one_lazily_opened_pil_image_in_several_threads(tmp_path):
    array = RNG.randint(0, 256, (400, 500, 3)).astype(np.uint8)
    path = save(tmp_path / "a.png", array)
    for _ in range(5):
        with Image.open(path) as image:
            images = check_images([image])
            results, barrier = [], threading.Barrier(4)

            def work(images=images, results=results, barrier=barrier):
                barrier.wait()
                results.append(images.load(0))

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(results) == 4
        for result in results:
            np.testing.assert_array_equal(result, array)
