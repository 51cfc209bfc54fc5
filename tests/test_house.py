# SPDX-License-Identifier: BSD-3-Clause
"""The house: rooms import only rooms below them, and no room has grown too large."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

import skpatch

HOUSE = Path(skpatch.__file__).parent
# From the roof to the ground. Rooms of one floor do not import each other.
FLOORS = (
    {"cli"},
    {"bench"},
    {"report", "plotting", "persistence"},
    {"pipeline"},
    {"audit", "console", "export", "serving"},
    {"inspection"},
    {"detector"},
    {"discriminators"},
    {"bank"},
    {"features", "datasets", "metrics"},
    {"images", "likeness", "networks"},
    {"distances", "engines"},
    {"runtime"},
)
FLOOR = {room: floor for floor, rooms in enumerate(reversed(FLOORS)) for room in rooms}
# Importing the package imports none of its rooms; __init__.pyi says where its names live.
# `python -m` runs the command line.
FACES = {"__init__", "__main__"}


def room_of(path):
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def imported_rooms(path):
    """Rooms that a module imports anywhere, functions included, with the line of each."""
    package = ("skpatch", *path.relative_to(HOUSE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            base = [*base, *(node.module.split(".") if node.module else [])]
            targets = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] == "skpatch" and target[1] != "__version__":
                yield target[1], node.lineno


def modules():
    return sorted(path for path in HOUSE.rglob("*.py") if room_of(path) not in FACES)


def test_every_room_has_a_floor():
    assert {room_of(path) for path in modules()} == set(FLOOR)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_point_down(path):
    room = room_of(path)
    for other, line in imported_rooms(path):
        assert other == room or FLOOR[other] < FLOOR[room], f"line {line} imports {other}"


def test_an_import_upwards_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("test_house.HOUSE", tmp_path)
    module = tmp_path / "images" / "collection.py"
    module.parent.mkdir()
    module.write_text("def f():\n    from ..detector.estimator import SoftPatchDetector\n")
    assert list(imported_rooms(module)) == [("detector", 2)]


def test_rooms_say_what_lives_in_them():
    for face in HOUSE.glob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(face.read_text(encoding="utf-8"))), face


@pytest.mark.parametrize("face", sorted(HOUSE.glob("*/__init__.py")), ids=lambda f: f.parent.name)
def test_rooms_say_what_they_import(face):
    said = ast.get_docstring(ast.parse(face.read_text(encoding="utf-8"))).replace("\n", " ")
    sentence = re.search(r"(?:Imports|May import) ([^.]*)\.", said).group(1)
    if sentence not in ("no other room", "every other room"):
        used = {room for path in face.parent.rglob("*.py") for room, _ in imported_rooms(path)}
        assert set(re.split(", | and ", sentence)) == used - {face.parent.name}


def test_rooms_stay_small():
    sizes = {}
    for path in modules():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        sizes[room_of(path)] = sizes.get(room_of(path), 0) + lines
    assert max(sizes.values()) <= 2000, sizes


def test_pictures_are_opened_in_one_room():
    # Elsewhere pipes hang, PostScript is run, and errors name no file.
    opens = re.compile(r"Image\.open|imread|imageio|torchvision\.io|cv2|[tT]iff_?[fF]ile")
    openers = {room_of(path) for path in modules() if opens.search(path.read_text("utf-8"))}
    assert openers == {"images"}


def test_guide_draws_the_house():
    guide = Path(__file__).parents[1] / "CONTRIBUTING.md"
    picture = guide.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    drawn = [line.split()[:2] for line in picture.splitlines()[1:]]
    floors = [int(floor) for floor, _ in drawn]
    assert floors == sorted(floors, reverse=True)
    assert {room: int(floor) for floor, room in drawn} == FLOOR


def test_floors_are_listed_once():
    rooms = [room for floor in FLOORS for room in floor]
    assert len(rooms) == len(set(rooms))
    assert all(high.isdisjoint(low) for high, low in pairwise(FLOORS))


def test_each_promise_of_security_has_a_test():
    root = HOUSE.parent
    page = (root / "docs" / "guide" / "security.rst").read_text(encoding="utf-8")
    promised = set(re.findall(r"``(test_\w+)``", page))
    tests = (path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py"))
    assert promised
    assert promised <= set(re.findall(r"^def (test_\w+)\(", "\n".join(tests), re.MULTILINE))
