# SPDX-License-Identifier: BSD-3-Clause
"""What is replaced, and what is printed: which images are anomalous, and errors of the system."""

import errno
import os
import re

import pytest
from _cli import run

import skpatch
from skpatch.cli.info import _noise_threshold
from skpatch.cli.score import _print_anomalous
from skpatch.console.output import check_free
from skpatch.inspection.table_files import FORMS, rows_of, write_table
from skpatch.persistence.summary import summarize
from skpatch.runtime.files import in_words


@pytest.fixture(scope="module")
def line(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("line") / "line.skpatch"
    skpatch.save(model, path)
    return path


@pytest.fixture
def defective(photos):
    """A defective photograph, and its path from the folder of all."""
    path = next(photos.rglob("*bad.png"))
    return path, path.relative_to(photos)


def test_files_of_others_are_kept(photos, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for module in ("train", "score"):
        monkeypatch.setattr(f"skpatch.cli.{module}.readable_images", None)
    image = next(photos.rglob("*.png"))
    for name, arguments in {
        "m.skpatch": ["fit", photos],
        "a.html": ["audit", photos],
        "r.csv": ["audit", photos, "-o", "new.html", "--csv"],
        "s.csv": ["score", line, image],
        "s.html": ["score", line, image, "-o", "new.csv", "--report"],
        "d.png": ["demo"],
    }.items():
        (tmp_path / name).write_text("image,defect\nmine,yes\n")
        last = [] if arguments[-1].__class__ is str and arguments[-1].startswith("-") else ["-o"]
        assert run(*arguments, *last, name) == 1
        printed = capsys.readouterr().err
        assert f"{name}' exists, and skpatch has not written it" in printed
        assert "--force" in printed
        assert (tmp_path / name).read_text() == "image,defect\nmine,yes\n"


def test_pictures_of_others_are_kept(line, defective, tmp_path, monkeypatch, capsys):
    image, _ = defective
    maps = tmp_path / "maps"
    arguments = ["score", line, image, "-o", tmp_path / "s.csv", "--maps", maps, "--quiet"]
    assert run(*arguments) == 0
    (mine,) = maps.iterdir()
    mine.write_bytes(image.read_bytes())
    assert run(*arguments) == 1
    assert "has not written it" in capsys.readouterr().err
    assert mine.read_bytes() == image.read_bytes()
    assert run(*arguments, "--force") == 0
    assert mine.read_bytes() != image.read_bytes()


def test_what_skpatch_has_written_is_replaced(line, defective, tmp_path, capsys):
    image, _ = defective
    outputs = {"-o": "s.csv", "--report": "r.html", "--maps": "maps"}
    outputs = [text for key, name in outputs.items() for text in (key, tmp_path / name)]
    (tmp_path / "s.csv").touch()
    for _ in range(2):
        assert run("score", line, image, *outputs) == 0
    printed = capsys.readouterr().out
    assert "1 of 1 images are anomalous" in printed
    found = re.findall(r"^ *([\d.]+) +(?:at most )?[\d.]+  (.*)$", printed, re.MULTILINE)
    assert [path for _, path in found] == [str(image)] * 2
    assert float(found[0][0]) > 1
    assert run("score", line, image, *outputs, "--quiet") == 0
    assert capsys.readouterr().out == ""
    check_free(line, ".skpatch", "output", force=False)
    check_free(tmp_path / "new.skpatch", ".skpatch", "output", force=False)


def test_rankings_are_known(audit, tmp_path):
    for form in FORMS:
        write_table(tmp_path / f"r.{form}", form, rows_of(audit.to_dict()))
        check_free(tmp_path / f"r.{form}", f".{form}", "--csv", force=False)
    audit.to_html(tmp_path / "a.html")
    check_free(tmp_path / "a.html", ".html", "--output", force=False)


def test_the_worst_images_are_printed(audit, capsys):
    anomalous = [
        {"score": 1 + i / 10, "p_value": 0.05, "image": f"{i}.png", "rank": 20 - i}
        for i in range(1, 20)
    ]
    outputs = {"Scores": "scores.csv", "Report": None}
    _print_anomalous(anomalous, 60, audit.inspection.model[-1], outputs)
    first, _, *rows, last = capsys.readouterr().out.splitlines()
    assert first == "19 of 60 images are anomalous (score above 1)."
    assert [row.split()[-1] for row in rows] == [f"{i}.png" for i in range(19, 9, -1)]
    assert last == "... and 9 more: see scores.csv"
    _print_anomalous([], 30, audit.inspection.model[-1], outputs)
    assert capsys.readouterr().out == "0 of 30 images are anomalous (score above 1).\n"


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        (errno.ENOENT, "line.skpatch", "'line.skpatch': No such file or directory. Check its name"),
        (errno.ENOSPC, b"new.csv", "'new.csv': No space left on device. Make room"),
        (errno.EIO, "a.png", "'a.png': Input/output error."),
        (errno.EACCES, None, "Permission denied. Ask"),
    ],
)
def test_errors_of_the_system_are_words(number, name, expected):
    assert in_words(OSError(number, os.strerror(number), name)).startswith(expected)
    assert in_words(OSError("the weights are damaged")) == "the weights are damaged"


def test_a_missing_model(photos, tmp_path, capsys):
    assert run("score", tmp_path / "none.skpatch", photos, "-o", tmp_path / "s.csv") == 1
    printed = capsys.readouterr().err
    assert "none.skpatch': No such file" in printed
    assert "Errno" not in printed


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "auto: (no|weak|strong) evidence of noise"),
        ({"noise_threshold": 0.1}, "0.1"),
        ({"discriminator": "gaussian"}, "auto, the default of gaussian"),
        ({"discriminator": None}, "none, since nothing tells noise"),
    ],
)
def test_what_auto_decided(patches, tmp_path, parameters, expected):
    detector = skpatch.SoftPatchDetector(random_state=0, **parameters).fit(patches)
    skpatch.save(detector, tmp_path / "d.skpatch")
    found = _noise_threshold(summarize(tmp_path / "d.skpatch"))
    assert re.fullmatch(expected, found)
    if not parameters:
        assert detector.noise_finding_.evidence in found.replace("no ", "none ")
