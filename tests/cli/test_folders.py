# SPDX-License-Identifier: BSD-3-Clause
"""Folders that commands are given: what is learned from and inspected, and what is said of it."""

import shutil

import pytest
from _cli import SMALL, read_csv, run
from PIL import Image

import skpatch
from skpatch.console.options import run_options
from skpatch.datasets.layouts import LAYOUTS

COMMAND = {"fit": "m.skpatch", "audit": "a.html"}


def lay_out(data, root, *names):
    """Write images of the set under names that start with how many there are of each."""
    images = iter(data.images)
    for name in names:
        count, _, pattern = name.partition(" ")
        for number in range(int(count)):
            path = root / pattern.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(next(images)).save(path, "PNG")
    return root


@pytest.fixture
def bottle(data, tmp_path):
    return lay_out(
        data,
        tmp_path / "deep" / "mvtec" / "bottle",
        *("6 train/normal/{}.png", "3 test/good/{}.png"),
        *("2 test/bad/{}.png", "2 ground_truth/bad/{}_mask.png"),
    )


@pytest.fixture(scope="module")
def line(photos):
    path = photos.parent / "folders.skpatch"
    assert run("fit", photos, "-o", path, *SMALL, "--quiet") == 0
    return path


def test_only_training_images_are_learned_from(bottle, tmp_path, capsys):
    path = tmp_path / "m.skpatch"
    assert run("fit", bottle, "-o", path, *SMALL) == 0
    said = (
        "Layout MVTec AD: learning from 6 images in train/normal; 5 test images, 2 masks are left "
        "alone.\n"
    )
    assert capsys.readouterr().out.startswith(said)
    assert skpatch.load(path).image_names_ == [f"train/normal/{number}.png" for number in range(6)]
    ranking = tmp_path / "r.csv"
    assert run("audit", bottle, "-o", tmp_path / "a.html", "--csv", ranking, *SMALL) == 0
    assert capsys.readouterr().out.startswith(said)
    assert {"train/normal" in row["image"] for row in read_csv(ranking)} == {True}


def test_only_test_images_are_inspected(bottle, line, tmp_path, capsys):
    table = tmp_path / "s.csv"
    assert run("score", line, bottle, "-o", table) == 0
    assert "inspecting 5 images in test; 6 training images, 2 masks" in capsys.readouterr().out
    assert [row["image"].removeprefix(f"{bottle}/") for row in read_csv(table)] == [
        *("test/bad/0.png", "test/bad/1.png"),
        *(f"test/good/{number}.png" for number in range(3)),
    ]
    # What was sorted by hand is inspected in whole.
    assert run("score", line, bottle / "test", "-o", table, "-q") == 0
    assert len(read_csv(table)) == 5


@pytest.mark.parametrize("command", COMMAND)
def test_categories_are_refused_by_name(bottle, tmp_path, command, capsys):
    output = tmp_path / COMMAND[command]
    for folder, name in ((bottle.parents[1], "mvtec/bottle"), (bottle.parent, "bottle")):
        assert run(command, folder, "-o", output, *SMALL) == 1
        assert f"laid out as MVTec AD; pass its folder: {name}." in (capsys.readouterr().err)
    assert not output.exists()


def test_plain_on_request(bottle, tmp_path):
    path = tmp_path / "m.skpatch"
    assert run("fit", bottle, "-o", path, *SMALL, "--layout", "plain", "-q") == 0
    assert len(skpatch.load(path).image_names_) == 13


def test_layouts_of_the_option_are_those_of_the_library():
    @run_options
    def command(): ...

    (layout,) = (option for option in command.__click_params__ if option.name == "layout")
    assert layout.type.choices == ("auto", *LAYOUTS, "plain")


def test_masks_beside_images(data, tmp_path, capsys):
    root = lay_out(data, tmp_path / "set", "6 {}.jpg")
    for number in range(6):
        mask = Image.new("L", (64, 64))
        mask.paste(255 * (number == 5), (0, 0, 9, 9))
        mask.save(root / f"{number}_label.bmp")
    assert run("fit", root, "-o", tmp_path / "m.skpatch", *SMALL) == 0
    assert "Layout images with masks: learning from 5 images; 1 test image, 6 masks are left" in (
        capsys.readouterr().out
    )


@pytest.mark.filterwarnings("default")
def test_what_is_left_out_is_said(data, line, tmp_path, capsys):
    root = lay_out(data, tmp_path / "set", "6 {}.png", "2 @eaDir/{}.jpg", "1 a.AVIF")
    for command in (["fit", root, *SMALL, "-o"], ["score", line, root, "-o"]):
        output = tmp_path / ("m.skpatch" if command[0] == "fit" else "s.csv")
        assert run(*command, output, "-q") == 0
        printed = capsys.readouterr().err
        assert printed.count("are left out") == 2
        assert "file server or desktop are left out: 2 (.jpg), such as '@eaDir/0.jpg'" in printed
        assert "not read (convert them to PNG or JPEG) are left out: 1 (.avif)" in printed


def test_the_region_is_not_learned_from(data, tmp_path):
    root = lay_out(data, tmp_path / "set", "6 {}.png")
    path = tmp_path / "m.skpatch"
    for name in ("mask.png", "area.png"):
        region = root / name
        Image.new("L", (64, 64), 255).save(region)
        assert run("fit", root, "-o", path, "--region", region, *SMALL, "-q") == 0
        assert skpatch.load(path).image_names_ == [f"{number}.png" for number in range(6)]
        region.unlink()


def test_broken_links_are_unreadable_images(data, tmp_path, capsys):
    root = lay_out(data, tmp_path / "set", "6 {}.png")
    moved = shutil.move(root / "5.png", tmp_path / "moved.png")
    try:
        (root / "5.png").symlink_to(moved)
        (root / "6.png").symlink_to(tmp_path / "gone.png")
    except OSError:
        pytest.skip("no links here")
    path = tmp_path / "m.skpatch"
    assert run("fit", root, "-o", path, *SMALL) == 1
    assert f"1 of 7 images cannot be used:\n  {root / '6.png'}: does not exist" in (
        capsys.readouterr().err
    )
    assert run("fit", root, "-o", path, *SMALL, "--skip-bad", "-q") == 0
    assert skpatch.load(path).image_names_ == [f"{number}.png" for number in range(6)]


def test_unreadable_images_do_not_pass(data, photos, line, tmp_path, capsys):
    """An image that was not inspected has a row, and an exit code of its own."""
    table = tmp_path / "s.csv"
    assert run("score", line, photos, "-o", table, "-q") == 0
    by_label = {row["label"]: row["image"] for row in read_csv(table)}
    cut, empty = tmp_path / "cut.png", tmp_path / "empty.png"
    with open(by_label["normal"], "rb") as file:
        cut.write_bytes(file.read()[:500])
    empty.touch()
    arguments = ["-o", table, "--skip-bad"]
    maps = ["--maps", tmp_path / "maps", "--report", tmp_path / "r.html"]
    for name, code in (("normal", 4), ("anomalous", 3)):
        given = [cut, by_label[name], empty, *arguments]
        assert run("score", line, *given, *maps, "--fail-on-anomaly") == code
        rows = read_csv(table)
        assert [row["image"] for row in rows] == [str(cut), by_label[name], str(empty)]
        assert [row["label"] for row in rows] == ["unreadable", name, "unreadable"]
        assert set(rows[0].values()) == {str(cut), "unreadable", ""}
        assert "2 more are unreadable, and not inspected." in capsys.readouterr().out
        assert run("score", line, *given) == 0
    assert run("score", line, by_label["normal"], *arguments, "--fail-on-anomaly") == 0


@pytest.mark.filterwarnings("ignore:.*of a format that is not read")
def test_pictures_of_other_formats_do_not_pass(data, photos, line, tmp_path, capsys):
    """But for raw files beside the photographs, and what a layout does not inspect."""
    table = tmp_path / "s.csv"
    assert run("score", line, photos, "-o", table, "-q") == 0
    normal = next(row["image"] for row in read_csv(table) if row["label"] == "normal")
    root = tmp_path / "set"
    for folder in ("test/good", "train/good"):
        (root / folder).mkdir(parents=True)
        shutil.copy(normal, root / folder / "a.png")
        (root / folder / "a.CR2").touch()
    (root / "train/good/b.AVIF").touch()
    arguments = [root, "-o", table, "--fail-on-anomaly"]
    assert run("score", line, *arguments) == 0
    assert len(read_csv(table)) == 1
    lost = root / "test/good/b.AVIF"
    lost.touch()
    capsys.readouterr()
    assert run("score", line, *arguments, lost.parent) == 4
    assert "1 more are unreadable, and not inspected." in capsys.readouterr().out
    rows = [(row["image"], row["label"]) for row in read_csv(table)]
    assert rows == [(str(root / "test/good/a.png"), "normal"), (str(lost), "unreadable")]
