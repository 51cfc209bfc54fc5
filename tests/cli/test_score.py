# SPDX-License-Identifier: BSD-3-Clause
"""Commands that take a model or images, and what they say of those they cannot use."""

import base64
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from _cli import SMALL, read_csv, run
from PIL import Image

import skpatch
from skpatch.cli import score as _cli_score
from skpatch.cli.commands import main
from skpatch.console.maps import map_places
from skpatch.inspection.heat import overlay
from skpatch.inspection.regions import find_regions

ODD_NAMES = ["a b.png", "Größe 見本.png", "=1+1.png", 'line\nbreak, "quoted".png', "\udcff.png"]


@pytest.fixture(scope="module")
def model(photos):
    path = photos.parent / "line.skpatch"
    assert main(["fit", str(photos), "-o", str(path), *SMALL, "--quiet"]) == 0
    return path


@pytest.fixture
def damaged(data, tmp_path):
    """Folder of six images, a truncated one and a text."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    for index in range(6):
        Image.fromarray(data.images[index]).save(folder / f"{index}.png")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:500])
    (folder / "notes.png").write_text("no image")
    return folder


def test_fit_is_the_library_with_its_defaults(photos, model, data):
    loaded = skpatch.load(model)
    images = skpatch.datasets.load_folder(photos).train_images
    expected = skpatch.make_pipeline(
        skpatch.PatchFeatureExtractor(image_size=64, random_state=0),
        skpatch.SoftPatchDetector(random_state=0),
    ).fit(images)
    np.testing.assert_array_equal(loaded.score_samples(images), expected.score_samples(images))
    assert loaded[0].get_params() == expected[0].get_params()
    assert loaded[1].get_params() == expected[1].get_params()


def test_score(photos, model, tmp_path, capsys, monkeypatch):
    batches = []
    transform = skpatch.PatchFeatureExtractor.transform

    def spy(self, X):
        batches.append(X)
        return transform(self, X)

    monkeypatch.setattr(skpatch.PatchFeatureExtractor, "transform", spy)
    monkeypatch.setattr(_cli_score, "_CHUNK", 8)
    table, report, maps = tmp_path / "scores.csv", tmp_path / "report.html", tmp_path / "maps"
    single = photos / "line0" / "0-good.png"
    inputs = [single, photos]
    outputs = ["-o", table, "--report", report, "--maps", maps, "--image-size-in-report", 32]
    assert run("score", model, *inputs, *outputs) == 0
    # For the most similar normal places in the report single images are looked at again.
    batches = [batch for batch in batches if len(batch) > 1]
    assert [len(batch) for batch in batches] == [8, 8, 8, 6]
    rows = read_csv(table)
    paths = [row["image"] for row in rows]
    assert paths == [path for batch in batches for path in batch]
    assert len(set(paths)) == 30
    loaded = skpatch.load(model)
    scores = [float(row["score"]) for row in rows]
    np.testing.assert_allclose(scores, loaded.score_samples(paths) / loaded[1].offset_, rtol=1e-5)
    pvalues = [float(row["p_value"]) for row in rows]
    np.testing.assert_allclose(pvalues, loaded.predict_pvalue(paths), rtol=1e-5)
    labels = np.where(loaded.predict(paths) == 1, "normal", "anomalous")
    assert [row["label"] for row in rows] == labels.tolist()
    assert f"{(labels == 'anomalous').sum()} of 30 images are anomalous" in capsys.readouterr().out
    for row in rows:
        regions = json.loads(row["regions"])
        assert len(regions) == int(row["n_regions"])
        assert bool(regions) == (row["label"] == "anomalous")
        if regions:
            assert regions[0]["score"] == pytest.approx(float(row["score"]), rel=1e-5)
    text = report.read_text(encoding="utf-8")
    copy = base64.b64decode(re.search(r'<image href="data:image/jpeg;base64,([^"]*)', text)[1])
    assert Image.open(io.BytesIO(copy)).size == (32, 32)
    names = re.findall(r'data-name="([^"]*)"', text)
    assert {str(photos / name) for name in names} == set(paths)
    written = {str(path.relative_to(maps)) for path in maps.rglob("*.png")}
    expected = {_name_of_map(row, photos) for row in rows}
    assert written == expected
    row = next(row for row in rows if row["image"] == str(single))
    with Image.open(maps / _name_of_map(row, photos)) as picture:
        assert picture.size == (64, 64)
        assert f"Score {float(row['score']):.2f}; 1 = threshold" in picture.info["Description"]


def _name_of_map(row, folder):
    path = Path(row["image"]).relative_to(folder)
    return str(path.with_name(f"{int(row['rank']):02d}_{float(row['score']):.2f}_{path.name}"))


def test_maps_take_the_place_of_earlier_ones(photos, model, tmp_path):
    maps, images = tmp_path / "maps", sorted((photos / "line0").iterdir())[:4]
    arguments = ["-o", tmp_path / "scores.csv", "--maps", maps, "--quiet"]
    assert run("score", model, *images[:3], *arguments) == 0
    mine = maps / f"9_1.00_{images[0].name}"
    mine.write_bytes(images[0].read_bytes())
    earlier = {path.name for path in maps.iterdir()}
    assert run("score", model, *images[1:], *arguments) == 0
    now = {path.name for path in maps.iterdir()}
    # One of an image that is not scored again, and a picture that is no heat map.
    kept = {name for name in earlier if name.endswith(f"_{images[0].name}")}
    assert len(kept) == 2
    assert kept < now
    assert sorted(name.partition("_")[0] for name in now - kept) == ["1", "2", "3"]


def test_fail_on_anomaly(photos, model, tmp_path):
    rows = tmp_path / "scores.csv"
    assert run("score", model, photos, "-o", rows, "--quiet") == 0
    labels = {row["label"]: row["image"] for row in read_csv(rows)}
    arguments = ["-o", rows, "--fail-on-anomaly", "--quiet"]
    assert run("score", model, labels["normal"], *arguments) == 0
    assert run("score", model, labels["normal"], labels["anomalous"], *arguments) == 3


def test_regions():
    scores = np.ones((4, 5))
    scores[0, 0] = 3
    scores[1, 1] = 4  # a diagonal neighbour
    scores[3, 3:] = 6
    found = find_regions(scores / 2, (0, 0, 40, 100))
    assert found == [
        {"box": [60, 30, 100, 40], "area": 400, "score": 3.0},
        {"box": [0, 0, 40, 20], "area": 400, "score": 2.0},
    ]
    assert find_regions(scores / 6, (0, 0, 40, 100)) == []
    (cropped,) = find_regions(scores / 5, (10.5, 20.5, 30.5, 45.5))
    assert cropped["box"] == [35, 25, 46, 31]


def test_overlay_has_the_colours_of_reports():
    pixels = np.full((40, 50, 3), 100, np.uint8)
    scores = np.zeros((4, 5))
    scores[:2] = 5
    found = np.asarray(overlay(pixels, scores, (0, 0, 40, 50)))
    np.testing.assert_array_equal(found[35:], pixels[35:])
    expected = 0.5 * 100 + 0.5 * np.array([240, 70, 205])
    inside = found[3:12, 3:47]
    np.testing.assert_allclose(inside, np.broadcast_to(expected, inside.shape), atol=1.5)
    cropped = np.asarray(overlay(pixels, np.full((2, 2), 5.0), (10, 20, 30, 40)))
    # The halo of the outline lies around it.
    np.testing.assert_array_equal((cropped != 100).any(axis=2).nonzero()[0][[0, -1]], [9, 31])


def test_maps_do_not_collide(data, model, tmp_path):
    for name in ("a/1.png", "a/1.bmp", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(data.images[0]).save(tmp_path / name)
    maps = tmp_path / "maps"
    arguments = ["-o", tmp_path / "scores.csv", "--maps", maps, "--quiet"]
    assert run("score", model, tmp_path / "a", tmp_path / "b", *arguments) == 0
    written = [path.relative_to(maps) for path in maps.rglob("*.*")]
    ends = {str(path.with_name(path.name.split("_")[2])) for path in written}
    assert ends == {"a/1.png", "a/1.bmp.png", "b/1.png"}


@pytest.mark.parametrize("inside", [".", "maps"])
def test_maps_among_the_images(photos, model, tmp_path, capsys, inside):
    table = tmp_path / "scores.csv"
    assert run("score", model, photos, "-o", table, "--maps", photos / inside) == 1
    assert "would put heat maps among the images to inspect" in capsys.readouterr().err
    assert not table.exists()
    assert not (photos / "maps").exists()


@pytest.mark.parametrize("kind", ["folder", "parent"])
def test_maps_among_the_images_by_links(photos, model, data, tmp_path, capsys, kind):
    images, maps = tmp_path / "images", tmp_path / "maps"
    (images / "inner").mkdir(parents=True)
    Image.fromarray(data.images[0]).save(images / "x.png")
    if kind == "folder":
        maps.symlink_to(images, target_is_directory=True)
    else:
        maps.symlink_to(images / "inner", target_is_directory=True)
    before = sorted(tmp_path.rglob("*"))
    assert run("score", model, images, "-o", tmp_path / "scores.csv", "--maps", maps) == 1
    assert "would put heat maps among the images to inspect" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_of_maps_are_looked_up_once(tmp_path, monkeypatch):
    """With 100,000 images in a folder it would take a minute to look up each."""
    images = tmp_path / "images"
    paths = [str(images / folder / f"{number}.png") for folder in "ab" for number in range(50)]
    found = []
    realpath = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path: found.append(path) or realpath(path))
    places = map_places(tmp_path / "maps", paths, str(images), [str(images)])
    assert len(found) < 10
    assert places[paths[0]] == tmp_path / "maps" / "a" / "0.png"


def test_odd_names(data, model, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "odd"
    folder.mkdir()
    for index, name in enumerate(ODD_NAMES):
        try:
            Image.fromarray(data.images[index]).save(folder / name, "PNG")
        except OSError:
            pytest.skip(f"no file system for {name!r}")
    monkeypatch.chdir(folder)
    assert run("audit", ".", "-o", "../audit.html", "--csv", "../ranking.csv", *SMALL) == 0
    printed = capsys.readouterr().out
    assert "line\\nbreak" in printed
    assert "\\udcff.png" in printed
    table, maps = tmp_path / "scores.csv", tmp_path / "maps"
    assert run("score", model, *ODD_NAMES, "-o", table, "--maps", maps) == 0
    expected = {name.replace("=", "'=").replace("\n", "\\n") for name in ODD_NAMES}
    for path in (table, tmp_path / "ranking.csv"):
        assert {row["image"] for row in read_csv(path)} == expected
    assert {path.name.split("_", 2)[2] for path in maps.iterdir()} == set(ODD_NAMES)


@pytest.mark.parametrize("command", ["audit", "fit", "score"])
def test_bad_images_are_listed(damaged, model, tmp_path, command, capsys):
    output = tmp_path / {"audit": "a.html", "fit": "a.skpatch", "score": "a.csv"}[command]
    inputs = [model, damaged] if command == "score" else [damaged]
    options = [] if command == "score" else SMALL
    assert run(command, *inputs, "-o", output, *options) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("Error: 2 of 8 images cannot be used:\n")
    assert f"  {damaged / 'cut.png'}: cannot be decoded: image file is truncated" in printed.err
    assert f"  {damaged / 'notes.png'}: is not an image file of a known format" in printed.err
    assert printed.out == ""
    assert not output.exists()
    assert run(command, *inputs, "-o", output, *options, "--skip-bad") == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("Skipped 2 of 8 images:\n")
    assert "cut.png" in printed.err
    assert "notes.png" in printed.err
    assert output.exists()


def test_images_smaller_than_the_grid(photos, model, tmp_path, capsys):
    Image.new("L", (7, 64)).save(tmp_path / "thin.png")
    assert run("score", model, photos, tmp_path / "thin.png", "-o", tmp_path / "s.csv") == 1
    assert "thin.png: has 64 x 7 pixels (height x width), fewer than" in capsys.readouterr().err


def test_too_few_images(damaged, tmp_path, capsys):
    output = tmp_path / "model.skpatch"
    for index in range(1, 6):
        (damaged / f"{index}.png").unlink()
    assert run("fit", damaged, "-o", output, "--skip-bad") == 1
    assert "Found 1 image left of 3, while at least 2 are needed" in capsys.readouterr().err
    for name in ("cut.png", "notes.png"):
        (damaged / name).unlink()
    assert run("fit", damaged, "-o", output) == 1
    assert "while at least 2 are needed" in capsys.readouterr().err
    (damaged / "0.png").unlink()
    assert run("fit", damaged, "-o", output) == 1
    assert "holds no images" in capsys.readouterr().err


def test_images_without_a_threshold(tmp_path, capsys):
    for index in range(4):
        Image.new("L", (64, 64), 90).save(tmp_path / f"{index}.png")
    assert run("fit", tmp_path, "-o", tmp_path / "m.skpatch", "--coreset-size", "1.0", *SMALL) == 1
    assert "are they all the same, or too few?" in capsys.readouterr().err


def errors(photos, model, tmp_path):
    """Arguments, and what the message says."""
    damaged = tmp_path / "damaged.skpatch"
    damaged.write_bytes(model.read_bytes()[:-10])
    table, missing = tmp_path / "scores.csv", tmp_path / "missing"
    return [
        (["audit", missing], "1 of the images and folders do not exist:\n.*missing"),
        (["audit", model], "holds 1 image, while at least 2"),
        (["audit", "lost*.png"], "do not exist:\n  lost"),
        (["audit", photos, "-o", missing / "a.html"], r"--output=.*the folder .* does not exist"),
        (["audit", photos, "-o", "a.txt"], "--output='a.txt' must be the name of a .html file"),
        (["audit", photos, "--csv", "a.txt"], "--csv='a.txt' must be the name of a .csv file"),
        (["fit", photos, "-o", "model.pkl"], "--output='model.pkl' must be .* a .skpatch file"),
        (["fit", photos, "-o", "m.skpatch", "--weights", missing], "--weights=.* is not a file"),
        (["fit", photos, "-o", "m.skpatch", "--device", "abacus"], "device='abacus' cannot be"),
        (["score", missing, photos, "-o", table], "missing"),
        (["score", damaged, photos, "-o", table], "damaged.skpatch' cannot be loaded"),
        (["score", model, missing, "x.png", "-o", table], r"2 of the .*missing\n  x.png"),
        (["score", model, photos, "-o", missing / "a.csv"], r"the folder .* does not exist"),
        (["score", model, photos, "-o", table, "--report", "a.csv"], "--report='a.csv' must be"),
        (["score", model, photos, "-o", table, "--maps", missing / "a"], "parent folder does not"),
        (["score", model, photos, "-o", table, "--maps", model], "--maps=.* is a file"),
        (["demo", "-o", missing / "demo.png"], "does not exist"),
        (["bench", "--output", missing / "bench"], "does not exist"),
    ]


def test_errors(photos, model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # None of these reaches the work.
    monkeypatch.setattr(_cli_score, "readable_images", None)
    monkeypatch.setattr("skpatch.cli.train.readable_images", None)
    for arguments, message in errors(photos, model, tmp_path):
        assert run(*arguments) == 1, arguments
        printed = capsys.readouterr()
        assert printed.err.startswith("Error: ")
        assert re.search(message, printed.err, re.DOTALL), printed.err
        assert printed.out == ""
    assert {path.name for path in tmp_path.iterdir()} == {"damaged.skpatch"}


def test_detector_without_network(tmp_path, photos, patches, capsys):
    path = tmp_path / "detector.skpatch"
    skpatch.save(skpatch.SoftPatchDetector(random_state=0).fit(patches), path)
    assert run("score", path, photos, "-o", tmp_path / "scores.csv") == 1
    assert "holds a detector without its network" in capsys.readouterr().err


def test_quiet(photos, model, tmp_path, capsys):
    assert run("score", model, photos, "-o", tmp_path / "scores.csv", "--quiet") == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_maps_that_cannot_all_be_written_are_refused_before_the_work(
    photos, model, data, tmp_path, capsys
):
    images, maps = tmp_path / "images", tmp_path / "maps"
    for name in ["x.png", "z/w.png"]:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[0]).save(images / name)
    maps.mkdir()
    (maps / "z").write_text("notes")
    before = sorted(maps.rglob("*"))
    arguments = ["-o", tmp_path / "scores.csv", "--maps", maps]
    assert run("score", model, images, *arguments) == 1
    assert "z' is a file" in capsys.readouterr().err
    assert sorted(maps.rglob("*")) == before
