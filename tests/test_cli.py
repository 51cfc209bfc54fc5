# SPDX-License-Identifier: BSD-3-Clause
import re

import numpy as np
import pytest
from PIL import Image

from skpatch import __version__, _demo
from skpatch.cli import main


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"skpatch {__version__}"


@pytest.mark.parametrize("arguments", [[], ["bake"], ["demo", "--seed", "x"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: skpatch" in capsys.readouterr().err


def test_demo_into_a_missing_folder(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path / "none" / "demo.png")]) == 1
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.slow
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
