# SPDX-License-Identifier: BSD-3-Clause
"""What commands import, for which whoever types them waits."""

import subprocess
import sys

import pytest
from _cli import SMALL, run
from PIL import Image

HEAVY = {"torch", "torchvision", "numba", "sklearn", "scipy", "pandas", "matplotlib", "jinja2"}


def imported_by(*command, folder):
    """Exit code of a command in a process of its own, and the modules it imports."""
    code = (
        "import sys; from skpatch.cli import main; code = main(sys.argv[1:]);"
        "print(); print(code, *sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    ).stdout
    code, *modules = printed.splitlines()[-1].split()
    return int(code), set(modules)


@pytest.mark.parametrize("command", ["--help", "--version", "audit --help"])
def test_help_imports_nothing_heavy(command, tmp_path):
    code, modules = imported_by(*command.split(), folder=tmp_path)
    assert code == 0
    assert modules.isdisjoint({*HEAVY, "numpy", "PIL", "tqdm"})


@pytest.mark.parametrize(
    "command",
    [
        "audit nowhere",
        "audit empty",
        "fit nowhere -o line.skpatch",
        "fit photos -o line.skpatch --weights lost.pth",
        "export line.skpatch -o line.onnx",
        "score line.skpatch nothing.png -o scores.csv",
        "score line.skpatch photos/1.png -o scores.csv",
        "update line.skpatch --add photos -o line2.skpatch",
        "sort photos --decisions lost.csv --to sorted",
        "watch line.skpatch photos -o results.jsonl",
        "serve line.skpatch",
    ],
)
def test_names_that_are_wrong_are_told_before_anything_heavy_is_imported(command, data, tmp_path):
    for name in ("empty", "photos"):
        (tmp_path / name).mkdir()
    for index in range(2):
        Image.fromarray(data.images[index]).save(tmp_path / "photos" / f"{index}.png")
    code, modules = imported_by(*command.split(), folder=tmp_path)
    assert code == 1
    assert modules.isdisjoint(HEAVY)


@pytest.fixture(scope="module")
def model(photos):
    path = photos.parent / "started.skpatch"
    assert run("fit", photos, "-o", path, *SMALL, "--quiet") == 0
    return path


def test_info_builds_no_model(model, tmp_path):
    code, modules = imported_by("info", model, folder=tmp_path)
    assert code == 0
    assert modules.isdisjoint(HEAVY)


@pytest.mark.slow
def test_scoring_imports_only_what_it_uses(photos, model, tmp_path):
    image = next(photos.rglob("*.png"))
    code, modules = imported_by("score", model, image, "-o", "scores.csv", folder=tmp_path)
    assert code == 0
    assert {"torch", "numba", "sklearn"} <= modules
    unused = {"torchvision", "sympy", "torch._dynamo", "torch.fx.experimental.symbolic_shapes"}
    unused |= {"matplotlib", "pynndescent", "jinja2", "dask", "safetensors", "skpatch.report"}
    unused |= {"openvino", "onnxruntime", "onnx"}
    unused |= {f"sklearn.{part}" for part in ("covariance", "decomposition", "linear_model", "svm")}
    assert modules.isdisjoint(unused)
