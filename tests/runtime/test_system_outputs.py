# SPDX-License-Identifier: BSD-3-Clause
"""Outputs on full disks, in folders that are read only, with long names, after a kill."""

import errno
import os
import re
import shutil
import subprocess
import sys

import pytest
from _cli import SMALL, run
from _photographs import IMAGES
from _system import contents, filled, largest_file, mounted
from sklearn.base import clone

import skpatch
from skpatch.runtime.files import check_output, replacing

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX")


@pytest.fixture(scope="module")
def line(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("line") / "line.skpatch"
    skpatch.save(model, path)
    return path


@pytest.fixture(scope="module")
def few(photos, tmp_path_factory):
    """Folder of eight images, one of them defective."""
    folder = tmp_path_factory.mktemp("few") / "few"
    folder.mkdir()
    for path in skpatch.datasets.load_folder(photos).train_images[-8:]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(params=["limit", "disk"])
def full(request, tmp_path):
    """A folder, and a context in which no file of some bytes can be written to it."""
    folder = tmp_path / "full"
    if request.param == "limit":
        folder.mkdir()
        yield folder, largest_file
    else:
        with mounted(folder):
            yield folder, lambda _: filled(folder)


@pytest.mark.parametrize(
    ("command", "outputs", "n_bytes"),
    [
        ("fit", ["-o", "full/m.skpatch"], 9999),
        ("audit", ["-o", "a.html", "--csv", "full/r.csv"], 99),
        ("audit", ["-o", "full/a.html"], 9999),
        ("score", ["-o", "full/s.csv"], 99),
        ("score", ["-o", "s.csv", "--report", "full/r.html"], 9999),
        ("score", ["-o", "s.csv", "--maps", "full/maps"], 1999),
    ],
    ids=["model", "ranking", "audit", "scores", "report", "maps"],
)
def test_no_room(few, line, full, tmp_path, monkeypatch, capsys, command, outputs, n_bytes):
    monkeypatch.chdir(tmp_path)
    folder, no_room = full
    inputs = [line, few] if command == "score" else [few, *SMALL]
    # What an earlier run has left.
    old = tmp_path / outputs[-1]
    old = old if old.suffix else old / "0.png"
    old.parent.mkdir(exist_ok=True)
    old.write_text("old")
    before = contents(folder)
    with no_room(n_bytes):
        assert run(command, *inputs, *outputs, "--quiet", "--force") == 1
    printed = capsys.readouterr().err
    assert re.fullmatch(r"Error: '.*': (File too|No space).*\. (Raise|Make) .*\.\n", printed)
    assert outputs[-1] in printed
    assert "/.skpatch" not in printed
    assert contents(folder) == before


@pytest.mark.parametrize("n_bytes", [99, 200])
def test_no_room_for_features(fitted, full, n_bytes):
    folder, no_room = full
    path = folder / "features.npy"
    extractor = clone(fitted).set_params(output=path).fit(IMAGES)
    extractor.transform(IMAGES)
    before = contents(folder)
    with (
        pytest.raises(OSError, match=re.escape(repr(str(path)))) as caught,
        no_room(n_bytes),
    ):
        extractor.transform(IMAGES)
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    assert contents(folder) == before


def test_other_errors_keep_their_names(tmp_path):
    with pytest.raises(OSError, match=r"disk\.raw") as caught, replacing(tmp_path / "a.csv"):
        raise OSError(errno.ENOSPC, "No space left on device", "disk.raw")
    assert caught.value.filename == "disk.raw"
    assert list(tmp_path.iterdir()) == []


def test_read_only_folders(few, line, tmp_path, monkeypatch, capsys):
    locked = tmp_path / "locked"
    with mounted(locked):
        (locked / "maps").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(locked)], check=True)
        table, work = tmp_path / "s.csv", "skpatch.cli.{}.readable_images"
        # None of these reaches the work.
        monkeypatch.setattr(work.format("train"), None)
        monkeypatch.setattr(work.format("score"), None)
        for arguments in (
            ["fit", few, "-o", locked / "m.skpatch"],
            ["audit", few, "-o", locked / "a.html"],
            ["audit", few, "-o", tmp_path / "a.html", "--csv", locked / "r.csv"],
            ["score", line, few, "-o", locked / "s.csv"],
            ["score", line, few, "-o", table, "--report", locked / "r.html"],
            ["score", line, few, "-o", table, "--maps", locked / "maps"],
            ["score", line, few, "-o", table, "--maps", locked / "new"],
        ):
            assert run(*arguments) == 1
            assert "cannot be written to" in capsys.readouterr().err
        with pytest.raises(PermissionError, match="cannot be written to"):
            skpatch.save(skpatch.load(line), locked / "m.skpatch")
        assert contents(locked) == {}


def test_longest_names(few, line, tmp_path):
    """A name of 255 bytes, and a path of 4095, from which a shorter name has no room."""
    name = tmp_path / f"{'é' * 125}a.csv"
    deep = tmp_path
    while (left := 4095 - len("/s.csv") - len(os.fsencode(deep))) > 0:
        deep = deep / ("d" * (left - 1 if left < 200 else 100))
        deep.mkdir()
    assert (len(os.fsencode(name.name)), len(os.fsencode(deep / "s.csv"))) == (255, 4095)
    for path in (name, deep / "s.csv"):
        path.touch()
        assert run("score", line, few, "-o", path, "--quiet") == 0
        assert path.stat().st_size > 0
        assert [found.name for found in path.parent.iterdir() if found.is_file()] == [path.name]


def test_names_that_are_too_long(few, line, tmp_path, monkeypatch, capsys):
    # The ending of a heat map makes the longest name too long.
    image = tmp_path / f"{'n' * 251}.png"
    shutil.copy(next(few.iterdir()), image)
    assert run("score", line, image, "-o", tmp_path / "s.csv", "--quiet") == 0
    monkeypatch.setattr("skpatch.cli.score.readable_images", None)
    for arguments in (
        [image, "-o", tmp_path / "s.csv", "--maps", tmp_path / "maps"],
        [image, "-o", tmp_path / f"{'é' * 126}.csv"],
    ):
        assert run("score", line, *arguments) == 1
        assert ": File name too long. Give a shorter name." in capsys.readouterr().err


def test_files_of_killed_processes(tmp_path):
    path = tmp_path / "m.csv"
    code = "import os, sys, time; from skpatch.runtime.files import replacing\n"
    code += "with replacing(sys.argv[1]) as file: print(file.name, flush=True); time.sleep(60)"

    def write(path):
        with replacing(path, encoding="utf-8") as file:
            file.write("1")

    process = subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True
    )
    temporary = process.stdout.readline().strip()
    assert os.path.dirname(temporary) == str(tmp_path)
    os.utime(temporary, (0, 0))
    write(path)
    assert os.path.exists(temporary)  # it is being written
    process.kill()
    process.communicate()
    os.utime(temporary)
    write(path)
    assert os.path.exists(temporary)  # perhaps it was just created
    os.utime(temporary, (0, 0))
    names = ("skpatch-1.csv", ".other", "image.png", ".skpatch-notes", f".skpatch-{'0' * 31}x")
    others = [tmp_path / name for name in names]
    for other in others:
        other.touch()
        os.utime(other, (0, 0))
    check_output(path, ".csv")
    assert os.path.exists(temporary)  # a check removes nothing
    write(path)
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_what_is_left_is_no_image(few, line, tmp_path):
    maps = tmp_path / "maps"
    arguments = [few, "-o", tmp_path / "s.csv", "--maps", maps, "--quiet"]
    assert run("score", line, *arguments) == 0
    before = contents(maps)
    (picture, *_) = before
    with replacing(picture) as file:
        file.write(picture.read_bytes())
        file.flush()
        listed = skpatch.datasets.load_folder(maps).train_images
    assert set(listed) == set(map(str, before))
    left = maps / f".skpatch-{0:032x}"
    left.touch()
    os.utime(left, (0, 0))
    assert run("score", line, *arguments) == 0
    assert contents(maps) == before
