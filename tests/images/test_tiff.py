# SPDX-License-Identifier: BSD-3-Clause
"""TIFF files of all kinds: read as tifffile reads them, or refused in words."""

import io
import itertools
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from _images import GREY, GREY_COLOUR, load_one
from PIL import Image

from skpatch.images.collection import check_images
from skpatch.images.reading import decode, read_image

RNG = np.random.RandomState(0)
HAS_CODECS = tifffile.tifffile.imagecodecs.__name__ == "imagecodecs"


def pillow_has_zstd():
    """Old versions of Pillow have not."""
    file = io.BytesIO()
    tifffile.imwrite(file, GREY, compression="zstd")
    try:
        Image.open(file).load()
    except OSError:
        return False
    return True


COMPRESSIONS = [None, "zlib"]
if HAS_CODECS:
    COMPRESSIONS += ["lzw", "packbits", "lzma", *(["zstd"] if pillow_has_zstd() else [])]
TYPES = ("bool", "uint8", "uint16", "uint32", "float16", "float32", "float64")
SAMPLES = [
    (1, "contig"),
    *((n, planes) for n in (3, 4, 5) for planes in ("contig", "separate")),
]


def kinds():
    for dtype, (n, planes), photometric in itertools.product(
        TYPES, SAMPLES, ("minisblack", "miniswhite", "rgb", "palette")
    ):
        if photometric == "rgb" and n == 1:
            continue
        if photometric == "palette" and (n > 1 or dtype not in ("uint8", "uint16")):
            continue
        yield dtype, n, planes, photometric


def random_values(dtype, shape):
    if dtype == "bool":
        return RNG.randint(0, 2, shape).astype(bool)
    return (RNG.randint(0, 256, shape) * (257 if dtype == "uint16" else 1)).astype(dtype)


def expected_pixels(values, photometric, palette):
    """Reference: what the documentation says of the array (H, W) or (H, W, n) of tifffile."""
    white = {"bool": 1, "uint16": 65535}.get(str(values.dtype), 255)
    if photometric == "palette":
        # Pillow keeps the upper 8 bits of a palette.
        return palette.T[values] >> 8
    scaled = values.astype(float) * 255 / white
    if photometric == "miniswhite":
        scaled = 255 - scaled
    if scaled.ndim == 2:
        return np.stack([scaled] * 3, axis=2)
    # tifffile declares the first channel after the colours to be opacity if there is only one.
    opacity = scaled[:, :, 3:] / 255 if scaled.shape[2] == 4 else 1
    return scaled[:, :, :3] * opacity


@pytest.mark.parametrize(("dtype", "n", "planes", "photometric"), list(kinds()))
def test_all_kinds(tmp_path, dtype, n, planes, photometric):
    path = tmp_path / "a.tif"
    grey_of_many = photometric in ("minisblack", "miniswhite") and n > 1
    is_refused = (
        grey_of_many
        or (photometric == "palette" and dtype == "uint16")
        or (dtype == "bool" and n > 1)
    )
    shape = (16, 12) if n == 1 else (16, 12, n) if planes == "contig" else (n, 16, 12)
    for order, predictor, compression in itertools.product("<>", (False, True), COMPRESSIONS):
        if predictor and (compression is None or dtype == "bool"):
            continue
        if predictor and "float" in dtype and not HAS_CODECS:
            continue
        values = random_values(dtype, shape)
        options = {} if n == 1 else {"planarconfig": planes}
        if photometric == "palette":
            entries = 2 ** (8 * values.itemsize)
            options["colormap"] = RNG.randint(0, 2**16, (3, entries)).astype(np.uint16)
        tifffile.imwrite(
            path,
            values,
            photometric=photometric,
            byteorder=order,
            predictor=predictor,
            compression=compression,
            compressionargs={"level": 0} if compression == "lzma" else None,
            metadata=None,
            **options,
        )
        if is_refused or (photometric == "palette" and predictor and compression == "packbits"):
            with pytest.raises(
                ValueError, match=r"it is a TIFF file of .*; save it as grey or RGB"
            ):
                read_image(path, "a")
            continue
        stored = tifffile.imread(path)
        np.testing.assert_array_equal(stored, values)
        if n > 1 and planes == "separate":
            stored = np.moveaxis(stored, 0, 2)
        expected = expected_pixels(stored, photometric, options.get("colormap"))
        # The result is rounded.
        np.testing.assert_allclose(load_one(path), expected, atol=0.5 + 1e-6)


def write(path, values, **options):
    tifffile.imwrite(path, values, metadata=None, **options)
    return path


DEEP = RNG.randint(0, 65536, (24, 20, 3)).astype(np.uint16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path, orientation):
    path = write(tmp_path / "a.tif", DEEP, extratags=[(274, 3, 1, orientation, True)])
    turned = {
        1: DEEP,
        2: DEEP[:, ::-1],
        3: DEEP[::-1, ::-1],
        4: DEEP[::-1],
        5: DEEP.swapaxes(0, 1),
        6: np.rot90(DEEP, -1),
        7: np.rot90(DEEP.swapaxes(0, 1), 2),
        8: np.rot90(DEEP),
    }[orientation]
    np.testing.assert_array_equal(load_one(path), load_one(turned))


def test_tiles_strips_and_big_files(tmp_path):
    for options in ({"tile": (16, 16)}, {"rowsperstrip": 5}, {"bigtiff": True}):
        path = write(tmp_path / "a.tif", DEEP, photometric="rgb", compression="zlib", **options)
        np.testing.assert_array_equal(load_one(path), load_one(DEEP))


def test_premultiplied_and_unspecified_fourth_channel(tmp_path):
    values = np.concatenate([DEEP // 2, DEEP[:, :, :1]], axis=2)
    for extra, expected in {
        "assocalpha": values[:, :, :3],
        "unassalpha": values,
        "unspecified": values[:, :, :3],
    }.items():
        path = write(tmp_path / "a.tif", values, photometric="rgb", extrasamples=[extra])
        np.testing.assert_array_equal(load_one(path), load_one(expected))


def test_negatives_of_one_folder_have_one_polarity(tmp_path):
    """Radiographs whose smallest value is white, in 8 and 16 bits and as numbers of any kind."""
    for dtype, factor in {"uint8": 1, "uint16": 257, "float32": 1, "uint32": 1}.items():
        values = (GREY.astype(int) * factor).astype(dtype)
        path = write(tmp_path / "a.tif", values, photometric="miniswhite")
        np.testing.assert_array_equal(load_one(path), 255 - GREY_COLOUR)


@pytest.mark.skipif(not HAS_CODECS, reason="needs imagecodecs")
@pytest.mark.parametrize("compression", ["jpeg2000", "jpegxl", "jpegxr", "png"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_compressions_that_are_refused_are_named(tmp_path, compression, dtype):
    path = write(tmp_path / "a.tif", DEEP.astype(dtype), photometric="rgb", compression=compression)
    images = check_images([path])
    for method in images.load, images.size:
        with pytest.raises(ValueError, match=r"a\.tif.*compressed as .*; save it without"):
            method(0)


def test_colour_spaces_in_planes(tmp_path):
    """Inks are converted, chunky or in planes; Pillow takes the planes of others for grey ones."""
    inks = RNG.randint(0, 256, (24, 20, 4)).astype(np.uint8)
    planes = np.moveaxis(inks, 2, 0)
    path = write(tmp_path / "a.tif", inks, photometric="separated")
    expected = load_one(path)
    write(path, planes, photometric="separated", planarconfig="separate")
    np.testing.assert_array_equal(load_one(path), expected)
    for space in ("cielab", "ycbcr"):
        write(path, planes[:3], photometric=space, planarconfig="separate")
        with pytest.raises(ValueError, match="which is not converted to RGB; save it as"):
            load_one(path)


def test_eight_bit_kind_that_pillow_does_not_read(tmp_path):
    values = DEEP.astype(np.uint8)[:, :, [0, 1, 2, 0, 1]]
    path = write(tmp_path / "a.tif", values, photometric="separated")
    with pytest.raises(ValueError, match=r"it is a TIFF file of 5 channels of 8-bit .*SEPARATED"):
        load_one(path)


def test_pil_images_that_pillow_misreads_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", DEEP[:, :, 0], photometric="miniswhite")
    with (
        Image.open(path) as image,
        pytest.raises(ValueError, match=r"image 0.*Pillow does not read this kind.*pass its path"),
    ):
        load_one(image)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated(tmp_path, share, compression):
    path = write(tmp_path / "a.tif", DEEP, photometric="rgb", compression=compression)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"a\.tif.*cannot be decoded: \w+"):
        load_one(path)


def test_claim_of_many_pixels_takes_no_memory(tmp_path):
    path = write(tmp_path / "a.tif", DEEP, photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["ImageWidth"].overwrite(60_000)
        file.pages[0].tags["ImageLength"].overwrite(60_000)
    with pytest.raises(ValueError, match=r"60000 x 60000 pixels are more than .*--max-pixels"):
        load_one(path)


def test_without_imagecodecs(tmp_path):
    """Plain and deflated files are read, in the memory of their pixels; others name the package."""
    smooth = np.zeros((24, 20, 3), np.uint16)
    deflated = write(tmp_path / "deflated.tif", smooth, predictor=True, compression="zlib")
    bomb = write(
        tmp_path / "bomb.tif",
        np.zeros((24, 2**16), np.uint16),
        photometric="miniswhite",
        compression="zlib",
    )
    with tifffile.TiffFile(bomb, mode="r+b") as file:
        file.pages[0].tags["ImageWidth"].overwrite(20)
    code = """
import sys
sys.modules["imagecodecs"] = None
from skpatch.images.reading import decode, read_image
assert (read_image(sys.argv[1], "a") == 0).all()
for path, words in zip(sys.argv[2:], ("hold more pixels", r"imagecodecs: install skpatch[tiff]")):
    try:
        read_image(path, "a")
    except ValueError as error:
        assert words in str(error), error
    else:
        raise AssertionError(path)
"""
    paths = [deflated, bomb]
    if HAS_CODECS:
        paths.append(write(tmp_path / "lzw.tif", smooth, photometric="rgb", compression="lzw"))
    process = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, timeout=60
    )
    assert (process.returncode, process.stderr) == (0, "")


def test_damage_does_not_reach_standard_error(tmp_path, capfd):
    path = write(tmp_path / "a.tif", DEEP, photometric="rgb")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match="cannot be decoded"):
        check_images([path]).load(0)
    assert capfd.readouterr().err == ""


def test_pages_are_counted_without_thumbnails_and_loops(tmp_path):
    path = tmp_path / "a.tif"
    for big in (False, True):
        for order in "<>":
            with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as writer:
                for subfile in (0, 0, 1, 0, 1):
                    writer.write(DEEP, photometric="rgb", subfiletype=subfile, metadata=None)
            assert decode(path, "a").n_left_out == 2
            with tifffile.TiffFile(path) as file:
                first, last = file.pages[0].offset, file.pages[4].offset
                n_tags, size = len(file.pages[4].tags), file.tiff.tagsize
            data = bytearray(path.read_bytes())
            # The place of the next page follows the last tag.
            place = last + (8 if big else 2) + n_tags * size
            data[place : place + (8 if big else 4)] = struct.pack(order + "IQ"[big], first)
            path.write_bytes(data)
            assert decode(path, "a").n_left_out == 2
