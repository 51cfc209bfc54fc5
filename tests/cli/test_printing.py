# SPDX-License-Identifier: BSD-3-Clause
"""Names of files, and texts of models, that a terminal would obey."""

import re
import warnings

import numpy as np
import pytest
import torch
from _cli import read_csv, run
from _persistence import parts, write
from PIL import Image

import skpatch
from skpatch.cli.audit import _print_groups
from skpatch.images.collection import check_images
from skpatch.likeness.unlike import tell_unlike
from skpatch.runtime.telling import told_once

# It clears the screen, and ends the line with a result of its own.
HOSTILE = "\x1b[2Ja\r\n0 of 9 images are anomalous.\u202e"
LONG = "x" * 10**6


def assert_harmless(text):
    assert all(line.isprintable() for line in text.split("\n")), text
    assert not re.search("^0 of 9", text, re.MULTILINE)


@pytest.fixture
def folder(tmp_path):
    """Images of hostile names: sound ones, one that is cut off, and one that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.RandomState(0).randint(0, 256, (64, 64), np.uint8)
    try:
        Image.fromarray(pixels).save(folder / f"{HOSTILE}.png")
    except OSError:
        pytest.skip("no file system for such names")
    content = (folder / f"{HOSTILE}.png").read_bytes()
    (folder / f"cut{HOSTILE}.png").write_bytes(content[: len(content) // 2])
    (folder / f"text{HOSTILE}.png").write_bytes(b"nothing")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "photos", "-o", "a.html"],
        ["audit", "photos", "-o", "a.html", "--skip-bad"],
        ["fit", f"photos/{HOSTILE}.png", "-o", "m.skpatch"],
        ["fit", "photos", "-o", f"{HOSTILE}/m.skpatch"],
        ["fit", "photos", "-o", HOSTILE],
        ["fit", "photos", "-o", "m.skpatch", "--trust", HOSTILE],
        ["fit", "photos", "-o", "m.skpatch", "--weights", HOSTILE],
        ["fit", "photos", "-o", "m.skpatch", "--backbone", HOSTILE],
        ["fit", "photos", "-o", "m.skpatch", "--device", HOSTILE],
        ["fit", "photos", "-o", "m.skpatch", "--memory-limit", HOSTILE],
        ["score", HOSTILE, "photos", "-o", "s.csv"],
        ["score", f"photos/{HOSTILE}.png", "photos", "-o", "s.csv"],
        ["score", "m.skpatch", HOSTILE, "-o", "s.csv"],
        ["score", "m.skpatch", "photos", "-o", "s.csv", "--maps", f"photos/{HOSTILE}.png"],
        # What a shell makes of *.png.
        ["score", "m.skpatch", f"--{HOSTILE}.png", "-o", "s.csv"],
        ["bench", "--sets", HOSTILE],
        ["bench", "--sets", "none", "--data", f"photos/{HOSTILE}.png"],
        [HOSTILE],
    ],
    ids=repr,
)
def test_errors(folder, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) in (1, 2)
    printed = capsys.readouterr()
    assert "\\x1b" in printed.err + printed.out
    assert_harmless(printed.err)
    assert_harmless(printed.out)


def test_skipped_images(small, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ["photos/" + name for name in ("cut" + HOSTILE, "text" + HOSTILE)]
    assert run("score", small[0], *(f"{name}.png" for name in names), "-o", "s.csv") == 1
    assert_harmless(capsys.readouterr().err)


def test_messages_about_images(folder):
    path = folder / f"{HOSTILE}.png"
    with pytest.raises(ValueError, match="fewer than the") as caught:
        check_images([path]).check_size(0, (1, 1), (8, 8))
    assert_harmless(str(caught.value))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with told_once([HOSTILE + LONG]):
            tell_unlike(np.array([True]))
    assert_harmless(str(found[0].message))
    assert len(str(found[0].message)) < 2000


def test_groups(capsys):
    _print_groups(np.array([0, 0, -1]), [f"{HOSTILE}1", "b", "c"])
    printed = capsys.readouterr().out
    assert_harmless(printed)
    assert printed.count("\n") == 1


def test_a_table_can_be_read(small, folder, tmp_path, model, capsys):
    skpatch.save(model, tmp_path / "line.skpatch")
    path = folder / f"{HOSTILE}.png"
    assert run("score", tmp_path / "line.skpatch", path, "-o", tmp_path / "s.csv") == 0
    printed = capsys.readouterr()
    assert_harmless(printed.err)
    (row,) = read_csv(tmp_path / "s.csv")
    assert row["image"].isprintable()
    assert (tmp_path / "s.csv").read_text("utf-8").count("\n") == 2


@pytest.mark.parametrize("text", [HOSTILE, LONG, HOSTILE + LONG])
@pytest.mark.parametrize("place", ["class", "discriminator", "unknown", "array", "dtype", "scale"])
def test_texts_of_a_model(small, capsys, text, place):
    path, content = small
    header, body, _ = parts(content)
    if place == "class":
        header["content"]["class"] = text
    elif place == "discriminator":
        header["content"]["model"]["params"]["discriminator"] = text
    elif place == "unknown":
        header["content"][text] = 1
    elif place == "array":
        header["arrays"][0][0] = text
    elif place == "dtype":
        header["arrays"][0][1] = text
    else:
        header["content"]["model"]["params"]["contamination"] = text
    write(path, header, body)
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        skpatch.load(path)
    assert_harmless(str(caught.value))
    assert len(str(caught.value)) < 2000
    assert len(str(caught.value.__cause__)) < 2000
    assert run("score", path, path, "-o", path.parent / "s.csv") == 1
    assert_harmless(capsys.readouterr().err)


def test_names_of_images_in_a_model(small):
    with pytest.raises(ValueError, match="There is no training image") as caught:
        skpatch.images.names.find_by_name(["b"], [HOSTILE + LONG])
    assert_harmless(str(caught.value))
    assert len(str(caught.value)) < 3000


def test_names_of_tensors(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({HOSTILE + LONG: torch.zeros(1)}, path)
    extractor = skpatch.PatchFeatureExtractor(image_size=64, weights=path)
    with pytest.raises(ValueError, match="does not fit the backbone") as caught:
        extractor.fit(np.zeros((1, 64, 64), np.uint8))
    assert_harmless(str(caught.value))
    assert len(str(caught.value)) < 3000
