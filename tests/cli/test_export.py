# SPDX-License-Identifier: BSD-3-Clause
"""The command that exports a saved model."""

import numpy as np
import pytest
from _cli import run
from _photographs import IMAGES

from skpatch import PatchFeatureExtractor, SoftPatchDetector, load, make_pipeline, save
from skpatch.console.output import check_free

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "line.skpatch"
    pipeline = make_pipeline(
        PatchFeatureExtractor(image_size=32), SoftPatchDetector(random_state=0)
    )
    save(pipeline.fit(IMAGES), path)
    return path


@pytest.mark.slow
def test_export(model, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    output = tmp_path / "line.onnx"
    assert run("export", model, "-o", output) == 0
    assert f"Graph:   {output}" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(output)
    loaded, image = load(model), np.ascontiguousarray(IMAGES[0][::-1])
    score = session.run(["score"], {"images": image[np.newaxis]})[0][0]
    expected = -loaded.score_samples([image])[0] / -loaded[1].offset_
    assert score == pytest.approx(expected, rel=1e-4)
    # One that skpatch has written is replaced without being asked.
    check_free(output, ".onnx", "--output", force=False)


@pytest.mark.slow
def test_export_without_maps(model, tmp_path, capsys):
    import onnx

    assert run("export", model, "-o", tmp_path / "line.onnx", "--no-maps") == 0
    assert "map (n" not in capsys.readouterr().out
    names = [one.name for one in onnx.load(tmp_path / "line.onnx").graph.output]
    assert names == ["score", "p_value", "is_anomalous"]


def test_files_of_others_stay(model, tmp_path, capsys):
    output = tmp_path / "line.onnx"
    output.write_bytes(b"\x08\x0a\x12\x07pytorch")
    assert run("export", model, "-o", output) == 1
    assert "skpatch has not written it" in capsys.readouterr().err
    assert output.read_bytes() == b"\x08\x0a\x12\x07pytorch"


def test_models_that_are_not_there(tmp_path, capsys):
    assert run("export", tmp_path / "lost.skpatch", "-o", tmp_path / "line.onnx") == 1
    assert "lost.skpatch" in capsys.readouterr().err


def test_detectors_without_network(patches, tmp_path, capsys):
    save(SoftPatchDetector(random_state=0).fit(patches), tmp_path / "alone.skpatch")
    assert run("export", tmp_path / "alone.skpatch", "-o", tmp_path / "line.onnx") == 1
    assert "without its network" in capsys.readouterr().err
