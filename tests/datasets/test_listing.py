# SPDX-License-Identifier: BSD-3-Clause
"""Which files of a folder are images, and what is told of the others."""

import os
import subprocess
import sys
import warnings

import pytest
from PIL import Image, features

import skpatch
from skpatch.datasets.listing import list_folder, tell_left_out


def make(root, names):
    for name in names.split("|"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def told(root):
    """What is listed, and what is said of the others."""
    listing = list_folder(root)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tell_left_out(root, listing.left_out)
    return listing.images, sorted(str(warning.message).split(": ", 1)[1] for warning in caught)


@pytest.mark.parametrize("ending", ["jfif", "jpe", "JP2", "j2k", "jpf", "dib", "pgm", "Tif"])
def test_formats_that_are_read(tmp_path, ending):
    if ending.lower() in ("jp2", "j2k", "jpf") and not features.check("jpg_2000"):
        pytest.skip("Pillow without JPEG 2000")
    for name in (f"a.{ending}", "b.png"):
        Image.new("L", (8, 8), 7).save(tmp_path / name)
    images = skpatch.datasets.load_folder(tmp_path).train_images
    assert len(images) == 2
    assert (skpatch.images.collection.check_images(images).load(0) == 7).all()


def test_other_formats_are_counted_and_named(tmp_path):
    names = [f"{number}.AVIF" for number in range(15)] + ["a.gif", "b.avif", "c.NEF", "d.psd"]
    make(tmp_path, "|".join([*names, "1.png", "notes.txt", "model.skpatch", "Thumbs.db"]))
    images, messages = told(tmp_path)
    assert images == ["1.png"]
    assert messages == [
        "files of a format that is not read (convert them to PNG or JPEG) are left out: 19 "
        "(.avif, .gif, .nef, .psd), such as '0.AVIF'."
    ]
    with pytest.warns(UserWarning, match="are left out: 19"):
        skpatch.datasets.load_folder(tmp_path)


def test_heic_is_listed_if_it_is_read(tmp_path, monkeypatch):
    make(tmp_path, "1.png|2.HEIC|2.png|3.heif")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    images, messages = told(tmp_path)
    assert images == ["1.png", "2.png"]
    assert messages == [
        "HEIC photographs, for which the package extra skpatch[heic] is not installed, are left "
        "out: 2 (.heic, .heif), such as '2.HEIC'."
    ]
    assert list_folder(tmp_path).unread == ["3.heif"]
    monkeypatch.undo()
    pytest.importorskip("pillow_heif")
    assert told(tmp_path) == (["1.png", "2.HEIC", "2.png", "3.heif"], [])


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "a/@eaDir/1.png",
        "#recycle/1.png",
        "#snapshot/daily/1.png",
        "$RECYCLE.BIN/S-1-5/1.png",
        "System Volume Information/1.png",
        "__MACOSX/a/1.png",
        "lost+found/1.png",
        ".thumbnails/normal/1.png",
        ".Trash-1000/files/1.png",
        "Thumbs/1.png",
        "a/thumbnails/1.png",
        "1_thumb.jpg",
    ],
)
def test_folders_of_systems(tmp_path, name):
    images, messages = told(make(tmp_path, f"1.png|{name}"))
    assert images == ["1.png"]
    assert messages == [
        "thumbnails, or files in folders of a file server or desktop are left out: 1 "
        f"({name[-4:]}), such as {name!r}."
    ]


def test_hidden_images_are_told(tmp_path):
    make(tmp_path, "1.png|.2.png|.cache/3.jpg|._1.png|.DS_Store|.git/config")
    images, messages = told(tmp_path)
    assert images == ["1.png"]
    assert messages == ["hidden images are left out: 2 (.jpg, .png), such as '.2.png'."]


def link(path, target):
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("no links here")


def test_links_to_folders_are_followed(tmp_path):
    make(tmp_path, "elsewhere/1.png|elsewhere/below/2.png|photos/3.png")
    link(tmp_path / "photos" / "linked", tmp_path / "elsewhere")
    link(tmp_path / "photos" / "4.png", tmp_path / "elsewhere" / "1.png")
    assert list_folder(tmp_path / "photos").images == [
        "3.png",
        "4.png",
        "linked/1.png",
        "linked/below/2.png",
    ]


def test_one_folder_may_play_two_parts(tmp_path):
    make(tmp_path, "train/good/1.png|test/dent/2.png")
    link(tmp_path / "test" / "good", tmp_path / "train" / "good")
    parts = skpatch.datasets.load_folder(tmp_path)
    assert (len(parts.train_images), parts.test_types) == (1, ["good", "dent"])


@pytest.mark.parametrize("target", [".", "..", "a", "../photos/a"])
def test_loops_end(tmp_path, target):
    make(tmp_path, "photos/a/1.png|photos/b/2.png")
    link(tmp_path / "photos" / "a" / "again", tmp_path / "photos" / target)
    link(tmp_path / "photos" / "b" / "self", tmp_path / "photos" / "b")
    images = list_folder(tmp_path / "photos").images
    assert {"a/1.png", "b/2.png"} <= set(images)
    assert len(images) <= 4


def test_broken_links(tmp_path):
    """One that was an image is an unreadable image; what another was nobody knows."""
    make(tmp_path, "1.png")
    for name in ("2.png", "folder", "notes.txt"):
        link(tmp_path / name, tmp_path / "gone" / name)
    images, messages = told(tmp_path)
    assert images == ["1.png", "2.png"]
    assert messages == ["links that lead nowhere are left out: 1, such as 'folder'."]
    (tmp_path / "folder").unlink()
    images = skpatch.datasets.load_folder(tmp_path).train_images
    with pytest.raises(FileNotFoundError, match=r"1 of 2 image files do not exist: .*2\.png"):
        skpatch.images.collection.check_images(images)


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_pipes_are_told(tmp_path):
    make(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    images, messages = told(tmp_path)
    assert images == ["1.png"]
    assert messages == ["pipes or devices are left out: 1 (.png), such as '2.png'."]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_folder_that_may_not_be_read(tmp_path):
    make(tmp_path, "1.png|lost+found/x|a/2.png")
    (tmp_path / "lost+found").chmod(0)
    assert list_folder(tmp_path).images == ["1.png", "a/2.png"]
    (tmp_path / "a").chmod(0)
    with pytest.raises(PermissionError, match="a"):
        list_folder(tmp_path)


def test_folders_far_deeper_than_recursion_goes(tmp_path):
    here, depth = os.getcwd(), 1050
    os.chdir(tmp_path)
    try:
        for _ in range(depth):
            os.mkdir("a")
            os.chdir("a")
        open("b.png", "w").close()
        os.chdir(tmp_path)
        assert list_folder(".").images == ["a/" * depth + "b.png"]
    finally:
        os.chdir(here)
        # pytest would remove them by recursion.
        subprocess.run(["rm", "-r", tmp_path / "a"], check=True)
