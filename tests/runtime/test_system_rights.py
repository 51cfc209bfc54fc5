# SPDX-License-Identifier: BSD-3-Clause
"""Outputs replace regular files only, keep their rights, and are those that were written."""

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest
from _cli import run
from _system import another_user, contents, umask

import skpatch
from skpatch.runtime.files import check_output, remove_abandoned, replacing

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX")

ALICE, BOB, TEAM = 23456, 23457, 23458


def make_device(path):
    """Another /dev/null."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root may make devices")


def make_socket(path):
    before = os.getcwd()
    # The path of a socket has at most 107 bytes.
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def make_link(path):
    target = path.parent / "precious.txt"
    target.write_text("precious")
    path.symlink_to(target)


SPECIAL = {
    "device": make_device,
    "pipe": os.mkfifo,
    "socket": make_socket,
    "link": make_link,
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "link to a pipe": lambda path: path.symlink_to("/dev/stdout"),
    "folder": os.mkdir,
}


@pytest.fixture
def shared():
    """A folder that all users may change."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def owned(path, mode, user=-1, group=-1):
    """A file of a user, by default of the one who runs the tests."""
    path.write_text("old")
    os.chown(path, user, group)
    os.chmod(path, mode)
    return path


def rights(path):
    found = os.stat(path)
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def write(path):
    with replacing(path) as file:
        during = rights(file.name)
        file.write(b"new")
    return during


@pytest.mark.parametrize("kind", SPECIAL)
def test_only_regular_files_are_replaced(kind, tmp_path):
    path = tmp_path / "out.csv"
    SPECIAL[kind](path)
    before = os.lstat(path)
    message = r"out\.csv' is a (link|device, pipe or socket|folder)"
    for refused in (lambda: check_output(path, ".csv"), lambda: write(path)):
        with pytest.raises(OSError, match=message):
            refused()
    assert os.path.samestat(os.lstat(path), before)
    assert {found.name for found in tmp_path.iterdir()} <= {"out.csv", "precious.txt"}
    assert all(found.read_text() == "precious" for found in tmp_path.glob("precious.txt"))


def test_what_takes_the_place_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "out.csv"
    with pytest.raises(FileExistsError, match="is a device, pipe"), replacing(path):
        os.mkfifo(path)
    assert stat.S_ISFIFO(os.lstat(path).st_mode)
    assert os.listdir(tmp_path) == ["out.csv"]


def test_commands_refuse_them_before_the_work(small, photos, tmp_path, monkeypatch, capsys):
    model, _ = small
    for module in ("train", "score"):
        monkeypatch.setattr(f"skpatch.cli.{module}.readable_images", None)
    monkeypatch.setattr("skpatch.datasets.load_elpv", None)
    monkeypatch.setattr("skpatch.bench.run.load_solar_cells", None)
    (image,) = list(photos.rglob("*.png"))[:1]
    table = tmp_path / "s.csv"
    for path, arguments in {
        "m.skpatch": ["fit", photos, "-o"],
        "a.html": ["audit", photos, "-o"],
        "r.csv": ["audit", photos, "-o", tmp_path / "b.html", "--csv"],
        "t.csv": ["score", model, image, "-o"],
        "s.html": ["score", model, image, "-o", table, "--report"],
        "d.png": ["demo", "-o"],
        "rows.csv": ["bench", "--output", tmp_path / "rows"],
        "picture.png": ["bench", "--output", tmp_path / "picture"],
    }.items():
        os.mkfifo(tmp_path / path)
        arguments = arguments + [tmp_path / path] * (arguments[-1] in ("-o", "--csv", "--report"))
        assert run(*arguments) == 1, path
        assert f"{path}' is a device, pipe or socket" in capsys.readouterr().err
        assert stat.S_ISFIFO(os.lstat(tmp_path / path).st_mode)


def test_saving_a_model_over_a_device(small, tmp_path):
    model = skpatch.load(small[0])
    make_device(tmp_path / "null")
    with pytest.raises(FileExistsError, match="null' is a device"):
        skpatch.save(model, tmp_path / "null")
    assert stat.S_ISCHR(os.lstat(tmp_path / "null").st_mode)


def swap_for_link(name, victim):
    os.unlink(name)
    os.symlink(victim, name)


def swap_for_file(name, victim):
    os.unlink(name)
    os.link(victim, name)


@pytest.mark.parametrize(
    "swap", [swap_for_link, swap_for_file, lambda name, victim: os.unlink(name)]
)
def test_a_temporary_file_that_is_swapped(swap, tmp_path):
    victim, path = tmp_path / "victim.txt", tmp_path / "out.csv"
    victim.write_text("precious")
    path.write_text("old")
    refused = pytest.raises(FileExistsError, match=r"out\.csv' is not written: another process")
    with refused, replacing(path) as file:
        file.write(b"new")
        swap(file.name, victim)
        file.write(b"more")
    assert contents(tmp_path) == {victim: b"precious", path: b"old"}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o644])
def test_the_mode_of_the_old_file_is_kept(mode, tmp_path):
    path = owned(tmp_path / "out.csv", mode)
    for mask in (0o077, 0o002):
        with umask(mask):
            during = write(path)
        # Not even while it is written may others read what they could not.
        assert during == rights(path)
        assert during[0] == mode
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_new_files_have_ordinary_rights(mask, mode, small, tmp_path):
    with umask(mask):
        write(tmp_path / "out.csv")
        skpatch.save(skpatch.load(small[0]), tmp_path / "m.skpatch")
    assert {rights(tmp_path / name)[0] for name in ("out.csv", "m.skpatch")} == {mode}


def test_root_leaves_a_file_to_its_owner(shared):
    with another_user(ALICE, ALICE):
        assert os.getuid() == ALICE
    path = owned(shared / "out.csv", 0o640, ALICE, TEAM)
    assert write(path) == rights(path) == (0o640, ALICE, TEAM)


def test_rights_of_a_group_that_cannot_be_kept(shared):
    path = owned(shared / "out.csv", 0o664, ALICE, TEAM)
    with another_user(ALICE, ALICE):
        write(path)
    assert rights(path) == (0o604, ALICE, ALICE)


def test_a_file_of_somebody_else(shared):
    path = owned(shared / "out.csv", 0o644, ALICE, ALICE)
    with another_user(BOB, BOB):
        for refused in (lambda: check_output(path, ".csv"), lambda: write(path)):
            with pytest.raises(PermissionError, match=r"out\.csv' exists and cannot be written to"):
                refused()
    assert contents(shared) == {path: b"old"}


def test_a_folder_in_which_only_owners_replace(shared):
    os.chmod(shared, 0o1777)
    path = owned(shared / "out.csv", 0o666, ALICE, ALICE)
    with another_user(BOB, BOB):
        with pytest.raises(PermissionError, match=r"not permitted: .*out\.csv'") as caught:
            write(path)
        assert ".skpatch" not in str(caught.value)
        write(shared / "new.csv")
    assert contents(shared) == {path: b"old", shared / "new.csv": b"new"}


def test_a_folder_that_cannot_be_listed(shared):
    os.chmod(shared, 0o333)
    path = shared / "out.csv"
    with another_user(BOB, BOB):
        check_output(path, ".csv")
        write(path)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("mode", [0o555, 0o666])
def test_a_folder_that_cannot_be_written_to(mode, shared):
    os.chmod(shared, mode)
    with another_user(BOB, BOB):
        with pytest.raises(PermissionError, match=r"out\.csv"):
            check_output(shared / "out.csv", ".csv")
        with pytest.raises(PermissionError, match=r"out\.csv'$"):
            write(shared / "out.csv")
    assert contents(shared) == {}


def test_only_files_are_swept(tmp_path):
    """What others put under the names of temporary files is neither opened nor removed."""
    target = tmp_path / "target.txt"
    target.write_text("precious")
    os.utime(target, (0, 0))
    names = [f".skpatch-{number:032x}" for number in range(4)]
    file, pipe, link, folder = (tmp_path / name for name in names)
    file.touch()
    os.mkfifo(pipe)
    link.symlink_to(target)
    folder.mkdir()
    for path in (file, pipe, folder):
        os.utime(path, (0, 0))
    note = tmp_path / ".skpatch-my-notes.txt"
    near = [f".skpatch-{0:032x}.txt", f".skpatch-{0:031x}", f".skpatch-{'A' * 32}", ".skpatch-"]
    others = [note, *(tmp_path / name for name in near)]
    for path in others:
        path.touch()
        os.utime(path, (0, 0))
    remove_abandoned(tmp_path)
    assert set(tmp_path.iterdir()) == {target, pipe, link, folder, *others}
