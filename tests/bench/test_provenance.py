# SPDX-License-Identifier: BSD-3-Clause
"""Rows of a table say what they were measured with, and a run goes on with nothing else."""

import csv
import json
import shutil

import numpy as np
import pytest
from _cli import run
from PIL import Image

import skpatch
from skpatch.bench import protocol
from skpatch.bench.protocol import load_parts, make_detector
from skpatch.bench.provenance import check_provenance, provenance

ONE_CELL = ["--sets", "none", "--noise", "0", "--seeds", "3", "--methods", "PatchCore"]


def write_set(folder, seed=0):
    rng = np.random.RandomState(seed)
    for kind, count in {"train/good": 6, "test/good": 3, "test/dent": 3}.items():
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            pixels = rng.randint(100, 120, (64, 64), np.uint8)
            if kind == "test/dent":
                pixels[20:40, 20:40] = 250
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")
    return folder


def measured_with(folder, method="skpatch"):
    return provenance(load_parts(folder), make_detector(method, 0))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder in which tables are written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bench(*folders):
    return run("bench", *ONE_CELL, *(part for one in folders for part in ("--data", one)))


def test_another_set_of_the_same_name(here, capsys):
    first, other = write_set(here / "a" / "parts"), write_set(here / "b" / "parts", seed=1)
    assert bench(first) == 0
    before = (here / "robustness.csv").read_bytes()
    capsys.readouterr()
    assert bench(other) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "rows of PatchCore on 'parts'" in message
    assert str(other) in message
    assert str(first) in message
    assert "SHA-256 of the files" in message
    assert "layers" not in message
    assert (here / "robustness.csv").read_bytes() == before


def test_two_sets_of_one_name_in_a_run(here, capsys):
    folders = [write_set(here / name / "parts") for name in "ab"]
    assert bench(*folders) == 1
    assert "sets of one name, 'parts'" in capsys.readouterr().err
    assert not (here / "robustness.csv").exists()


def test_the_same_set_in_another_place(here, capsys):
    first = write_set(here / "a" / "parts")
    assert bench(first) == 0
    first.rename(here / "parts")
    capsys.readouterr()
    assert bench(here / "parts") == 0
    assert "1/1" not in capsys.readouterr().err


def test_tables_show_what_was_asked_for(here, capsys):
    folders = [write_set(here / name, seed) for seed, name in enumerate(["one", "two"])]
    assert bench(*folders) == 0
    assert "| two |" in capsys.readouterr().out
    assert bench(folders[0]) == 0
    printed = capsys.readouterr().out
    assert "| one |" in printed
    assert "| two |" not in printed


def test_rows_say_what_they_were_measured_with(here):
    assert bench(write_set(here / "parts")) == 0
    with open("robustness.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["folder"] == str(here / "parts")
    assert (row["backbone"], row["image_size"]) == ("efficientnet_lite0", "224 x 224, 2 scales")
    assert row["layers"] == "features.3 features.5"
    assert json.loads(row["parameters"]) == {"discriminator": None, "contamination": 0.05}
    assert json.loads(row["versions"])["skpatch"] == skpatch.__version__


def test_one_share_of_noise_takes_no_picture(here, capsys):
    # Were it written, this would be refused.
    (here / "robustness.png").mkdir()
    assert bench(write_set(here / "parts")) == 0
    assert "Plot" not in capsys.readouterr().out


@pytest.mark.parametrize("change", ["pixels", "name", "label"])
def test_files_are_told_apart(tmp_path, change):
    first, other = write_set(tmp_path / "a" / "parts"), tmp_path / "b" / "parts"
    shutil.copytree(first, other)
    before = measured_with(other)
    assert before["files"] == measured_with(first)["files"]
    path = other / "test" / "good" / "1.png"
    if change == "pixels":
        Image.new("L", (64, 64)).save(path)
    else:
        path.rename(path.with_name("7.png") if change == "name" else other / "test/dent/7.png")
    assert measured_with(other)["files"] != before["files"]


@pytest.mark.parametrize(
    ("column", "parameters"),
    [
        ("image_size", {"image_size": 64}),
        ("layers", {"layers": "features.3"}),
        ("weights", {"weights": None}),
        ("backbone", {"backbone": "resnet18", "weights": None}),
        ("parameters", {"patch_size": 1}),
    ],
)
def test_other_settings_are_refused(tmp_path, monkeypatch, column, parameters):
    folder = write_set(tmp_path / "parts")
    rows = [{"dataset": "parts", "method": "skpatch", **measured_with(folder)}]
    asked = {("parts", "skpatch"): measured_with(folder)}
    check_provenance(rows, asked, tmp_path / "rows.csv")
    changed = skpatch.PatchFeatureExtractor(**parameters)
    monkeypatch.setattr(protocol, "PatchFeatureExtractor", lambda: changed)
    now = {("parts", "skpatch"): measured_with(folder)}
    assert now["parts", "skpatch"][column] != rows[0][column]
    with pytest.raises(ValueError, match="measured with something else"):
        check_provenance(rows, now, tmp_path / "rows.csv")
    other = {("parts", "PatchCore"): now["parts", "skpatch"]}
    check_provenance(rows, other, tmp_path / "rows.csv")


def test_a_refusal_says_what_differs_alone(tmp_path):
    now = measured_with(write_set(tmp_path / "parts"))
    versions = {**json.loads(now["versions"]), "numpy": "1.0"}
    parameters = {**json.loads(now["parameters"]), "metric": "cosine"}
    before = {"versions": json.dumps(versions), "parameters": json.dumps(parameters)}
    rows = [{"dataset": "parts", "method": "skpatch", **now, **before}]
    with pytest.raises(ValueError, match="measured with something else") as caught:
        check_provenance(rows, {("parts", "skpatch"): now}, tmp_path / "rows.csv")
    message = str(caught.value)
    assert message.count(str(tmp_path / "parts")) == 1
    assert "parameters metric='cosine', now as by default;" in message
    assert f"versions numpy='1.0', now numpy='{np.__version__}'." in message


def test_rows_of_an_older_table_are_refused(tmp_path):
    now = {("parts", "skpatch"): measured_with(write_set(tmp_path / "parts"))}
    with pytest.raises(ValueError, match="SHA-256 of the files unknown, now "):
        check_provenance([{"dataset": "parts", "method": "skpatch"}], now, tmp_path / "rows.csv")


def test_features_of_changed_files_are_extracted_again(tmp_path):
    folder, cache = write_set(tmp_path / "parts"), tmp_path / "cache"
    cache.mkdir()
    before = np.array(load_parts(folder).features(cache))
    Image.new("L", (64, 64)).save(folder / "train" / "good" / "0.png")
    after = load_parts(folder).features(cache)
    assert not np.array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1:], before[1:])
