# SPDX-License-Identifier: BSD-3-Clause
"""Which number is white: learned, stated, or known by the type of numbers."""

import struct
import zlib

import numpy as np
import pytest
import torch
from _images import COLOUR, GREY, GREY_COLOUR, load_one, save
from PIL import Image

from skpatch.images.intensity import Numbers, does_not_fit, learn_range
from skpatch.images.reading import read_image, survey

UINT16, FLOAT, INT = np.dtype("uint16"), np.dtype("float32"), np.dtype("int32")


def learned(*images):
    return learn_range([image and Numbers(*image) for image in images], "image {}".format)


@pytest.mark.filterwarnings("ignore:Images that are not 8-bit have values")
@pytest.mark.parametrize(
    ("dtype", "highest", "white"),
    [
        (UINT16, 200, 255),
        (UINT16, 256, 1023),
        (UINT16, 1023, 1023),
        (UINT16, 3000, 4095),
        (UINT16, 4096, 16383),
        (UINT16, 16384, 65535),
        (UINT16, 65535, 65535),
        (INT, 255, 255),
        (INT, 4000, 4095),
        (FLOAT, 0.3, 1),
        # Resampled.
        (FLOAT, 1.02, 1),
        (FLOAT, 2.0, 255),
        (FLOAT, 255.6, 255),
        (FLOAT, 4000.5, 4095),
        (FLOAT, 60_000.0, 65535),
    ],
)
def test_smallest_white_that_holds_all(dtype, highest, white):
    assert learned((dtype, 0, highest / 2), None, (dtype, 0, highest)) == (0, white)


def test_eight_bit_images_have_none():
    assert learned(None, None) is None


def test_dark_images_beside_others_are_told():
    """A 12-bit camera beside a 16-bit one; not an image that is merely darker."""
    with pytest.warns(UserWarning, match=r"2 of 3 images .* nearly black: image 0, image 2\."):
        assert learned((UINT16, 0, 4095), (UINT16, 0, 60_000), (UINT16, 0, 9)) == (0, 65535)
    assert learned((UINT16, 0, 4200), (UINT16, 0, 60_000)) == (0, 65535)
    with pytest.warns(UserWarning, match="nearly black: image 0"):
        assert learned((FLOAT, 0, 1), (FLOAT, 0, 255)) == (0, 255)


def test_images_of_few_grey_levels_are_told():
    """Temperatures, in hundredths of a kelvin or in degrees; brightness up to 4."""
    with pytest.warns(UserWarning, match=r"from 29300 to 29900 only, .*=\(29300, 29900\)"):
        assert learned((UINT16, 29_300, 29_800), (UINT16, 29_400, 29_900)) == (0, 65535)
    with pytest.warns(UserWarning, match=r"intensity_range=\(20.5, 35\)"):
        assert learned((FLOAT, 20.5, 35)) == (0, 255)
    with pytest.warns(UserWarning, match="range 0 to 255"):
        assert learned((FLOAT, 0, 4)) == (0, 255)
    assert learned((UINT16, 0, 9_000), (UINT16, 8_000, 17_000)) == (0, 65535)
    assert learned((UINT16, 0, 0)) == (0, 255)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([(UINT16, 0, 4000), (FLOAT, 0, 1)], "differ in which number is white: .*image [01] has"),
        ([(INT, 0, 70_000)], "image 0 has integer values from 0 to 70000, beyond 65535"),
        ([None, (INT, -3, 100)], "image 1 has integer values from -3 to 100; no range"),
        ([(FLOAT, -0.5, 1)], r"from -0.5 to 1; .*intensity_range=\(black, white\)"),
    ],
)
def test_refused(images, message):
    with pytest.raises(ValueError, match=message):
        learned(*images)


def test_numbers_of_one_white_may_differ_in_type():
    assert learned((INT, 0, 200), (FLOAT, -0.3, 255.4), (UINT16, 0, 255)) == (0, 255)


@pytest.mark.parametrize(
    ("numbers", "intensity_range", "is_unfit"),
    [
        ((UINT16, 0, 4095), (0, 4095), False),
        ((UINT16, 0, 4096), (0, 4095), True),
        ((UINT16, 0, 255), (0, 4095), True),
        ((UINT16, 0, 300), (0, 4095), False),
        ((FLOAT, -0.01, 1.01), (0, 1), False),
        ((FLOAT, 0, 255), (0, 1), True),
        ((FLOAT, 0, 1), (0, 4095), True),
        # No range was learned, as all training images were 8-bit.
        ((UINT16, 0, 4095), None, True),
        ((UINT16, 0, 16_383), None, True),
        ((UINT16, 0, 50_000), None, False),
        (None, None, False),
        ((FLOAT, 0, 1), None, False),
        (None, (0, 4095), False),
    ],
)
def test_what_does_not_fit(numbers, intensity_range, is_unfit):
    assert does_not_fit(numbers and Numbers(*numbers), intensity_range) == is_unfit


@pytest.mark.parametrize("dtype", ["uint16", ">u2", "int16", "uint32", "float16", "float64"])
@pytest.mark.parametrize("intensity_range", [(0, 1023), (100, 900), (0, 65535)])
def test_linear_between_black_and_white(dtype, intensity_range):
    black, white = intensity_range
    values = np.arange(0, 2048, 8).reshape(16, 16).astype(dtype)
    expected = np.clip((values.astype(float) - black) / (white - black), 0, 1) * 255
    found = read_image(values, "a", intensity_range)
    np.testing.assert_allclose(found[:, :, 1], expected, atol=0.5 + 1e-3)


def test_full_range_gives_the_bits_of_the_type():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = (values.astype(int) + 128) // 257
    for intensity_range in (None, (0, 65535), "auto"):
        found = read_image(values, "a", intensity_range)
        np.testing.assert_array_equal(found[:, :, 0], expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_numbers_up_to_one(dtype):
    """The convention of scikit-image and torchvision."""
    np.testing.assert_array_equal(load_one((GREY / 255).astype(dtype)), GREY_COLOUR)
    np.testing.assert_array_equal(
        load_one(torch.from_numpy((GREY / 255).astype(dtype))), GREY_COLOUR
    )


def test_opacity_has_the_range_of_its_type():
    values = np.zeros((1, 2, 4), np.uint16)
    values[..., :3], values[..., 3] = 4095, [65535, 0]
    found = read_image(values, "a", (0, 4095))
    np.testing.assert_array_equal(found[0], [[255] * 3, [0] * 3])
    assert survey(values, "a")[1].high == 4095


def deep_png(path, values):
    """A PNG file of 16-bit colours, which Pillow does not write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
            file.write(struct.pack(">I", len(content)) + kind + content)
            file.write(struct.pack(">I", zlib.crc32(kind + content)))
    return path


@pytest.mark.parametrize("channels", [3, 4])
def test_png_of_sixteen_bit_colours_keeps_all_bits(tmp_path, channels):
    values = np.random.RandomState(0).randint(0, 4096, (7, 5, channels)).astype(np.uint16)
    values[..., 3:] = 65535
    path = deep_png(tmp_path / "a.png", values)
    colours = values[..., :3]
    expected = np.rint(colours / 4095 * 255)
    np.testing.assert_array_equal(read_image(path, "a", (0, 4095)), expected)
    size, numbers = survey(path, "a")
    assert (size, numbers.high) == ((7, 5), colours.max())
    np.testing.assert_array_equal(load_one(path), np.rint(colours / 257))


def test_damaged_png_of_sixteen_bit_colours(tmp_path):
    path = deep_png(tmp_path / "a.png", np.ones((40, 50, 3), np.uint16))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"a\.png.*cannot be decoded"):
        load_one(path)


def test_of_eight_bit_files_only_headers_are_surveyed(tmp_path):
    for name in ("a.png", "a.jpg", "a.tif", "a.bmp"):
        path = save(tmp_path / name, np.tile(COLOUR, (20, 20, 1)))
        data = path.read_bytes()
        # The directory of a TIFF file is behind its pixels.
        path.write_bytes(data[: len(data) // 2] if name != "a.tif" else data)
        assert survey(path, "a") == ((120, 180), None)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_2000_and_pgm_declare_white(tmp_path, bits):
    """Pillow scales both by the largest value that the file declares."""
    white = 2**bits - 1
    values = np.linspace(0, white, 256).round().astype(int).reshape(16, 16)
    path = tmp_path / "a.pgm"
    stored = values.astype(">u2" if bits > 8 else "u1")
    path.write_bytes(b"P5 16 16 %d\n" % white + stored.tobytes())
    np.testing.assert_allclose(load_one(path)[:, :, 0], values / white * 255, atol=1)
    if bits == 12:
        return
    path = tmp_path / "a.jp2"
    Image.fromarray(stored.astype(np.uint16 if bits > 8 else np.uint8)).save(path)
    np.testing.assert_allclose(load_one(path)[:, :, 0], values / white * 255, atol=1)


@pytest.mark.parametrize("boxes", ["jp2", "j2k"])
def test_jpeg_2000_of_deep_colours_is_refused(tmp_path, boxes):
    """Pillow makes its brightest values black."""
    imagecodecs = pytest.importorskip("imagecodecs")
    path = tmp_path / "a.jp2"

    def write(values):
        path.write_bytes(
            imagecodecs.jpeg2k_encode(
                values,
                level=0,
                reversible=True,
                codecformat=boxes,
                colorspace=imagecodecs.JPEG2K.CLRSPC.SRGB,
            )
        )

    write(COLOUR.repeat(8, 0).repeat(8, 1))
    np.testing.assert_array_equal(load_one(path), COLOUR.repeat(8, 0).repeat(8, 1))
    write(COLOUR.repeat(8, 0).repeat(8, 1).astype(np.uint16) * 257)
    with pytest.raises(ValueError, match=r"a\.jp2.*JPEG 2000 .* colours of 16 bits.*convert"):
        load_one(path)
    with Image.open(path) as image, pytest.raises(ValueError, match="colours of 16 bits"):
        load_one(image)
