# SPDX-License-Identifier: BSD-3-Clause
"""What type checkers and editors see: the documents' code has no error, and types are not Any."""

import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
import textwrap
from functools import cached_property
from pathlib import Path

import jedi
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# Names that the documents take as given.
GIVEN = """\
from pathlib import Path
images: list[Path] = []
labels: list[int] = []
"""
# What `assert_type` says is exact, so it fails for Any, and so does an `ignore` without an error.
TYPES = """\
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import assert_type

from skpatch import PatchFeatureExtractor, PatchPipeline, SoftPatchDetector, make_pipeline
from skpatch.audit import NoiseAudit
from skpatch.metrics import pixel_auroc

class Lazy:
    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return np.zeros((64, 64, 3), np.uint8)

def check(
    texts: list[str],
    paths: list[Path],
    pictures: tuple[Image.Image, ...],
    images: NDArray[np.uint8],
    features: NDArray[np.float32],
    nothing: Iterator[Path],
) -> None:
    model = make_pipeline(PatchFeatureExtractor(), SoftPatchDetector())
    assert_type(model, PatchPipeline)
    for some in (texts, paths, pictures, images, Lazy()):
        assert_type(model.fit(some), PatchPipeline)
    model.fit(3)  # type: ignore[arg-type]
    model.fit(nothing)  # type: ignore[arg-type]
    assert_type(model.score_samples(images), NDArray[np.float64])
    assert_type(model.score_samples(images), Any)  # type: ignore[assert-type]
    assert_type(model.decision_function(images), NDArray[np.float64])
    assert_type(model.predict(images), NDArray[np.int64])
    assert_type(model.predict_pvalue(images), NDArray[np.float64])
    assert_type(model.predict_map(images), list[NDArray[np.float32]])
    assert_type(model.partial_fit(paths).forget([0]), PatchPipeline)
    assert_type(model[:-1], PatchPipeline)
    print(model[-1].offset_, model["softpatchdetector"].offset_)
    pixel_auroc(images, model.predict_map(images))
    audit = model.audit(images)
    assert_type(audit, NoiseAudit)
    assert_type(audit.maps(audit.ranking[:3]), list[NDArray[np.float32]])
    extractor = PatchFeatureExtractor().fit(images)
    assert_type(extractor, PatchFeatureExtractor)
    assert_type(extractor.grid_size_, tuple[int, int])
    assert_type(extractor.transform(images), NDArray[np.float32])
    detector = SoftPatchDetector().fit(features)
    assert_type(detector, SoftPatchDetector)
    assert_type(detector.offset_, float)
    assert_type(detector.memory_bank_, NDArray[np.float32])
    assert_type(detector.score_samples(features), NDArray[np.float64])
    assert_type(detector.predict_map(features), NDArray[np.float64])
"""
# The strictest settings for the user's code, and a look at the types of skpatch's, whose own
# errors are those of another check. scikit-learn has no types, nor has an old Pillow. Libraries
# that no tested type needs are left out: torch alone takes mypy as long as all that is needed.
MYPY = """\
[mypy]
strict = True
[mypy-sklearn.*,PIL.*]
ignore_missing_imports = True
[mypy-skpatch.*]
follow_imports = silent
[mypy-torch.*,torchvision.*,numba.*,matplotlib.*,jinja2.*,click.*]
follow_imports = skip
"""


def python_code(path):
    """The Python of a document: its code blocks and its doctests, one after the other."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    blocks = re.finditer(r"^\.\. code-block:: python\n\n((?: +.*\n|\n)+)", text, re.MULTILINE)
    code = [(text.count("\n", 0, block.start()), textwrap.dedent(block[1])) for block in blocks]
    code += [(each.lineno, each.source) for each in doctest.DocTestParser().get_examples(text)]
    return "\n".join(source for _, source in sorted(code))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Folder of what is checked."""
    folder = tmp_path_factory.mktemp("typing")
    for document in ("README.md", "docs/quickstart.rst"):
        path = REPOSITORY / document
        (folder / f"{path.stem.lower()}.py").write_text(GIVEN + python_code(path))
    (folder / "types.ini").write_text(MYPY)
    (folder / "declared.py").write_text(TYPES)
    return folder


def complaints(sources, *command):
    """What a checker prints about the sources; it must have found all of them."""
    done = subprocess.run(
        [sys.executable, "-m", *command, *sorted(path.name for path in sources.glob("*.py"))],
        cwd=sources,
        env={**os.environ, "MYPYPATH": str(REPOSITORY), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_documents_have_code(sources):
    assert "model.predict(images)" in (sources / "readme.py").read_text()
    quickstart = (sources / "quickstart.py").read_text()
    assert quickstart.index("load_folder(") < quickstart.index("model.predict_map(new)")
    assert quickstart.index("model.predict_map(new)") < quickstart.index('load("model.skpatch")')


@pytest.mark.slow
def test_mypy(sources):
    found = complaints(sources, "mypy", "--config-file=types.ini")
    assert found == "Success: no issues found in 3 source files\n"


@pytest.mark.slow
def test_pyright(sources):
    pytest.importorskip("pyright", reason="`pip install pyright[nodejs]`, as .ci/run does")
    assert "0 errors, " in complaints(sources, "pyright", f"--pythonpath={sys.executable}")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from skpatch import make_pi", {"make_pipeline"}),
        (
            "from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline\n"
            "make_pipeline(PatchFeatureExtractor(), SoftPatchDetector()).pre",
            {"predict", "predict_map", "predict_pvalue"},
        ),
        ("import skpatch\nskpatch.SoftPatchDetector().fit([]).memory_b", {"memory_bank_"}),
        ("import skpatch\nskpatch.PatchFeatureExtractor().fit([]).grid", {"grid_size_"}),
        ("import skpatch\nskpatch.load('model.skpatch').aud", {"audit"}),
    ],
)
def test_completion(code, expected):
    script = jedi.Script(
        code, project=jedi.Project(REPOSITORY), environment=jedi.InterpreterEnvironment()
    )
    assert {completion.name for completion in script.complete()} >= expected


def public_callables():
    """Functions, and methods of classes, that the page API of the documentation lists."""
    module = None
    for line in (REPOSITORY / "docs" / "api.rst").read_text().splitlines():
        if line.startswith(".. currentmodule::"):
            module = importlib.import_module(line.split()[-1])
        elif module is not None and re.fullmatch(r"    \w+", line):
            name, found = line.strip(), getattr(module, line.strip())
            if not inspect.isclass(found):
                yield name, found
                continue
            own = [base for base in found.__mro__ if base.__module__.startswith("skpatch")]
            for key in {key for base in own for key in vars(base)}:
                # Checkers give a method that overrides one of skpatch's the types of that.
                origin = next(base for base in reversed(own) if key in vars(base))
                method = getattr(origin, key)
                method = method.func if isinstance(method, cached_property) else method
                if inspect.isroutine(method) and (key == "__init__" or not key.startswith("_")):
                    yield f"{name}.{key}", method


def test_public_signatures_are_complete():
    functions = dict(public_callables())
    assert {"make_pipeline", "SoftPatchDetector.__init__", "NoiseAudit.maps"} <= set(functions)
    untyped = []
    for name, function in functions.items():
        signature = inspect.signature(function)
        kinds = {key: parameter.annotation for key, parameter in signature.parameters.items()}
        kinds["return"] = signature.return_annotation
        kinds.pop("self", None)
        untyped += [f"{name}: {key}" for key, kind in kinds.items() if kind is signature.empty]
    assert untyped == []
