# SPDX-License-Identifier: BSD-3-Clause
"""What the documentation is made with."""

import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _reports import NAMES, SCORES, write
from PIL import Image
from source_links import PROJECT_URL, source_link

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = DOCS.parent / "examples"
NOTEBOOK = EXAMPLES / "plot_first_hour.ipynb"


def documented():
    """Module and name of what the reference lists, with the methods of its classes."""
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = importlib.import_module(found[1])
        elif found := re.match(r"    ([A-Za-z]\w+)$", line):
            yield module.__name__, found[1]
            public = getattr(module, found[1])
            for name in vars(public) if inspect.isclass(public) else ():
                if not name.startswith("_"):
                    yield module.__name__, f"{found[1]}.{name}"


def test_sources_of_what_is_documented():
    names = dict.fromkeys(documented())
    linked = {name: link for name in names if (link := source_link(*name))}
    assert {name for name in names if "." not in name[1]} <= set(linked)
    assert ("skpatch", "SoftPatchDetector.fit") in linked
    for (_, name), link in linked.items():
        place, first, last = re.fullmatch(
            rf"{PROJECT_URL}/blob/[^/]+/(.+)#L(\d+)-L(\d+)", link
        ).groups()
        lines = (DOCS.parent / place).read_text(encoding="utf-8").splitlines()
        source = "\n".join(lines[int(first) - 1 : int(last)])
        short = name.rpartition(".")[2]
        assert re.match(rf"( *@.*\n)*\s*(def|class) {short}\b", source), link


def test_what_other_libraries_define_has_no_source_here():
    assert source_link("skpatch", "SoftPatchDetector.get_params") is None
    assert source_link("skpatch", "SoftPatchDetector.__doc__") is None


def test_picture_of_a_report(browser, model, tmp_path):
    report = tmp_path / "report.html"
    write(report, model, SCORES, NAMES)
    output = tmp_path / "report.jpg"
    pytest.importorskip("show_report").photograph(browser, report, output)
    with Image.open(output) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (1300, 1295)
        red, green, blue = np.asarray(picture).reshape(-1, 3).astype(int).T
    # The mark of the first image.
    assert ((red > 150) & (green < 70) & (blue < 60)).sum() > 500


def test_pictures_are_small_enough_for_a_page():
    for path in (DOCS / "images").iterdir():
        assert path.stat().st_size < 600_000, path


def test_notebook_is_that_of_the_example(tmp_path):
    pytest.importorskip("sphinx_gallery")
    shutil.copy(EXAMPLES / "plot_first_hour.py", tmp_path)
    command = [sys.executable, DOCS / "make_notebook.py", "plot_first_hour.py"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / NOTEBOOK.name).read_text("utf-8") == NOTEBOOK.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_notebook_runs_from_top_to_bottom(capsys):
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    first, *sources = ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]
    assert first == '%pip install "skpatch[demo]"'
    names = {}
    for source in sources:
        exec(compile(source, NOTEBOOK.name, "exec"), names)
    printed = capsys.readouterr().out
    assert "of 6 in the folder" in printed
    assert "same scores: True" in printed
