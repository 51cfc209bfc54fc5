# SPDX-License-Identifier: BSD-3-Clause
"""Features by OpenVINO and onnxruntime are those by torch."""

import pickle
import threading

import joblib
import numpy as np
import pytest
from _cli import SMALL, read_csv, run
from _networks import Strange, small_extractor, with_parameters
from _persistence import parts, write
from _photographs import IMAGES

from skpatch import PatchFeatureExtractor, SoftPatchDetector, load, make_pipeline, save
from skpatch.engines import choosing
from skpatch.engines.onnx import OnnxGraph
from skpatch.engines.openvino import OpenVinoGraph
from skpatch.runtime.threads import execution

pytestmark = pytest.mark.usefixtures("one_thread")
GRAPHS = {"openvino": OpenVinoGraph, "onnx": OnnxGraph}


@pytest.fixture(params=GRAPHS)
def engine(request):
    for package in choosing.ENGINES[request.param]:
        pytest.importorskip(package)
    return request.param


@pytest.fixture(scope="module")
def fitted():
    return small_extractor(image_size=64).fit(IMAGES)


@pytest.fixture
def missing(monkeypatch):
    others = {choosing.ENGINES[engine][0] for engine in GRAPHS}
    monkeypatch.setattr(choosing, "find_spec", lambda name: None if name in others else name)


def differences(found, expected):
    """Largest difference of each image's features, relative to its largest feature."""
    largest = np.abs(expected).max(axis=(1, 2, 3))
    return np.abs(found - expected).max(axis=(1, 2, 3)) / largest


# The same features


def test_default_network(engine):
    extractor = PatchFeatureExtractor(image_size=64).fit(IMAGES)
    expected = extractor.transform(IMAGES)
    found = extractor.set_params(engine=engine).transform(IMAGES)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert (differences(found, expected) < 1e-4).all()
    network = extractor._steps().network
    assert type(network.graph) is GRAPHS[engine]


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [
        ("resnet18", None),
        ("mobilenet_v3_small", ["features.3", "features.8"]),
        pytest.param("convnext_tiny", ["features.1", "features.3"], marks=pytest.mark.slow),
        pytest.param("regnet_y_400mf", None, marks=pytest.mark.slow),
    ],
)
def test_networks_of_torchvision(backbone, layers, engine):
    parameters = {"weights": None, "layers": layers, "image_size": 64, "random_state": 0}
    extractor = PatchFeatureExtractor(backbone=backbone, **parameters).fit(IMAGES)
    expected = extractor.transform(IMAGES)
    found = extractor.set_params(engine=engine).transform(IMAGES)
    assert (differences(found, expected) < 1e-4).all()


@pytest.mark.parametrize(
    "parameters",
    [
        {"batch_size": 3},
        {"n_jobs": 1},
        {"n_jobs": 3, "batch_size": 1},
        {"embedding_dim": 5},
        {"image_size": (96, 64)},
        {"image_size": (320, 400), "tile_size": 304},
    ],
    ids=str,
)
def test_parameters_of_the_extractor(parameters, engine):
    extractor = small_extractor(**{"image_size": 64, **parameters}).fit(IMAGES)
    expected = extractor.transform(IMAGES)
    found = extractor.set_params(engine=engine).transform(IMAGES)
    assert (differences(found, expected) < 1e-4).all()


def test_threads_and_batches_give_the_same_bits(fitted, engine):
    extractor = with_parameters(fitted, engine=engine, n_jobs=1, batch_size=1)
    expected = extractor.transform(IMAGES)
    for n_jobs, batch_size in [(1, 2), (3, 1), (2, 3), (None, 2)]:
        extractor.set_params(n_jobs=n_jobs, batch_size=batch_size)
        np.testing.assert_array_equal(extractor.transform(IMAGES), expected)


def test_bfloat16_only_when_asked_for(fitted):
    pytest.importorskip("openvino")
    expected = fitted.transform(IMAGES)
    rough = with_parameters(fitted, engine="openvino", dtype="bfloat16").transform(IMAGES)
    assert ((differences(rough, expected) > 1e-4) & (differences(rough, expected) < 0.05)).all()


# Beside other things


def test_engine_is_changed_at_any_time(fitted, engine):
    expected = fitted.transform(IMAGES)
    extractor = with_parameters(fitted, engine=engine)
    found = extractor.transform(IMAGES)
    np.testing.assert_array_equal(extractor.set_params(engine="torch").transform(IMAGES), expected)
    np.testing.assert_array_equal(extractor.set_params(engine=engine).transform(IMAGES), found)


def test_network_is_compiled_once_and_not_pickled(fitted, monkeypatch, engine):
    extractor = with_parameters(fitted, engine=engine)
    size = len(pickle.dumps(extractor))
    expected = extractor.transform(IMAGES)
    assert len(pickle.dumps(extractor)) < size + 1000
    loaded = pickle.loads(pickle.dumps(extractor))
    np.testing.assert_array_equal(loaded.transform(IMAGES), expected)
    monkeypatch.delattr(GRAPHS[engine], "__init__")
    np.testing.assert_array_equal(extractor.transform(IMAGES), expected)


@pytest.mark.slow
def test_in_processes_of_joblib(fitted, engine):
    extractor = with_parameters(fitted, engine=engine, n_jobs=1)
    work = (joblib.delayed(extractor.transform)(IMAGES) for _ in range(2))
    for found in joblib.Parallel(n_jobs=2)(work):
        assert (differences(found, fitted.transform(IMAGES)) < 1e-4).all()


def test_two_threads_at_once(fitted, engine):
    extractor = with_parameters(fitted, engine=engine)
    expected = extractor.transform(IMAGES)
    extractor, found, barrier = pickle.loads(pickle.dumps(extractor)), [], threading.Barrier(2)

    def work():
        barrier.wait()
        found.append(extractor.transform(IMAGES))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    for one in found:
        np.testing.assert_array_equal(one, expected)


def test_requests_are_as_many_as_threads(fitted):
    pytest.importorskip("openvino")
    extractor = with_parameters(fitted, engine="openvino", n_jobs=2, batch_size=1)
    extractor.transform(IMAGES * 5)
    network = extractor._steps().network
    with execution(2, False):
        extractor.transform(IMAGES * 5)
    assert 1 <= len(network.graph._idle) <= 2


def test_nothing_is_reported_to_anyone(fitted, monkeypatch):
    pytest.importorskip("openvino")
    from openvino_telemetry import Telemetry

    def fail(*args, **kwargs):
        raise AssertionError("reported")

    for name in ("start_session", "send_event", "send_error"):
        monkeypatch.setattr(Telemetry, name, fail)
    extractor = with_parameters(fitted, engine="openvino")
    assert np.isfinite(extractor.transform(IMAGES)).all()


# What it refuses


@pytest.mark.parametrize("engine", GRAPHS)
def test_without_the_package(missing, fitted, engine):
    with pytest.raises(ValueError, match=rf"pip install 'skpatch\[{engine}\]'"):
        PatchFeatureExtractor(engine=engine).fit(IMAGES)
    with pytest.raises(ValueError, match=rf"pip install 'skpatch\[{engine}\]'"):
        with_parameters(fitted, engine=engine).transform(IMAGES)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dtype": "float16"}, "dtype='float16'.* float32 or bfloat16"),
        ({"engine": "onnx", "dtype": "bfloat16"}, "dtype='bfloat16'.* in float32 on a CPU"),
        ({"engine": "onnx", "dtype": "float16"}, "dtype='float16'.* in float32 on a CPU"),
        pytest.param(
            {"device": "cuda"},
            "device='cuda'",
        ),
        ({"engine": "abacus"}, "'engine' parameter"),
    ],
    ids=str,
)
def test_what_it_does_not_do(fitted, parameters, message):
    parameters = {"engine": "openvino", **parameters}
    with pytest.raises(ValueError, match=message):
        small_extractor(**parameters).fit(IMAGES)


def test_the_cpu_by_name(fitted, engine):
    expected = with_parameters(fitted, engine=engine).transform(IMAGES)
    extractor = with_parameters(fitted, engine=engine, device="cpu")
    np.testing.assert_array_equal(extractor.transform(IMAGES), expected)


def test_an_operation_that_no_engine_but_torch_knows(engine):
    extractor = PatchFeatureExtractor(
        backbone=Strange(), layers=["pixels.negative"], image_size=32, engine=engine
    ).fit(IMAGES)
    with pytest.raises(ValueError, match=rf"engine='{engine}' cannot run this network: .*bessel"):
        extractor.transform(IMAGES)
    assert extractor.set_params(engine="torch").transform(IMAGES).shape[-1] == 2


# Saved models


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    model = make_pipeline(
        PatchFeatureExtractor(image_size=32, engine="openvino"),
        SoftPatchDetector(random_state=0),
    )
    path = tmp_path_factory.mktemp("models") / "model.skpatch"
    save(model.fit(IMAGES), path)
    return path


def test_saved_with_the_model(model_file):
    assert load(model_file)[0].engine == "openvino"


def test_a_model_is_saved_only_with_an_engine_that_is_here(model_file, missing, tmp_path):
    with pytest.warns(UserWarning, match="is not installed here"):
        model = load(model_file)
    model[0].engine = "openvino"
    with pytest.raises(ValueError, match=r"pip install 'skpatch\[openvino\]'"):
        save(model, tmp_path / "model.skpatch")
    assert not (tmp_path / "model.skpatch").exists()


def test_a_model_is_loaded_without_its_engine(model_file, missing):
    with pytest.warns(UserWarning, match="engine='openvino', which is not installed") as caught:
        model = load(model_file)
    assert len(caught) == 1
    assert model[0].engine == "torch"
    assert np.isfinite(model.score_samples(IMAGES)).all()


def test_models_from_before_there_were_engines(model_file, tmp_path):
    header, body, _ = parts(model_file.read_bytes())
    del header["content"]["model"]["extractor"]["params"]["engine"]
    write(tmp_path / "old.skpatch", header, body)
    assert load(tmp_path / "old.skpatch")[0].engine == "torch"


# On the command line


@pytest.mark.slow
def test_command_line(photos, tmp_path):
    model, table = tmp_path / "model.skpatch", tmp_path / "table.csv"
    assert run("fit", photos, "-o", model, "--engine", "openvino", *SMALL, "-q") == 0
    assert load(model)[0].engine == "openvino"
    scores = []
    for engine in ([], ["--engine", "openvino"], ["--engine", "torch"]):
        assert run("score", model, photos, "-o", table, *engine, "-q") == 0
        scores.append([float(row["score"]) for row in read_csv(table)])
    assert scores[0] == scores[1]
    np.testing.assert_allclose(scores[0], scores[2], rtol=1e-3)


def test_command_line_without_the_package(photos, tmp_path, missing, capsys):
    model = tmp_path / "model.skpatch"
    assert run("fit", photos, "-o", model, "--engine", "openvino") == 1
    assert "pip install 'skpatch[openvino]'" in capsys.readouterr().err
    assert not model.exists()
