# SPDX-License-Identifier: BSD-3-Clause
"""Which formats are decoded, through one door, and what is said of others."""

import io
import re
import struct
import sys
import zipfile
import zlib

import numpy as np
import pytest
from _images import COLOUR, load_one
from PIL import Image

from skpatch.images.collection import check_images


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "JPEG2000", "GIF", "PPM"])
def test_formats_are_known_by_their_content(tmp_path, kind):
    path = tmp_path / "a.jpg"
    flat = np.full((16, 24, 3), 90, np.uint8)
    Image.fromarray(flat).save(path, kind)
    np.testing.assert_allclose(load_one(path).astype(int), flat, atol=1)


def test_photograph_of_a_telephone_with_a_second_picture(tmp_path):
    path = tmp_path / "a.jpg"
    flat = Image.new("RGB", (24, 16), (90, 90, 90))
    flat.save(path, "MPO", save_all=True, append_images=[flat])
    np.testing.assert_allclose(load_one(path).astype(int), 90, atol=1)


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX", "SGI", "DDS", "EPS", "PDF"])
def test_other_formats_are_not_decoded(tmp_path, kind):
    """Among them PostScript, for which Pillow starts Ghostscript."""
    path = tmp_path / "a.png"
    Image.fromarray(COLOUR).save(path, kind)
    for method in check_images([path]).load, check_images([path]).size:
        with pytest.raises(ValueError, match=r"a\.png.* (not an image file of a known|it is .*;)"):
            method(0)


HEADERS = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
    "PDF": b"%PDF-1.7\n",
    "DICOM": bytes(128) + b"DICM",
    "NumPy": b"\x93NUMPY\x01\0",
    "OpenEXR": b"v/1\x01",
    "SVG": b"<svg xmlns=",
    "video": b"\0\0\0\x18ftypmp42",
    "web page": b"<!DOCTYPE html>\n<html>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    "gzip archive": b"\x1f\x8b\x08",
}


@pytest.mark.parametrize("word", HEADERS)
def test_what_a_file_is_and_what_to_do(tmp_path, monkeypatch, word):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "photo.png"
    path.write_bytes(HEADERS[word].ljust(600, b"\0"))
    with pytest.raises(ValueError, match=rf"photo\.png.*it is an? .*{word}|it is {word}") as caught:
        load_one(path)
    assert re.search("convert it|pass|is not run|download|git lfs pull|unpack", str(caught.value))
    assert ("skpatch[heic]" in str(caught.value)) == (word == "HEIC")


def test_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "photo.HEIC"
    pixels = np.full((64, 96, 3), [250, 20, 20], np.uint8)
    pixels[:, 48:] = [20, 20, 250]
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(path, quality=95)
    assert check_images([path]).size(0) == (64, 96)
    assert np.abs(load_one(path).astype(int) - pixels).mean() < 5
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"photo\.HEIC' is not an image file"):
        load_one(path)


def test_archive(tmp_path):
    path = tmp_path / "a.png"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(ValueError, match="it is a ZIP archive; unpack it"):
        load_one(path)


def test_postscript_opened_by_the_user_is_not_run(tmp_path, monkeypatch):
    path = tmp_path / "a.eps"
    Image.fromarray(COLOUR).save(path)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", None)
    with (
        Image.open(path) as image,
        pytest.raises(ValueError, match=r"image 0, a PIL image, .* PostScript, a program"),
    ):
        check_images([image]).load(0)


def part_of_jpeg(marker, content):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


PARTS = {
    "PNG": struct.pack(">I4s2sI", 2, b"tEXt", b"a\0", zlib.crc32(b"tEXta\0")),
    "GIF": b"\x21\xfe\1a\0",
    "PPM": b"#" * 10 + b"\n",
    "JPEG": part_of_jpeg(0xE1, b"Exif\0\0aa"),
    "JPEG comments": part_of_jpeg(0xFE, b"a"),
    "JPEG padding": b"\xff",
}
# Where a part may be inserted.
PLACES = {"PNG": 33, "GIF": -1, "PPM": 3, "JPEG": 2}


@pytest.mark.parametrize("kind", PARTS)
def test_headers_of_very_many_parts(tmp_path, kind):
    """Some of them Pillow joins one by one: 6 MB of them took minutes."""
    path = tmp_path / "a.png"
    buffer, name = io.BytesIO(), kind.split()[0]
    Image.fromarray(COLOUR).save(buffer, name)
    data = buffer.getvalue()
    place = data.index(b"\x2c\0\0\0\0") if name == "GIF" else PLACES[name]
    path.write_bytes(data[:place] + PARTS[kind] * 50 + data[place:])
    assert load_one(path).shape == (*COLOUR.shape[:2], 3)
    path.write_bytes(data[:place] + PARTS[kind] * 30_000 + data[place:])
    for read in (load_one, lambda path: check_images([path]).size(0)):
        with pytest.raises(ValueError, match=r"a\.png.*header has more parts than any image's"):
            read(path)


@pytest.mark.parametrize("n_scans", [100, 5000])
def test_jpeg_files_that_are_decoded_for_minutes(tmp_path, n_scans):
    path = tmp_path / "a.png"
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    path.write_bytes(data[:-2] + data[data.rindex(b"\xff\xda") : -2] * n_scans + b"\xff\xd9")
    with Image.open(path) as opened:
        for image in (path, opened):
            with pytest.raises(ValueError, match=r"is a JPEG file of \d+ scans"):
                check_images([image]).load(0)
    path.write_bytes(data)
    assert load_one(path).shape == (*COLOUR.shape[:2], 3)
