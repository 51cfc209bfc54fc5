# SPDX-License-Identifier: BSD-3-Clause
import os
import warnings

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image
from scipy.ndimage import gaussian_filter

from skpatch.datasets import read_mask
from skpatch.images.collection import check_images
from skpatch.metrics import aupro, pixel_average_precision

MASK = np.zeros((60, 80), bool)
MASK[10:30, 40:70] = True


def saved(path, values, mode=None, **options):
    image = Image.fromarray(np.ascontiguousarray(values))
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def bytes_of(mask, black=0, white=255):
    return np.where(mask, white, black).astype(np.uint8)


def palette(mask):
    # The index of the defect is 0, its colour is not black.
    image = Image.fromarray(1 - mask.astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 255, 0, 0, 0])
    return image


LOSSLESS = {
    "grey": Image.fromarray(bytes_of(MASK)),
    "ones": Image.fromarray(bytes_of(MASK, white=1)),
    "bits": Image.fromarray(MASK),
    "sixteen": Image.fromarray(MASK.astype(np.uint16)),
    "colour": Image.fromarray(MASK[:, :, np.newaxis] * np.array([0, 0, 1], np.uint8)),
    "alpha": Image.fromarray(bytes_of(MASK)).convert("RGBA"),
    "palette": palette(MASK),
    "background 1": Image.fromarray(bytes_of(MASK, 1, 255)),
    "background 254": Image.fromarray(bytes_of(MASK, 254, 255)),
    "kinds": Image.fromarray(bytes_of(MASK) // 255 * np.arange(1, 81, dtype=np.uint8) // 20),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_all_but_the_darkest_value_is_defective(tmp_path, name):
    path = tmp_path / "mask.png"
    LOSSLESS[name].save(path)
    assert_array_equal(read_mask(path), MASK)
    assert_array_equal(read_mask(str(path), (60, 80)), MASK)
    larger = read_mask(path, (120, 160))
    assert_array_equal(larger, MASK.repeat(2, axis=0).repeat(2, axis=1))
    assert larger.dtype == bool


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((f"mask.{kind}", {"quality": q}) for kind in ("jpg", "webp") for q in (50, 75, 95)),
        ("mask.tif", {"compression": "jpeg"}),
    ],
)
def test_lossy_files_count_from_half_of_white(tmp_path, name, options):
    path = saved(tmp_path / name, bytes_of(MASK), **options)
    mask = read_mask(path)
    assert_array_equal(mask, MASK)
    assert aupro([mask], [MASK.astype(float)]) == pytest.approx(1)
    assert pixel_average_precision([mask], [MASK.astype(float)]) == 1


@pytest.mark.parametrize("name", ["mask.jpg", "mask.webp"])
def test_a_lossy_mask_of_a_normal_image_is_empty(tmp_path, name):
    assert not read_mask(saved(tmp_path / name, bytes_of(MASK & False))).any()


def test_lossless_webp_keeps_its_values(tmp_path):
    path = saved(tmp_path / "mask.webp", bytes_of(MASK, white=2), lossless=True)
    assert_array_equal(read_mask(path), MASK)


SOFT = gaussian_filter(np.where(MASK, 255.0, 0.0), 2)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("soft.png", SOFT.astype(np.uint8)),
        ("sixteen.png", (SOFT * 257).astype(np.uint16)),
        ("float.tif", (SOFT / 255).astype(np.float32)),
    ],
)
def test_soft_edges_count_from_half_with_a_warning(tmp_path, name, values):
    path = saved(tmp_path / name, values)
    with pytest.warns(UserWarning, match=rf"{name}' has \d+ grey values.*Save masks in black"):
        mask = read_mask(path)
    assert_array_equal(mask, values > values.max() / 2)


def test_grey_lossy_files_are_warned_of(tmp_path):
    photograph = np.random.RandomState(0).randint(60, 200, (60, 80)).astype(np.uint8)
    faint = bytes_of(MASK, white=60)
    for name, values in {"photograph.jpg": photograph, "faint.jpg": faint}.items():
        with pytest.warns(UserWarning, match=rf"{name}' has \d+ grey values"):
            read_mask(saved(tmp_path / name, values))


@pytest.mark.parametrize("values", [(255, 0), (254, 0), (255, 1)])
def test_a_negative_is_warned_of(tmp_path, values):
    path = saved(tmp_path / "negative.png", bytes_of(MASK, *values))
    with pytest.warns(UserWarning, match=r"negative\.png' says that 88% of the image are defect"):
        assert_array_equal(read_mask(path), ~MASK)


def test_a_mask_of_one_value_is_all_or_nothing(tmp_path):
    assert not read_mask(saved(tmp_path / "black.png", bytes_of(MASK & False))).any()
    with pytest.warns(UserWarning, match="100% of the image"):
        assert read_mask(saved(tmp_path / "white.png", bytes_of(MASK | True))).all()


@pytest.mark.parametrize("shape", [(80, 60), (60, 60), (61, 80), (120, 80)])
def test_other_proportions_are_refused(tmp_path, shape):
    path = saved(tmp_path / "mask.png", bytes_of(MASK))
    with pytest.raises(ValueError, match=r"mask\.png' has 60 x 80 .* shape is .*EXIF"):
        read_mask(path, shape)


@pytest.mark.parametrize("side", range(1, 60, 7))
def test_sizes_that_were_rounded_are_taken(tmp_path, side):
    reduced = saved(tmp_path / "mask.png", bytes_of(np.ones((side, round(side * 80 / 60)), bool)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_mask(reduced, (60, 80)).shape == (60, 80)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["mask.png", "mask.jpg", "mask.tif"])
def test_a_mask_is_turned_as_its_image_is(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / name, bytes_of(MASK), exif=exif)
    images = check_images([path])
    size = images.size(0)
    assert_array_equal(read_mask(path, size), images.load(0)[:, :, 0] > 127)


def test_a_mask_drawn_on_raw_pixels_is_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = saved(tmp_path / "photograph.jpg", bytes_of(MASK), exif=exif)
    mask = saved(tmp_path / "mask.png", bytes_of(MASK))
    with pytest.raises(ValueError, match=r"mask\.png.*proportions.*turn the mask"):
        read_mask(mask, check_images([photograph]).size(0))


def drawn_on_glass(mask, colour):
    return np.dstack([np.full((*mask.shape, 3), colour, np.uint8), bytes_of(mask)])


@pytest.mark.parametrize("colour", [0, 255, 90])
def test_one_colour_on_a_transparent_ground(tmp_path, colour):
    path = saved(tmp_path / "mask.png", drawn_on_glass(MASK, colour))
    assert_array_equal(read_mask(path), MASK)


def test_opaque_pictures_have_nothing_but_their_colours(tmp_path):
    for colour in 0, 90:
        path = saved(tmp_path / "mask.png", drawn_on_glass(np.ones_like(MASK), colour))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert read_mask(path).all() == (colour > 0)


TIFF = {
    "instances": (MASK * 70000, {}),
    "float64": (MASK.astype(float), {}),
    "planes": (np.stack([MASK.astype(np.uint16)] * 3), {"photometric": "rgb"}),
    "negative": (np.where(MASK, 0, 65535).astype(np.uint16), {"photometric": "miniswhite"}),
}


@pytest.mark.parametrize("name", TIFF)
def test_tiff_files_are_read_as_images_are(tmp_path, name):
    """Also those that Pillow misreads or does not open."""
    values, options = TIFF[name]
    planes = {"planarconfig": "separate"} if values.ndim == 3 else {}
    tifffile.imwrite(tmp_path / "mask.tif", values, **options, **planes)
    assert_array_equal(read_mask(tmp_path / "mask.tif"), MASK)


def test_lossy_tiff_files_count_from_half_of_white(tmp_path):
    path = saved(tmp_path / "mask.tif", bytes_of(MASK), compression="jpeg")
    assert_array_equal(read_mask(path), MASK)


def test_other_pages_are_told(tmp_path):
    pages = [Image.fromarray(bytes_of(mask)) for mask in (MASK, ~MASK)]
    pages[0].save(tmp_path / "mask.tif", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match=r"mask\.tif' has 1 more pages .* pass all paths"):
        assert_array_equal(read_mask(tmp_path / "mask.tif"), MASK)


def test_parts_that_do_not_go_together(tmp_path):
    parts = [saved(tmp_path / f"{size}.png", np.zeros((size, size), bool)) for size in (8, 16)]
    with pytest.raises(ValueError, match=r"different sizes, \[\(8, 8\), \(16, 16\)\]: pass shape"):
        read_mask(parts)
    assert not read_mask(parts, (32, 32)).any()
    with pytest.raises(ValueError, match="empty: pass None"):
        read_mask([])


def test_without_a_file():
    assert_array_equal(read_mask(None, (3, 2)), np.zeros((3, 2), bool))
    with pytest.raises(ValueError, match="shape is needed"):
        read_mask(None)


def as_text(path):
    path.write_text("no image")


def as_postscript(path):
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")


def as_half(path):
    path.write_bytes(saved(path, bytes_of(np.random.RandomState(0).rand(99, 99))).read_bytes()[:99])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: None, FileNotFoundError, "does not exist"),
        (os.mkdir, IsADirectoryError, "is a folder"),
        (os.mkfifo, ValueError, "it is a pipe or a device"),
        (as_text, ValueError, "is not an image file of a known format"),
        (as_postscript, ValueError, "it is PostScript, a program, which is not run"),
        (as_half, ValueError, "cannot be decoded"),
    ],
)
def test_bad_files_are_named(tmp_path, make, error, message):
    path = tmp_path / "mask.png"
    make(path)
    with pytest.raises(error, match=rf"mask\.png.*{message}"):
        read_mask(path)


def test_values_that_are_no_numbers(tmp_path):
    path = saved(tmp_path / "mask.tif", np.where(MASK, np.nan, 0).astype(np.float32))
    with pytest.raises(ValueError, match=r"mask\.tif' has NaN"):
        read_mask(path)
