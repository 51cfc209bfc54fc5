# SPDX-License-Identifier: BSD-3-Clause
"""ONNX files say what the model says, whoever runs them."""

import hashlib

import numpy as np
import pytest
import torch
from _networks import Strange, small_extractor
from _photographs import IMAGES, parts, photographs
from sklearn.preprocessing import FunctionTransformer

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.detector.estimator import fitted_state
from skpatch.export import search, writing

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.usefixtures("one_thread")

# Some of them normal, and some elongated.
NEW = [*IMAGES[:2], *photographs((70, 80), (150, 61), (40, 300), (64, 64), (200, 90), seed=1)]


@pytest.fixture(scope="module")
def model():
    extractor = PatchFeatureExtractor(image_size=64)
    detector = SoftPatchDetector(random_state=0, contamination=0.2)
    return make_pipeline(extractor, detector).fit(
        [*IMAGES[2:], *photographs(*[(70, 80)] * 18, seed=2)]
    )


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    model.to_onnx(path)
    return path


def by_onnxruntime(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    return lambda images: session.run(None, {"images": images})


def by_openvino(path):
    openvino = pytest.importorskip("openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return lambda images: list(compiled([images]).values())


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [by_onnxruntime, by_openvino])
def test_equal_to_the_model(model, path, runtime):
    run, threshold = runtime(path), -model[1].offset_
    verdicts = []
    for image in NEW:
        score, pvalue, is_anomalous, whole = (one[0] for one in run(image[np.newaxis]))
        expected = -model.score_samples([image])[0] / threshold
        assert score == pytest.approx(expected, rel=1e-4)
        assert pvalue == pytest.approx(model.predict_pvalue([image])[0], rel=1e-6)
        assert bool(is_anomalous) == (model.predict([image])[0] == -1)
        expected = model.predict_map([image])[0] / threshold
        np.testing.assert_allclose(whole, expected, atol=1e-4 * expected.max())
        verdicts.append(bool(is_anomalous))
    assert set(verdicts) == {False, True}


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [by_onnxruntime, by_openvino])
def test_without_maps(model, path, tmp_path, runtime, monkeypatch):
    # A small bank is searched as a large one is.
    monkeypatch.setattr(search, "_BLOCK", 16)
    model.to_onnx(tmp_path / "scores.onnx", maps=False)
    run, run_with_maps = runtime(tmp_path / "scores.onnx"), runtime(path)
    names = [one.name for one in onnx.load(tmp_path / "scores.onnx").graph.output]
    assert names == ["score", "p_value", "is_anomalous"]
    blank = np.zeros((3, 70, 80, 3), np.uint8)
    for images in (*(image[np.newaxis] for image in NEW), blank, np.stack(IMAGES)):
        for found, expected in zip(run(images), run_with_maps(images), strict=False):
            np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [by_onnxruntime, by_openvino])
def test_weights_by_place(tmp_path, runtime):
    detector = SoftPatchDetector(random_state=0)
    model = make_pipeline(small_extractor(image_size=64), detector).fit(parts(40, seed=0))
    assert fitted_state(detector).bank.usual is not None
    model.to_onnx(tmp_path / "model.onnx")
    run = runtime(tmp_path / "model.onnx")
    images = [*parts(3, seed=1), *NEW]
    scores = [run(one[np.newaxis])[0][0] for one in images]
    np.testing.assert_allclose(scores, model.score_samples(images) / detector.offset_, rtol=1e-3)


@pytest.mark.slow
def test_cosines(tmp_path):
    extractor = small_extractor(image_size=64)
    detector = SoftPatchDetector(discriminator=None, metric="cosine", random_state=0)
    model = make_pipeline(extractor, detector).fit(IMAGES)
    model.to_onnx(tmp_path / "model.onnx")
    scores = [by_onnxruntime(tmp_path / "model.onnx")(one[np.newaxis])[0][0] for one in NEW]
    expected = model.score_samples(NEW) / detector.offset_
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-5)


def test_any_number_of_images(model, path):
    run = by_onnxruntime(path)
    images = np.stack(IMAGES)
    together = run(images)
    alone = [run(image[np.newaxis]) for image in images]
    for number, values in enumerate(together):
        assert len(values) == len(images)
        for index, one in enumerate(alone):
            np.testing.assert_allclose(values[index], one[number][0], rtol=1e-4)


@pytest.mark.slow
def test_what_the_file_says_of_itself(model, path):
    exported = onnx.load(path)
    onnx.checker.check_model(exported, full_check=True)
    assert [(one.domain, one.version) for one in exported.opset_import] == [("", 18)]
    said = {one.key: one.value for one in exported.metadata_props}
    assert said["skpatch"] == exported.producer_version == skpatch.__version__
    assert torch.__version__.startswith(said["torch"])
    assert float(said["threshold"]) == -model[1].offset_
    assert said["input_size"] == "64 x 80"
    content = exported.graph.SerializeToString(deterministic=True)
    assert said["graph_sha256"] == hashlib.sha256(content).hexdigest()
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*exported.graph.input, *exported.graph.output)
    }
    assert shapes == {
        "images": ["n", "height", "width", 3],
        "score": ["n"],
        "p_value": ["n"],
        "is_anomalous": ["n"],
        "map": ["n", "height", "width"],
    }


# What is refused


class Search(skpatch.ExactNeighbors):
    """One of somebody's own."""


def fitted(detector=None, **extractor):
    extractor = small_extractor(**{"image_size": 64, **extractor})
    return make_pipeline(extractor, detector or SoftPatchDetector(random_state=0)).fit(IMAGES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fitted(image_size=320, tile_size=272), "tile_size=272"),
        (lambda: fitted(region=np.arange(70 * 80).reshape(70, 80) > 2800), "has a region"),
        (lambda: fitted(dtype="bfloat16"), "dtype='bfloat16': a graph computes in float32"),
        (
            lambda: fitted(SoftPatchDetector(neighbors=Search())),
            r"neighbors=Search\(\): a graph compares with all",
        ),
        (
            lambda: make_pipeline(
                small_extractor(image_size=64), FunctionTransformer(), SoftPatchDetector()
            ).fit(IMAGES),
            "got PatchFeatureExtractor, FunctionTransformer, SoftPatchDetector",
        ),
        (
            lambda: make_pipeline(small_extractor(), SoftPatchDetector()),
            "not fitted",
        ),
    ],
    ids=["tiles", "region", "dtype", "graph", "steps", "unfitted"],
)
def test_models_that_no_graph_stands_for(make, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make().to_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_banks_that_are_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_LARGEST_BANK", 100)
    with pytest.raises(
        ValueError, match=r"memory bank has .* may have 100\. Fit with coreset_size"
    ):
        fitted(SoftPatchDetector(coreset_size=101)).to_onnx(tmp_path / "model.onnx")


@pytest.mark.slow
def test_graphs_that_score_otherwise_are_not_written(path):
    # The graph of another model, which has the same network.
    other = make_pipeline(PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0))
    other.fit(IMAGES)
    with pytest.raises(ValueError, match=r"scores of the graph differ from its own by .* Nothing"):
        writing._check_scores(path.read_bytes(), other[0], other[1], maps=True)


@pytest.mark.slow
def test_networks_that_torch_does_not_convert(tmp_path):
    extractor = PatchFeatureExtractor(backbone=Strange(), layers=["pixels.negative"], image_size=32)
    model = make_pipeline(extractor, SoftPatchDetector()).fit(IMAGES)
    with pytest.raises(ValueError, match=r"torch\.onnx does not convert its network: .*"):
        model.to_onnx(tmp_path / "model.onnx")


def test_names_that_cannot_be_written(tmp_path):
    model = fitted()
    with pytest.raises(ValueError, match=r"must be the name of a \.onnx file"):
        model.to_onnx(tmp_path / "model.skpatch")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        model.to_onnx(tmp_path / "nowhere" / "model.onnx")


def test_without_the_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ImportError, match=r"missing, onnxscript: pip install 'skpatch\[onnx\]'"):
        fitted().to_onnx(tmp_path / "model.onnx")


# Images that are not 8-bit


@pytest.mark.slow
def test_images_of_other_bit_depths_have_to_be_converted(tmp_path):
    images = [image.astype(np.uint16) * 16 for image in IMAGES]
    model = make_pipeline(small_extractor(image_size=64), SoftPatchDetector(random_state=0))
    with pytest.warns(UserWarning, match="8-bit pixels") as caught:
        model.fit(images).to_onnx(tmp_path / "model.onnx")
    said = {one.key: one.value for one in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert any(said["pixels"] in str(one.message) for one in caught)
    pixels = photographs((70, 80), seed=5)[0].astype(np.uint16) * 16
    converted = eval(said["pixels"], {"np": np, "pixels": pixels})
    score = by_onnxruntime(tmp_path / "model.onnx")(converted[np.newaxis])[0][0]
    expected = -model.score_samples([pixels])[0] / -model[1].offset_
    assert score == pytest.approx(expected, rel=1e-4)
