# SPDX-License-Identifier: BSD-3-Clause
"""Commands that follow decisions, and what they say of a saved model."""

import io
import json
import random
import re
import shutil

import numpy as np
import pytest
from _cli import SMALL, read_csv, run
from _mutations_models import damaged_model
from PIL import Image, ImageOps

import skpatch


@pytest.fixture(scope="module")
def line(photos):
    """A saved model of `photos`."""
    path = photos.parent / "decided.skpatch"
    assert run("fit", photos, "-o", path, *SMALL, "--quiet") == 0
    return path


@pytest.fixture
def decide(tmp_path):
    """Function that writes decisions."""

    def write(**decisions):
        rows = [f"{name},{kind}" for kind, names in decisions.items() for name in names]
        (tmp_path / "d.csv").write_text("\n".join(["image,decision", *rows]))
        return tmp_path / "d.csv"

    return write


def names_of(photos, kind):
    return sorted(str(path.relative_to(photos)) for path in photos.rglob(f"*{kind}.png"))


def test_fit_says_what_it_leaves_out(photos, decide, tmp_path, capsys):
    bad, good = names_of(photos, "bad"), names_of(photos, "good")
    decisions = decide(defect=bad, normal=good[:2], unsure=good[2:3])
    output = tmp_path / "m.skpatch"
    assert run("fit", photos, "--decisions", decisions, "-o", output, *SMALL) == 0
    printed = capsys.readouterr().out
    assert "d.csv: 3 left out as defects, 2 trusted, 1 unsure.\n" in printed
    assert skpatch.load(output).image_names_ == [
        name for name in skpatch.load(output).image_names_ if name not in bad
    ]
    # It is what a fit to the others would be.
    rest = tmp_path / "rest"
    shutil.copytree(photos, rest)
    for name in bad:
        (rest / name).unlink()
    trust = [text for name in good[:2] for text in ("--trust", name)]
    assert run("fit", rest, *trust, "-o", tmp_path / "r.skpatch", *SMALL, "-q") == 0
    found, expected = (skpatch.load(tmp_path / f"{name}.skpatch")[1] for name in "mr")
    np.testing.assert_array_equal(found.memory_bank_, expected.memory_bank_)
    np.testing.assert_array_equal(found.training_scores_, expected.training_scores_)


def test_wrong_decisions_are_told_before_the_work(
    photos, line, decide, tmp_path, monkeypatch, capsys
):
    for module in ("train", "update"):
        monkeypatch.setattr(f"skpatch.cli.{module}.readable_images", None)
    decisions = decide(defect=["lost.png", "gone.png"])
    output = tmp_path / "m.skpatch"
    for command in (["fit", photos], ["audit", photos], ["update", line], ["sort", photos]):
        last = ["--to", tmp_path / "to"] if command[0] == "sort" else ["-o", output]
        if command[0] == "audit":
            last = ["-o", tmp_path / "a.html"]
        assert run(*command, "--decisions", decisions, *last) == 1
        printed = capsys.readouterr().err
        assert "d.csv does not fit the images.\n" in printed
        assert "lost.png" in printed
        assert "gone.png" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["d.csv"]
    bad = names_of(photos, "bad")[0]
    arguments = ["--decisions", decide(defect=[bad]), "--trust", bad, "-o", output]
    assert run("fit", photos, *arguments) == 1
    assert f"--trust contradicts {decisions}, by which {bad} is a defect" in capsys.readouterr().err


def test_update_is_forget_and_trust(photos, line, decide, tmp_path, capsys):
    bad, good = names_of(photos, "bad"), names_of(photos, "good")
    decisions = decide(defect=bad, normal=good[:1])
    output = tmp_path / "m.skpatch"
    assert run("update", line, "--decisions", decisions, "-o", output) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("3 forgotten, 0 added, 1 trusted, 0 unsure.\n")
    expected, found = skpatch.load(line), skpatch.load(output)
    expected.forget(bad).trust(good[0])
    np.testing.assert_array_equal(found[1].memory_bank_, expected[1].memory_bank_)
    np.testing.assert_array_equal(found[1].training_scores_, expected[1].training_scores_)
    # What is decided already is decided; what is forgotten cannot be trusted.
    content = output.read_bytes()
    assert run("update", output, "--decisions", decisions, "-o", output) == 0
    assert "0 forgotten, 0 added, 0 trusted, 0 unsure.\n" in capsys.readouterr().out
    assert output.read_bytes() == content
    decisions = decide(normal=bad)
    assert run("update", output, "--decisions", decisions, "-o", output) == 1
    assert "3 images that are decided to be normal were forgotten" in capsys.readouterr().err


def test_update_knows_what_fit_left_out(photos, decide, tmp_path, capsys):
    bad, output = names_of(photos, "bad"), tmp_path / "m.skpatch"
    arguments = ["--decisions", decide(defect=bad), "-o", output, *SMALL, "-q"]
    assert run("fit", photos, *arguments) == 0
    model = output.read_bytes()
    assert run("update", output, "--decisions", tmp_path / "d.csv", "-o", output) == 0
    printed = capsys.readouterr().out
    assert "0 forgotten, 0 added, 0 trusted, 0 unsure.\n" in printed
    assert f"left out          3: {', '.join(bad)}\n" in printed
    assert output.read_bytes() == model
    arguments = ["--decisions", decide(normal=bad[:1]), "-o", output]
    assert run("update", output, *arguments) == 1
    assert f"left out before, and the model knows nothing of them: {bad[0]}. Add them" in (
        capsys.readouterr().err
    )


def test_update_adds_images(photos, line, tmp_path, capsys):
    new = tmp_path / "tuesday"
    shutil.copytree(photos / "line1", new)
    for path in new.iterdir():
        # Images of before, turned around: no copies.
        with Image.open(path) as image:
            ImageOps.mirror(ImageOps.flip(image)).save(path)
    output = tmp_path / "m.skpatch"
    assert run("update", line, "--add", new, "-o", output, "-q") == 0
    before, found = skpatch.load(line), skpatch.load(output)
    names = found.image_names_
    assert names[:30] == before.image_names_
    assert sorted(names[30:]) == sorted(f"tuesday/{path.name}" for path in new.iterdir())
    assert len(found[1].training_scores_) == 45
    assert run("update", output, "--add", new, "-o", output) == 1
    assert "The model knows 15 images by the names of those to add" in capsys.readouterr().err


def test_update_needs_something_to_do(line, tmp_path, capsys):
    assert run("update", line, "-o", tmp_path / "m.skpatch") == 2
    assert "Nothing to do: pass --decisions, or --add" in capsys.readouterr().err


def test_info(photos, line, capsys):
    assert run("info", line) == 0
    printed = capsys.readouterr().out
    rows = dict(re.findall(r"^(\S.*?)  +(.*)$", printed, re.MULTILINE))
    model = skpatch.load(line)
    assert rows["images"].startswith(f"30 of {photos}, ")
    assert rows["decisions"] == "none"
    assert rows["network"] == "efficientnet_lite0, torch"
    assert rows["network input"] == "64 x 64 pixels, 8 x 8 patches"
    assert rows["memory patches"] == str(len(model[1].memory_bank_))
    assert rows["threshold"].startswith(f"{-model[1].offset_:.4g}, ")
    noise = 1 - model[1].kept_[:, model[1].inspected_].mean()
    assert rows["taken for noise"] == f"{noise:.1%} of the patches"
    suspicious = (model[1].training_scores_ < model[1].offset_).sum()
    assert rows["images"].endswith(f"{suspicious} of them suspicious")
    worst = [model.image_names_[i] for i in np.argsort(model[1].training_scores_)[:suspicious]]
    more = f" and {suspicious - 3} more" if suspicious > 3 else ""
    assert rows["suspicious"] == ", ".join(worst[:3]) + more
    assert f"skpatch {skpatch.__version__}, " in rows["saved by"]
    assert model[1].noise_finding_.reason in printed


def test_info_for_programs(photos, line, small, capsys):
    assert run("info", line, "--format", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    model = skpatch.load(line)
    assert facts["model"] == str(line)
    assert (facts["n_images"], facts["folder"]) == (30, str(photos))
    assert facts["left_out"] == facts["forgotten"] == facts["trusted"] == []
    assert len(facts["suspicious"]) == facts["n_suspicious"] > 0
    assert facts["network"]["image_size_"] == [64, 64]
    assert facts["detector"]["contamination"] == "auto"
    assert facts["n_memory_patches"] == len(model[1].memory_bank_)
    assert facts["threshold"] == -model[1].offset_
    assert facts["noise_finding"]["reason"] == model[1].noise_finding_.reason
    path, content = small
    assert run("info", path, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["network"] is None
    path.write_bytes(content[:-3])
    assert run("info", path, "--format", "json") == 1
    assert "small.skpatch' cannot be read: it is damaged" in capsys.readouterr().err


def test_info_of_a_detector_and_of_what_is_none(small, photos, capsys):
    path, content = small
    assert run("info", path) == 0
    printed = capsys.readouterr().out
    assert "images            12, " in printed
    assert "network" not in printed
    path.write_bytes(content[:-3])
    assert run("info", path) == 1
    assert "small.skpatch' cannot be read: it is damaged or incomplete" in capsys.readouterr().err
    assert run("info", next(photos.rglob("*.png"))) == 1
    assert "it is not a model saved by skpatch.save" in capsys.readouterr().err
    assert run("info", "lost.skpatch") == 1
    assert "lost.skpatch': No such file" in capsys.readouterr().err


def test_info_of_changed_models(line, tmp_path, capsys):
    """It is an error that names the file, or what the file says, harmless to a terminal."""
    rng = random.Random(0)
    files, damaged = {"model": [line.read_bytes()]}, tmp_path / "damaged.skpatch"
    codes = set()
    for _ in range(150):
        damaged.write_bytes(damaged_model(files, "model", rng))
        codes.add(run("info", damaged, "--format", rng.choice(["text", "json"])))
        printed = capsys.readouterr()
        assert "damaged.skpatch" in printed.err + printed.out
        assert (printed.out + printed.err).replace("\n", "").isprintable()
    assert codes == {0, 1}


@pytest.mark.parametrize("move", [False, True])
def test_sort(photos, decide, tmp_path, capsys, move):
    source, target = tmp_path / "photos", tmp_path / "sorted"
    shutil.copytree(photos, source)
    bad, good = names_of(photos, "bad"), names_of(photos, "good")
    decisions = decide(defect=bad, normal=good[:2], unsure=good[2:3])
    command = ["sort", source, "--decisions", decisions, "--to", target, *["--move"] * move]
    assert run(*command) == 0
    printed = capsys.readouterr().out
    assert f"{'Moved' if move else 'Copied'} 3 to {target / 'defect'}\n" in printed
    assert "24 without a decision stay where they are.\n" in printed
    assert names_of(target / "defect", "bad") == bad
    assert names_of(target / "normal", "") == good[:2]
    assert names_of(target / "unsure", "") == good[2:3]
    for name in bad:
        assert (target / "defect" / name).read_bytes() == (photos / name).read_bytes()
        assert (source / name).exists() != move
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    if not move:
        assert run(*command) == 1
        assert "6 files are there already, and none is replaced" in capsys.readouterr().err
        command[-1] = source / "sorted"
        assert run(*command) == 1
        assert "lies among the images" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


def test_several_inputs_patterns_and_a_list(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    output = tmp_path / "m.skpatch"
    first = min((photos / "line0").iterdir())
    listed = "\n".join(map(str, [*sorted((photos / "line0").iterdir())[1:], ""]))
    monkeypatch.setattr("sys.stdin", io.StringIO(listed))
    assert run("fit", "line1/*.png", "line1", first, "-", "-o", output, *SMALL, "-q") == 0
    names = skpatch.load(output).image_names_
    assert len(names) == 30
    assert set(names) == {*names_of(photos, "bad"), *names_of(photos, "good")}
    assert run("fit", "line1", "nothing-*.png", "-o", output) == 1
    said = "1 of the images and folders do not exist:\n  nothing-*.png\n"
    assert said in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert run("fit", "-", "-o", output) == 1
    assert "Standard input names no file or folder" in capsys.readouterr().err


def test_tables_for_other_programs(photos, line, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{photos}\n"))
    assert run("score", line, "-", "-o", "-", "--format", "json") == 0
    printed = capsys.readouterr()
    rows = json.loads(printed.out)
    assert len(rows) == 30
    assert "images are anomalous" in printed.err
    table = tmp_path / "t.jsonl"
    assert run("score", line, photos, "-o", table, "-q") == 0
    assert list(map(json.loads, table.read_text().splitlines())) == rows
    # It is skpatch's own; a table of somebody else is not replaced.
    assert run("score", line, photos, "-o", table, "-q") == 0
    table.write_text('{"image": "a.png", "label": 3}\n')
    assert run("score", line, photos, "-o", table, "-q") == 1
    assert "skpatch has not written it" in capsys.readouterr().err
    assert run("score", line, photos, "-o", "t.csv", "--format", "json") == 1
    assert "'t.csv' must be the name of a .json file" in capsys.readouterr().err


def test_decisions_are_not_replaced(photos, line, tmp_path, capsys):
    """Somebody has filled the last column of a table that skpatch had written."""
    table = tmp_path / "t.csv"
    assert run("score", line, photos, "-o", table, "-q") == 0
    content = table.read_bytes()
    for decision in (b"defect", b"bad"):
        decided = content.replace(b"[],,", b"[],," + decision, 1)
        table.write_bytes(decided)
        assert run("score", line, photos, "-o", table, "-q") == 1
        assert "t.csv' holds decisions, which would be lost" in capsys.readouterr().err
        assert table.read_bytes() == decided
    assert run("score", line, photos, "-o", table, "-q", "--force") == 0
    assert table.read_bytes() == content


@pytest.mark.filterwarnings("default")
def test_another_contamination(photos, line, tmp_path, capsys):
    counts = {}
    for share in ("0.3", "0.001"):
        output = tmp_path / f"{share}.csv"
        assert run("score", line, photos, "-o", output, "--contamination", share) == 0
        counts[share] = sum(row["label"] == "anomalous" for row in read_csv(output))
        warned = "cannot promise" in capsys.readouterr().err
        assert warned == (share == "0.001")
    assert counts["0.3"] > counts["0.001"]


def test_the_report_is_named_after_the_folder(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for said in ("photos-audit.html\n", "photos-audit.html (replaced)\n"):
        assert run("audit", photos, *SMALL) == 0
        assert f"Report: {said}" in capsys.readouterr().out
