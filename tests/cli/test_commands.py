# SPDX-License-Identifier: BSD-3-Clause
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from _cli import COLUMNS, SMALL, read_csv, run
from PIL import Image

import skpatch
from skpatch import __version__
from skpatch.bench import demo as _demo
from skpatch.cli.audit import _print_groups
from skpatch.cli.commands import main


def start(*arguments, code="", **options):
    """Run the command line in a process of its own, after some code."""
    # A shell has what it runs in the background ignore Ctrl-C, and children inherit that.
    restore = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import signal, sys\n{restore}\n{code}\nfrom skpatch.cli import main\nsys.exit(main())"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], **pipes)


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == f"skpatch {__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["bake"],
        ["demo", "--seed", "x"],
        ["fit", "photos"],
        ["fit", "photos", "-o", "m.skpatch", "--coreset-size", "1.5"],
        ["fit", "photos", "-o", "m.skpatch", "--coreset-size", "0"],
        ["fit", "photos", "-o", "m.skpatch", "--contamination", "0.6"],
        ["fit", "photos", "-o", "m.skpatch", "--noise-threshold", "much"],
        ["fit", "photos", "-o", "m.skpatch", "--memory-limit", "2X"],
        ["fit", "photos", "-o", "m.skpatch", "--memory-limit", "lots"],
        ["score", "m.skpatch", "-o", "scores.csv"],
        ["bench", "--sets", "none"],
    ],
)
def test_wrong_usage(arguments, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("Usage: skpatch")
    assert printed.out == ""


@pytest.mark.parametrize(
    "command", ["audit", "fit", "update", "info", "sort", "score", "demo", "bench"]
)
def test_help(command, capsys):
    assert run(command, "--help") == 0
    assert f"Usage: skpatch {command} [OPTIONS]" in capsys.readouterr().out


def test_a_folder_instead_of_a_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    assert run("my photos") == 2
    assert "for instance: skpatch audit 'my photos'" in capsys.readouterr().err
    assert run("photos") == 2
    assert "No such command 'photos'" in capsys.readouterr().err


def test_run_as_a_module():
    command = [sys.executable, "-m", "skpatch", "--version"]
    printed = subprocess.run(command, capture_output=True, text=True)
    assert (printed.returncode, printed.stdout.strip()) == (0, f"skpatch {__version__}")
    printed = subprocess.run([*command[:3], "bake"], capture_output=True, text=True)
    assert printed.returncode == 2
    assert printed.stderr.startswith("Usage: skpatch")


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "utf-8"])
def test_output_that_is_not_utf8(data, tmp_path, monkeypatch, encoding):
    """A name that the terminal cannot show is no reason to fail after the work."""
    folder = tmp_path / "photos 見本"
    folder.mkdir()
    for index in range(6):
        Image.fromarray(data.images[index]).save(folder / f"Größe {index}.png")
    report, written = tmp_path / "見.html", io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert run("audit", folder, "-o", report, *SMALL) == 0
    lines = written.getvalue().decode(encoding).splitlines()
    assert sum("Größe" in line and line.endswith(".png") for line in lines) == 6
    shown = report if encoding == "utf-8" else tmp_path / r"\u898b.html"
    assert lines[-2] == f"Report: {shown}"


def test_audit(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(photos.parent)
    report, ranking = tmp_path / "audit.html", tmp_path / "ranking.csv"
    assert run("audit", "photos", "-o", report, "--csv", ranking, "--top", 3, *SMALL) == 0
    printed = capsys.readouterr().out
    listed = re.findall(
        r"^ +\d+ +([\d.]+) +(?:at most )?[\d.]+ +(yes|no) +\d+ +(.+)$", printed, re.M
    )
    rows = read_csv(ranking)
    assert list(rows[0]) == [*COLUMNS, "group"]
    assert len(rows) == 30
    assert [path for *_, path in listed] == [row["image"] for row in rows[:3]]
    assert all("bad" in row["image"] and os.path.isfile(row["image"]) for row in rows[:3])
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 31)]
    suspicious = [row["label"] == "suspicious" for row in rows]
    assert suspicious == [score > 1 for score in scores]
    assert all(0 < float(row["p_value"]) <= 1 for row in rows)
    assert f"{sum(suspicious)} of 30 images are suspicious" in printed
    assert f"Report: {report}" in printed
    names = re.findall(r'data-name="([^"]*)"', report.read_text(encoding="utf-8"))
    assert [f"photos/{name}" for name in names] == [row["image"] for row in rows]


def test_much_memory_is_told_before_it_is_taken(photos, tmp_path, capsys, monkeypatch):
    options = ("fit", photos, "-o", tmp_path / "m.skpatch", *SMALL)
    assert run(*options) == 0
    assert "GB" not in capsys.readouterr().err
    monkeypatch.setattr("skpatch.cli.train._MUCH", 30 * 64 * 152 * 4)
    assert run(*options) == 0
    assert "The features of 30 images take 0.0 GB of memory" in capsys.readouterr().err
    n_patches = len(skpatch.load(tmp_path / "m.skpatch")[-1].memory_bank_)
    assert run(*options, "--augment", "rotation") == 0
    assert "half as much again; without --augment, 1/4 of it" in capsys.readouterr().err
    assert len(skpatch.load(tmp_path / "m.skpatch")[-1].memory_bank_) == 4 * n_patches
    assert run(*options, "--quiet") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("default")
def test_options_of_fit(photos, tmp_path, capsys):
    path = tmp_path / "model.skpatch"
    options = "--discriminator none --coreset-size 3000 --contamination 0.2 --seed 3 --jobs 1"
    options += " --tile-size 400"
    before = torch.get_num_threads()
    assert run("fit", photos, "-o", path, *SMALL, *options.split()) == 0
    assert torch.get_num_threads() == before
    printed = capsys.readouterr()
    assert f"images            30 of {photos}, 6 of them suspicious" in printed.out
    assert "memory patches    1920\n" in printed.out
    assert "taken for noise   0.0% of the patches" in printed.out
    assert "\nWarning: coreset_size=3000 asks for 3000 memory patches" in printed.err
    assert "64 x 64 pixels pass the network at 64 x 64, in 8 x 8 patches.\n" in printed.err
    extractor, detector = skpatch.load(path)
    assert extractor.tile_size == 400
    assert (detector.discriminator, detector.contamination) == (None, 0.2)
    assert detector.random_state == 3


@pytest.mark.filterwarnings("default")
def test_a_finer_size_is_named_where_images_have_more_pixels(photos, tmp_path, capsys):
    options = "fit", photos, "-o", tmp_path / "model.skpatch", "--image-size"
    for size, said in ((40, "--image-size 64 would see smaller defects"), (64, "")):
        assert run(*options, size) == 0
        assert ("would see" in (told := capsys.readouterr().err)) == bool(said)
        assert said in told


def test_folder_that_cannot_be_written(photos, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert run("fit", photos, "-o", tmp_path / "model.skpatch") == 1
    assert "cannot be written to" in capsys.readouterr().err


def test_missing_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run("bench") == 1
    assert 'pip install "skpatch[plot]"' in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupt_leaves_the_old_model(photos, tmp_path):
    path = tmp_path / "model.skpatch"
    path.write_text("old")
    # The new file is written, but waits before it takes the place of the old one.
    code = """
import os, time
replace = os.replace
def wait(source, target):
    if str(target).endswith(".skpatch"):
        print("written", flush=True)
        time.sleep(60)
    replace(source, target)
os.replace = wait
"""
    process = start("fit", photos, "-o", path, *SMALL, "--jobs", 1, "--force", code=code)
    assert process.stdout.readline() == "written\n"
    assert len(list(tmp_path.iterdir())) == 2
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "Interrupted."
    assert out == ""
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nobody_reads_the_output():
    reading, writing = os.pipe()
    os.close(reading)
    process = start("--help", stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == ""


def write_category(folder, images):
    for index, name in enumerate(
        [f"train/good/{i}.png" for i in range(12)]
        + [f"test/{kind}/{i}.png" for kind in ("good", "dent") for i in range(4)]
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).save(path)


def test_bench(data, tmp_path, capsys):
    write_category(tmp_path / "set", data.images)
    arguments = "--sets none --noise 0 --noise 0.1 --seeds 3 --methods PatchCore --methods skpatch"
    places = ["--output", tmp_path / "bench", "--cache", tmp_path / "cache"]
    for expected in ("4/4", ""):
        assert run("bench", *arguments.split(), "--data", tmp_path / "set", *places) == 0
        printed = capsys.readouterr()
        assert expected in printed.err
        assert "Largest shortfall of skpatch" in printed.out
        rows = read_csv(tmp_path / "bench.csv")
        assert len(rows) == 6
        assert {row["method"] for row in rows} == {"PatchCore", "skpatch"}
        assert all(0 <= float(row["image_auroc"]) <= 1 for row in rows)
    assert printed.err == ""
    assert Path(tmp_path / "bench.png").stat().st_size > 1000


def test_reproduce_with_tokens(data, tmp_path, capsys):
    write_category(tmp_path / "bolt", data.images)
    arguments = "--weights random --backbone timm/vit_tiny_patch16_224 --image-size 64 --seeds 3"
    places = ["--data", tmp_path / "bolt", "--output", tmp_path / "table"]
    assert run("reproduce", "anomalydino", *arguments.split(), *places) == 0
    out = capsys.readouterr().out
    assert "| dataset | noise | overlap | PatchCore |" in out
    assert "Variant: Without the turned copies" in out
    (row,) = read_csv(tmp_path / "table.csv")
    assert json.loads(row["parameters"])["metric"] == "cosine"
    assert row["image_size"] == "64 x 64"
    assert 0 <= float(row["image_auroc"]) <= 1
    # All patches of twelve images, 4 x 4 each, of two blocks with 192 features.
    assert float(row["megabytes"]) == pytest.approx(12 * 16 * 2 * 192 * 4 / 1e6)


def test_reproduce(data, tmp_path, capsys):
    """A folder of categories, another network, two seeds."""
    for name in ("bolt", "nut_2"):
        write_category(tmp_path / "parts" / name, data.images)
    arguments = (
        "--backbone resnet18 --weights random --layers layer1,layer2 --resize 40 --crop 32 "
        "--embedding-dim 12 --coreset-size 30 --seeds 3 --seeds 4"
    )
    places = ["--data", tmp_path / "parts", "--output", tmp_path / "table"]
    assert run("reproduce", "softpatch", *arguments.split(), *places) == 0
    printed = capsys.readouterr().out
    rows = read_csv(tmp_path / "table.csv")
    methods = ["PatchCore", "SoftPatch nearest", "SoftPatch lof", "SoftPatch gaussian"]
    assert len(rows) == 2 * 2 * 2 * len(methods)
    assert {row["dataset"] for row in rows} == {"bolt", "nut_2"}
    assert {row["noise"] for row in rows} == {"0.1"}
    assert {(row["backbone"], row["layers"], row["image_size"]) for row in rows} == {
        ("resnet18", "layer1 layer2", "32 x 32")
    }
    assert {len(row["parameters"]) > 2 for row in rows} == {True}
    header = f"| dataset | noise | overlap | {' | '.join(methods)} |"
    table = printed.split("Image AUROC, mean")[1].split("\n\n")[1].splitlines()
    assert table[0] == header
    assert [line.split(" | ")[0] for line in table[2:]] == [
        *2 * ["| bolt"],
        *2 * ["| nut_2"],
        "| mean of all",
        "| MVTec AD, 15 categories, published [1]",
        "| MVTec AD, 15 categories, published [2]",
        "| mean of all",
    ]
    of_bolt = [
        float(row["image_auroc"])
        for row in rows
        if (row["dataset"], row["overlap"], row["method"]) == ("bolt", "no", "PatchCore")
    ]
    spread = f"{np.mean(of_bolt):.3f} ± {np.std(of_bolt, ddof=1):.3f}"
    assert table[2].startswith(f"| bolt | 10% | no | {spread} |")
    assert (
        "| MVTec AD, 15 categories, published [1] | 10% | no | 0.984 | - | 0.986 | - |" in printed
    )
    assert "\n[1] X. Jiang et al., NeurIPS 2022\n" in printed
    assert run("reproduce", "softpatch", *arguments.split(), *places, "--style", "latex") == 0
    printed = capsys.readouterr().out
    assert printed.count(r"\begin{tabular}{lllllll}") == 3
    assert printed.count(r"\begin{tabular}") == printed.count(r"\end{tabular}") == 9
    assert r"nut\_2 & 10\% & no & " in printed
    assert r" $\pm$ " in printed
    # What follows the last table is no text of a document.
    *_, after = printed.split("\\end{tabular}\n")
    assert all(line.startswith("% ") for line in after.splitlines() if line)
    arguments = arguments.replace("layer1,layer2", "layer2")
    assert run("reproduce", "softpatch", *arguments.split(), *places) == 1
    assert "were measured with something else" in capsys.readouterr().err


@pytest.mark.slow
# Thirty training images do not show all kinds of cells.
@pytest.mark.filterwarnings("ignore:.* are unlike everything")
def test_demo(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_demo, "_N_TRAIN", {"normal": 27, "defective": 3})
    monkeypatch.setattr(_demo, "_N_TEST", 15)
    assert main(["demo", "--output", str(tmp_path / "demo.png"), "--seed", "1"]) == 0
    printed = capsys.readouterr().out
    assert "Training on 30 unlabelled images, 3 of them defective; testing on 30." in printed
    for name in ("PatchCore", "skpatch"):
        auroc = float(re.search(rf"{name} +(0\.\d+)", printed)[1])
        assert 0.7 < auroc <= 1
    suspicious = re.findall(r"^ +\d+  cell\d+\.png +\d\.\d\d  (normal|defective)$", printed, re.M)
    assert len(suspicious) == 10
    assert "defective" in suspicious[:3]
    with Image.open(tmp_path / "demo.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[1] > 1000
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 1000


def test_trust(photos, tmp_path, monkeypatch, capsys):
    path = tmp_path / "model.skpatch"
    names = sorted(str(one.relative_to(photos)) for one in photos.rglob("*.png"))
    monkeypatch.chdir(photos.parent)
    # As in the report, as the shell completes it, and as long as is needed.
    trusted = [names[0], f"photos/{names[1]}", os.path.basename(names[2])]
    options = [text for name in trusted for text in ("--trust", name)]
    for limit in ([], ["--memory-limit", "2 GiB"], ["--memory-limit", "1T"]):
        assert run("fit", "photos", "-o", path, *SMALL, "-q", *options, *limit) == 0
        model = skpatch.load(path)
        assert sorted(model.image_names_) == names
        declared = np.flatnonzero(model[-1].declared_normal_)
        assert {model.image_names_[i] for i in declared} == set(names[:3])
    capsys.readouterr()
    assert run("fit", "photos", "-o", path, *SMALL, "-q", "--trust", "nowhere.png") == 1
    assert "There is no training image 'nowhere.png'; there are: " in capsys.readouterr().err


def test_groups_are_asked_about(capsys):
    _print_groups(np.array([1, -1, 0, 1, 0]), ["a.png", "b.png", "c d.png", "e.png", "f.png"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("These 2 look alike: a normal variant, or the same defect?")
    assert first.endswith("If normal: --trust 'c d.png' --trust f.png")
    assert second.endswith("If normal: --trust a.png --trust e.png")
