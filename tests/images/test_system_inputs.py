# SPDX-License-Identifier: BSD-3-Clause
"""Images that change, shrink, vanish or are no files while they are read."""

import os
import subprocess
import sys

import numpy as np
import pytest
from _cli import run
from _images import Lazy, load_one, save
from _networks import small_extractor

import skpatch
from skpatch.images.collection import check_images

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX")

PHOTO = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)


class Changing(Lazy):
    """Paths, one of which something happens to once all sizes are known."""

    def __init__(self, items, change):
        super().__init__(items)
        self.change = change

    def __getitem__(self, index):
        if len(self.accessed) == len(self):
            self.change(self.items[-1])
        return super().__getitem__(index)


def as_folder(path):
    path.unlink()
    path.mkdir()


def as_pipe(path):
    path.unlink()
    os.mkfifo(path)


def shrink(path):
    path.write_bytes(path.read_bytes()[:2000])


CHANGES = [
    (lambda path: path.unlink(), FileNotFoundError, "does not exist"),
    (shrink, ValueError, "cannot be decoded"),
    (lambda path: path.write_bytes(b""), ValueError, "0 bytes"),
    (lambda path: path.write_text("text"), ValueError, "not an image file"),
    (lambda path: save(path, PHOTO[:5]), ValueError, r"has 5 x 64 pixels .* fewer than"),
    (as_folder, IsADirectoryError, "is a folder"),
    (as_pipe, ValueError, "it is a pipe or a device"),
]
NAMES = ["vanishes", "shrinks", "is empty", "is text", "is small", "is a folder", "is a pipe"]


@pytest.mark.parametrize(("change", "error", "message"), CHANGES, ids=NAMES)
def test_images_that_change(tmp_path, change, error, message):
    """After their sizes were read, and before their pixels are."""
    paths = [save(tmp_path / f"{index}.png", PHOTO) for index in range(4)]
    output = tmp_path / "features.npy"
    # In one thread, so that the change is made once.
    extractor = small_extractor(image_size=64, output=output, n_jobs=1)
    with pytest.raises(error, match=message) as caught:
        extractor.fit_transform(Changing(paths, change))
    assert "3.png" in str(caught.value)
    assert not any(path.suffix == ".npy" or path.name[0] == "." for path in tmp_path.iterdir())


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_devices(device):
    images = check_images([device])
    for method in images.load, images.size:
        with pytest.raises(ValueError, match=rf"{device}.* it is a pipe or a device"):
            method(0)


@pytest.mark.filterwarnings("default:.*pipes or devices")
def test_pipes_are_not_listed_and_do_not_hang(model, tmp_path, capsys):
    line = tmp_path / "line.skpatch"
    skpatch.save(model, line)
    folder = tmp_path / "photos"
    folder.mkdir()
    save(folder / "a.png", PHOTO)
    os.mkfifo(folder / "pipe.png")
    arguments = ["-o", tmp_path / "s.csv", "--quiet"]
    assert run("score", line, folder, *arguments) == 0
    assert "pipes or devices are left out: 1 (.png), such as 'pipe.png'" in capsys.readouterr().err
    assert run("score", line, folder / "pipe.png", *arguments) == 1
    assert "pipe.png: cannot be decoded: it is a pipe or a device" in capsys.readouterr().err


def test_a_file_that_shrinks_between_opening_and_reading(tmp_path):
    """The system kills a process that reads a mapped file beyond its end."""
    pixels = np.full((900, 900), 7, np.uint8)
    paths = [save(tmp_path / name, pixels) for name in ("a.bmp", "a.pgm", "a.tif")]
    code = """
import os, sys
from PIL import Image
from skpatch.images.reading import read_image
getexif = Image.Image.getexif
def shrink(image):  # called when the pixels are loaded
    os.truncate(path, 100)
    return getexif(image)
Image.Image.getexif = shrink
for path in sys.argv[1:]:
    assert (read_image(path, "a") == 7).all(), path
    assert os.path.getsize(path) == 100
"""
    process = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, timeout=60
    )
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("name", ["line\nbreak.png", "\udcff.png", "é" * 125 + ".png"])
def test_odd_names(tmp_path, name):
    try:
        path = save(tmp_path / name, PHOTO)
    except OSError:
        pytest.skip(f"no file system for {name!r}")
    np.testing.assert_array_equal(load_one(path), PHOTO)
    path.write_text("text")
    with pytest.raises(ValueError, match="not an image file of a known format") as caught:
        load_one(path)
    assert repr(str(path)) in str(caught.value)
