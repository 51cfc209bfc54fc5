# SPDX-License-Identifier: BSD-3-Clause
import re
import subprocess
import sys
from pathlib import Path

import pytest

import skpatch


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_import_loads_nothing_heavy():
    code = (
        "import sys, skpatch;"
        "heavy = 'torch', 'numba', 'pynndescent', 'sklearn', 'matplotlib', 'pandas';"
        "print([m for m in heavy if m in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_requirements_without_torch_are_those_of_the_package():
    root = Path(__file__).parents[1]
    listed = (root / "docs" / "guide" / "without_torch.txt").read_text(encoding="utf-8").split()
    declared = re.findall(
        r'"([a-z0-9-]+>=[0-9a-z.]+)"', (root / "pyproject.toml").read_text(encoding="utf-8")
    )
    assert set(listed) <= set(declared)
    assert not [one for one in listed if one.startswith("torch")]


def test_plotting_loads_matplotlib_when_it_plots():
    assert run_python("import sys, skpatch.plotting; print('matplotlib' in sys.modules)") == "False"


@pytest.mark.parametrize("name", skpatch.__all__)
def test_public_names_exist(name):
    assert getattr(skpatch, name) is not None
    assert name in dir(skpatch)


def test_unknown_name():
    with pytest.raises(AttributeError, match="No skpatch attribute SoftPatch"):
        skpatch.SoftPatch  # noqa: B018


def test_star_import():
    names = {}
    exec("from skpatch import *", names)
    assert names["make_pipeline"] is skpatch.make_pipeline
