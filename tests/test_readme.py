# SPDX-License-Identifier: BSD-3-Clause
"""What README shows is typed as it stands, in order, in an empty folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from skpatch.datasets import make_contaminated_images

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_python_runs_as_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (source,) = blocks("python")
    exec(compile(source, "README.md", "exec"), {"__name__": "__main__"})
    assert (tmp_path / "audit.html").stat().st_size > 10_000


@pytest.mark.slow
def test_commands_run_as_pasted(tmp_path):
    images = make_contaminated_images(36, 4, random_state=0).images
    for number, image in enumerate(images):
        folder = tmp_path / ("new" if number < 4 else "photos")
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02}.png")
    commands = [block for block in blocks("bash") if block.startswith("skpatch")]
    assert len(commands) == 1
    script = re.sub("^skpatch ", f"{sys.executable} -m skpatch ", commands[0], flags=re.MULTILINE)
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True)
    assert (tmp_path / "photos-audit.html").exists()
    assert (tmp_path / "line.skpatch").exists()
