# SPDX-License-Identifier: BSD-3-Clause
import hashlib
import io
import json
import pickle
import struct
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline as sklearn_make_pipeline
from torch import nn

import skpatch
from skpatch import (
    ExactNeighbors,
    FusionDiscriminator,
    GaussianDiscriminator,
    LOFDiscriminator,
    PatchFeatureExtractor,
    PatchPipeline,
    PyNNDescentNeighbors,
    SoftPatchDetector,
    load,
    make_pipeline,
    save,
)
from skpatch import _container as container
from skpatch.datasets import make_contaminated_images

LEARNED = [
    "memory_bank_",
    "memory_weights_",
    "memory_reaches_",
    "memory_source_",
    "noise_scores_",
    "kept_",
    "trusted_images_",
    "forgotten_images_",
    "training_scores_",
    "calibration_scores_",
    "coreset_radius_",
    "grid_shape_",
    "n_features_in_",
    "offset_",
]


@pytest.fixture(scope="module")
def images():
    return make_contaminated_images(14, 2, image_size=64, random_state=0).images


@pytest.fixture(scope="module")
def model(images):
    extractor = PatchFeatureExtractor(image_size=64)
    return make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(images)


@pytest.fixture(scope="module")
def queries():
    return np.random.RandomState(7).normal(size=(9, 5, 6, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def graph_detector(patches):
    """Compiles pynndescent's builder, which takes most of a minute."""
    search = PyNNDescentNeighbors(graph_neighbors=10, epsilon=0.2)
    detector = SoftPatchDetector(neighbors=search, coreset_size=0.5, random_state=0).fit(patches)
    assert detector.neighbors_.index_ is not None
    return detector


@pytest.fixture
def small(tmp_path):
    """A small file and its bytes."""
    patches = np.random.RandomState(0).normal(size=(12, 2, 2, 3)).astype(np.float32)
    path = tmp_path / "small.skpatch"
    save(SoftPatchDetector(random_state=0).fit(patches), path)
    return path, path.read_bytes()


def saved(model, tmp_path, **given):
    path = tmp_path / "model.skpatch"
    save(model, path)
    return load(path, **given)


def assert_same(first, second, names=LEARNED):
    for name in names:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
        assert type(getattr(first, name)) is type(getattr(second, name))
    assert plain(first.get_params()) == plain(second.get_params())


def plain(params):
    """Parameters as texts, numpy's numbers as Python's."""
    return {
        name: repr(value.item() if isinstance(value, np.generic) else value)
        for name, value in params.items()
        if not hasattr(value, "get_params")
    }


def write(path, header, body):
    """A file whose SHA-256 is right."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    prefix = struct.pack("<8sQQ", b"\x89skpatch", 1, len(text))
    path.write_bytes(prefix + hashlib.sha256(prefix + text + body).digest() + text + body)


def parts(content):
    """Header and arrays of a file, and the arrays' places in it."""
    (length,) = struct.unpack("<Q", content[16:24])
    header, body = json.loads(content[56 : 56 + length]), content[56 + length :]
    places, start = {}, 0
    for name, dtype, shape in header["arrays"]:
        stop = start + np.dtype(dtype).itemsize * int(np.prod(shape))
        places[name] = slice(start, stop)
        start = stop
    return header, body, places


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"discriminator": None},
        {"discriminator": "lof", "metric": "sqeuclidean", "n_neighbors": 3, "contamination": 0.1},
        {"discriminator": LOFDiscriminator(n_neighbors=4), "noise_threshold": np.float64(0.2)},
        {"discriminator": FusionDiscriminator(discriminators=("lof", GaussianDiscriminator()))},
        {"neighbors": ExactNeighbors(), "coreset_size": np.int64(50), "soft_weights": False},
        {"neighbors": PyNNDescentNeighbors(graph_neighbors=300), "projection_dim": 4},
    ],
)
def test_detector_round_trip(patches, queries, tmp_path, params):
    detector = SoftPatchDetector(random_state=0, **params).fit(patches)
    loaded = saved(detector, tmp_path)
    assert type(loaded) is SoftPatchDetector
    assert_same(loaded, detector)
    for method in ("score_samples", "predict", "predict_map", "predict_pvalue", "match"):
        np.testing.assert_array_equal(
            getattr(loaded, method)(queries), getattr(detector, method)(queries), err_msg=method
        )
    assert loaded.discriminator_ is None
    again = clone(loaded).fit(patches)
    np.testing.assert_array_equal(again.memory_bank_, detector.memory_bank_)


@pytest.mark.parametrize(
    "params", [{}, {"discriminator": None}, {"projection_dim": 4}, {"soft_weights": False}]
)
def test_updates_after_loading(patches, queries, tmp_path, params):
    detector = SoftPatchDetector(random_state=0, **params).fit(patches).forget([1])
    loaded = saved(detector, tmp_path)
    scores = [
        one.partial_fit(queries).forget([2]).score_samples(queries) for one in (detector, loaded)
    ]
    np.testing.assert_array_equal(*scores)
    assert_same(loaded, detector)


def test_few_principal_axes(tmp_path):
    """The bounds of a large bank are along axes that the file has to hold."""
    rng = np.random.RandomState(0)
    patches = rng.normal(size=(700, 2, 3, 64)).astype(np.float32) / np.arange(1, 65, dtype="f4")
    detector = SoftPatchDetector(discriminator=None, coreset_size=1.0, random_state=0).fit(patches)
    assert detector.neighbors_._bounds.reduced
    loaded = saved(detector, tmp_path)
    np.testing.assert_array_equal(
        loaded.neighbors_._coordinates[0], detector.neighbors_._coordinates[0]
    )
    queries = rng.normal(size=(5, 2, 3, 64)).astype(np.float32)
    np.testing.assert_array_equal(loaded.score_samples(queries), detector.score_samples(queries))


def test_two_dimensional_patches_and_names(tmp_path):
    points = np.random.RandomState(0).normal(size=(50, 2))
    detector = SoftPatchDetector(random_state=0).fit(points)
    loaded = saved(detector, tmp_path)
    np.testing.assert_array_equal(loaded.score_samples(points), detector.score_samples(points))
    assert not hasattr(loaded, "feature_names_in_")
    detector.feature_names_in_ = np.array(["a", "b"], dtype=object)
    assert_same(saved(detector, tmp_path), detector, ["feature_names_in_"])


def test_pipeline_round_trip(model, images, tmp_path):
    loaded = saved(model, tmp_path)
    assert type(loaded) is PatchPipeline
    assert_same(loaded[-1], model[-1])
    assert_same(loaded[0], model[0], ["layers_", "image_size_", "grid_size_", "n_features_out_"])
    assert loaded.get_params().keys() == model.get_params().keys()
    np.testing.assert_array_equal(loaded[0].get_feature_names_out(), model[0]._feature_names)
    for method in ("score_samples", "predict_map", "predict_pvalue"):
        np.testing.assert_array_equal(
            getattr(loaded, method)(images[:5]), getattr(model, method)(images[:5])
        )
    first, second = loaded.audit(images), model.audit(images)
    np.testing.assert_array_equal(first.patch_scores, second.patch_scores)
    np.testing.assert_array_equal(first.match(images[:2]), second.match(images[:2]))
    np.testing.assert_array_equal(first.maps([3]), second.maps([3]))
    for one in (loaded, model):
        one.set_params(softpatchdetector__contamination=0.3)
    assert loaded[-1].offset_ == model[-1].offset_
    model.set_params(softpatchdetector__contamination="auto")


@pytest.mark.slow
def test_fresh_process(model, images, tmp_path):
    save(model, tmp_path / "model.skpatch")
    np.save(tmp_path / "images.npy", images[:5])
    code = (
        "import sys, numpy as np, skpatch; folder = sys.argv[1];"
        "images = np.load(folder + '/images.npy');"
        "model = skpatch.load(folder + '/model.skpatch');"
        "np.savez(folder + '/found.npz', scores=model.score_samples(images),"
        "maps=model.predict_map(images), pvalues=model.predict_pvalue(images))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_array_equal(found["scores"], model.score_samples(images[:5]))
    np.testing.assert_array_equal(found["maps"], model.predict_map(images[:5]))
    np.testing.assert_array_equal(found["pvalues"], model.predict_pvalue(images[:5]))


def test_saved_twice_is_the_same_file(model, tmp_path):
    for name in ("first", "second"):
        save(model, tmp_path / name)
    save(load(tmp_path / "first"), tmp_path / "third")
    contents = {(tmp_path / name).read_bytes() for name in ("first", "second", "third")}
    assert len(contents) == 1


def test_loaded_models_pickle_and_clone(model, images, tmp_path):
    loaded = saved(model, tmp_path)
    joblib.dump(loaded, tmp_path / "model.joblib")
    for copied in (joblib.load(tmp_path / "model.joblib"), clone(loaded).fit(images)):
        np.testing.assert_array_equal(copied.score_samples(images), model.score_samples(images))
    assert_same(saved(pickle.loads(pickle.dumps(model)), tmp_path)[-1], model[-1])


def test_what_is_not_saved(images, tmp_path):
    extractor = PatchFeatureExtractor(
        layers="features.1", image_size=(64, 64), output=tmp_path / "features.npy"
    )
    detector = SoftPatchDetector(random_state=np.random.RandomState(0))
    model = make_pipeline(extractor, detector, memory=str(tmp_path / "memory")).fit(images)
    loaded = saved(model, tmp_path)
    assert loaded.memory is None
    assert loaded[0].output is None
    assert loaded[-1].random_state is None
    assert loaded[0].image_size == (64, 64)
    np.testing.assert_array_equal(loaded.score_samples(images), model.score_samples(images))


def test_a_file_cannot_choose_where_features_are_written(model, tmp_path):
    path = tmp_path / "model.skpatch"
    save(model, path)
    header, body, _ = parts(path.read_bytes())
    header["content"]["model"]["extractor"]["params"]["output"] = str(tmp_path / "own.npy")
    write(path, header, body)
    assert load(path)[0].output is None


def test_without_calibration_scores(tmp_path):
    detector = SoftPatchDetector(discriminator=None, coreset_size=1)
    detector.fit(np.zeros((2, 3), np.float32))
    detector.calibration_scores_ = np.empty(0)
    assert_same(saved(detector, tmp_path), detector)


# --- the search graph


@pytest.mark.slow
def test_graph_round_trip(graph_detector, queries, tmp_path):
    loaded = saved(graph_detector, tmp_path)
    assert_same(loaded, graph_detector)
    first, second = loaded.neighbors_, graph_detector.neighbors_
    assert_same(first, second, ["trusted_distance_", "bank_"])
    points = second._exact._bounds.leading(queries.reshape(-1, 16), 48)
    for one, other in zip(
        first.index_.query(points, 5), second.index_.query(points, 5), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(loaded.predict_map(queries), graph_detector.predict_map(queries))
    assert_same(saved(loaded, tmp_path), graph_detector)
    assert_same(pickle.loads(pickle.dumps(loaded)), graph_detector)


@pytest.mark.slow
def test_graph_in_a_fresh_process(graph_detector, queries, tmp_path):
    """It is not built anew, and so the builder is not compiled."""
    save(graph_detector, tmp_path / "model.skpatch")
    np.save(tmp_path / "queries.npy", queries)
    code = (
        "import sys, numpy as np, pynndescent, skpatch; folder = sys.argv[1];"
        "pynndescent.pynndescent_.nn_descent = None;"
        "model = skpatch.load(folder + '/model.skpatch');"
        "maps = model.predict_map(np.load(folder + '/queries.npy'));"
        "np.save(folder + '/found.npy', maps)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_array_equal(found, graph_detector.predict_map(queries))


@pytest.mark.slow
def test_graph_of_another_pynndescent(graph_detector, queries, tmp_path, monkeypatch):
    save(graph_detector, tmp_path / "model.skpatch")
    monkeypatch.setattr("pynndescent.__version__", "0.99")
    with pytest.warns(UserWarning, match=r"0\.99 is installed: it is built anew") as caught:
        loaded = load(tmp_path / "model.skpatch")
    assert caught[0].filename == __file__
    assert loaded.neighbors_.index_ is not None
    np.testing.assert_allclose(
        loaded.score_samples(queries), graph_detector.score_samples(queries), rtol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "row", "value"),
    [
        ("graph.order", 0, 600),
        ("graph.leaves", 5, 0),
        ("graph.starts", 0, 1),
        ("graph.starts", 3, 2**30),
        ("graph.targets", 9, -1),
        ("graph.targets", 9, 10**6),
        ("graph.children", 0, 0),
        ("graph.children", 1, 10**6),
        ("graph.children", -1, -(10**6)),
    ],
)
def test_graph_that_leads_out_of_the_arrays(graph_detector, tmp_path, name, row, value):
    path = tmp_path / "model.skpatch"
    save(graph_detector, path)
    header, body, places = parts(path.read_bytes())
    array = np.frombuffer(body[places[name]], "<i4").copy()
    array[row] = value
    write(path, header, body[: places[name].start] + array.tobytes() + body[places[name].stop :])
    with pytest.raises(ValueError, match=r"model\.skpatch.*search graph is inconsistent"):
        load(path)


# --- files that are refused


def test_any_flipped_byte_is_refused(small):
    path, content = small
    body = parts(content)[1]
    n_header = len(content) - len(body)
    rng = np.random.RandomState(0)
    tail = rng.choice(np.arange(n_header, len(content)), 300, replace=False)
    for position in [*range(n_header), *tail, len(content) - 1]:
        changed = bytearray(content)
        changed[position] ^= rng.randint(1, 256)
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"small\.skpatch' cannot be loaded"):
            load(path)
    path.write_bytes(content)
    load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"", "not a model saved"),
        (lambda content: content[:30], "incomplete"),
        (lambda content: content[:200], "incomplete"),
        (lambda content: content[:-1], "damaged or incomplete"),
        (lambda content: content + b"\0", "damaged or incomplete"),
        (lambda content: pickle.dumps([1, 2]), "not a model saved"),
        (lambda content: content[:8] + struct.pack("<Q", 2) + content[16:], "has version 2"),
        (lambda content: content[:16] + b"\xff" * 8 + content[24:], "damaged or incomplete"),
    ],
)
def test_other_files_are_refused(small, change, message):
    path, content = small
    path.write_bytes(change(content))
    with pytest.raises(ValueError, match=rf"small\.skpatch' cannot be loaded: .*{message}"):
        load(path)


def set_shape(name, shape, dtype=None):
    def change(header):
        (entry,) = (entry for entry in header["arrays"] if entry[0] == name)
        entry[1:] = [dtype or entry[1], shape]

    return change


def set_entry(*keys):
    *keys, last, value = keys

    def change(header):
        place = header
        for key in keys:
            place = place[key]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_shape("memory_bank_", [2**40, 2**40]), "the file is too short"),
        (set_shape("memory_bank_", [2**40, 0]), "the file is too short"),
        (set_shape("memory_bank_", [400, 400]), "arrays take .* bytes"),
        (set_shape("memory_bank_", [-1, 3]), "the file is too short"),
        (set_shape("memory_bank_", [True, 3]), "the file is too short"),
        (set_shape("memory_bank_", [3], "|O"), "has the type '|O'"),
        (set_shape("trusted_images_", [3, 4]), r"'trusted_images_' is bool \(3, 4\)"),
        (set_shape("noise_scores_", [12, 4, 1]), r"'kept_' has the shape \(12, 2, 2\)"),
        (set_shape("noise_scores_", [48, 1], "<f8"), "'noise_scores_' is float64"),
        (set_shape("memory_weights_", [8], "<f4"), "'memory_weights_' is float32"),
        (set_shape("bounds.shift", [3, 1]), "'bounds.shift' has the shape"),
        (set_entry("arrays", 0, 0, "bank"), "no array 'memory_bank_'"),
        (set_entry("arrays", 1, 0, "memory_bank_"), "no name of its own"),
        (set_entry("arrays", 0, 0, 5), "no name of its own"),
        (set_entry("arrays", []), "arrays take 0 bytes"),
        (set_entry("arrays", None), "its JSON has"),
        (set_entry("arrays", 5), ""),
        (set_entry("content", "model", 5), "its JSON has int"),
        (set_entry("content", "class", "Popen"), "class 'Popen'"),
        (set_entry("content", "class", "PatchPipeline"), "its JSON has"),
        (set_entry("content", "model", "more", 5), "its JSON has"),
        (set_entry("content", "model", "search", None), "its JSON has"),
        (set_entry("content", "model", "search", "reduced", True), "no array 'bounds.axes'"),
        (set_entry("content", "model", "coreset_radius_", "far"), "could not convert"),
        (set_entry("content", "model", "params", "speed", 3), r"no parameters \['speed'\]"),
        (set_entry("content", "model", "params", "metric", "cosine"), "'metric' parameter"),
        (set_entry("content", "model", "params", []), ""),
        (set_entry("content", "model", "neighbors_", "class", "eval"), "part 'eval'"),
        (set_entry("content", "model", "neighbors_", "class", "LOFDiscriminator"), "is none"),
        (set_entry("content", "model", "feature_names_in_", ["a"]), "names of features"),
    ],
)
def test_wrong_content_is_refused(small, change, message):
    path, content = small
    header, body, _ = parts(content)
    change(header)
    write(path, header, body)
    with pytest.raises(ValueError, match=rf"(?s)small\.skpatch' cannot be loaded: .*{message}"):
        load(path)


@pytest.mark.parametrize("text", [b"{", b"[" * 100_000, b"\xff", b"9" * 10_000, b"null"])
def test_json_that_is_none_is_refused(small, text):
    path, _ = small
    write(path, text, b"")
    with pytest.raises(ValueError, match=r"small\.skpatch' cannot be loaded"):
        load(path)


@pytest.mark.parametrize("name", ["memory_source_", "_worst_rows", "jury.images"])
@pytest.mark.parametrize("number", [-1, 12])
def test_numbers_of_what_does_not_exist_are_refused(small, name, number):
    path, content = small
    header, body, places = parts(content)
    start = places[name].start
    write(path, header, body[:start] + np.int64(number).tobytes() + body[start + 8 :])
    with pytest.raises(ValueError, match=f"{name}' points at what does not exist"):
        load(path)


def test_extra_array_is_refused(small):
    path, content = small
    header, body, _ = parts(content)
    header["arrays"].append(["more", "<f4", [1]])
    write(path, header, body + b"1234")
    with pytest.raises(ValueError, match="unknown arrays: 'more'"):
        load(path)


def test_missing_file_and_folder(tmp_path, model):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.skpatch")
    with pytest.raises(FileNotFoundError, match="folder"):
        save(model, tmp_path / "none" / "model.skpatch")
    with pytest.raises(IsADirectoryError, match="path="):
        save(model, tmp_path)


# --- models that are refused


class OwnNeighbors(BaseEstimator):
    def fit(self, X):
        self.exact_ = ExactNeighbors().fit(X)
        return self

    def kneighbors(self, *arguments):
        return self.exact_.kneighbors(*arguments)


def test_foreign_objects_are_refused(patches, queries, tmp_path):
    detector = SoftPatchDetector(discriminator=IsolationForest(n_estimators=5), random_state=0).fit(
        patches
    )
    with pytest.raises(ValueError, match=r"discriminator=IsolationForest.*discriminator=None"):
        save(detector, tmp_path / "model.skpatch")
    loaded = saved(detector.set_params(discriminator=None), tmp_path)
    np.testing.assert_array_equal(loaded.score_samples(queries), detector.score_samples(queries))
    detector = SoftPatchDetector(neighbors=OwnNeighbors(), soft_weights=False).fit(patches)
    with pytest.raises(ValueError, match=r"neighbors_=OwnNeighbors.*joblib"):
        save(detector, tmp_path / "other.skpatch")
    assert not (tmp_path / "other.skpatch").exists()


def test_other_models_are_refused(model, tmp_path):
    for other in (sklearn_make_pipeline(*model), PatchPipeline(model.steps[:1]), model[0], 5):
        with pytest.raises(ValueError, match="can be saved; got"):
            save(other, tmp_path / "model.skpatch")
    for other in (SoftPatchDetector(), clone(model)):
        with pytest.raises(NotFittedError):
            save(other, tmp_path / "model.skpatch")


def test_parameters_of_the_network_changed_after_fit(model, tmp_path):
    model[0].set_params(patch_size=5)
    try:
        with pytest.raises(ValueError, match="patch_size=5 was 3 when"):
            save(model, tmp_path / "model.skpatch")
    finally:
        model[0].set_params(patch_size=3)


@pytest.mark.parametrize("fails", ["write", "replace"])
def test_failure_leaves_the_old_file(small, patches, monkeypatch, fails):
    path, content = small

    def fail(*_):
        raise OSError("no space left")

    if fails == "replace":
        monkeypatch.setattr("skpatch._output.os.replace", fail)
    else:
        monkeypatch.setattr(container, "open", FailingFile, raising=False)
    with pytest.raises(OSError, match="no space left"):
        save(SoftPatchDetector().fit(patches), path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


class FailingFile(io.FileIO):
    """A file for which there is no space left when half of it is written."""

    def write(self, part):
        if self.tell() > 100:
            raise OSError("no space left")
        return super().write(part)


# --- networks


def module(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1))


@pytest.fixture(scope="module", autouse=True)
def _generator_as_before():
    with torch.random.fork_rng(devices=[]):
        yield


def fit_with(images, **params):
    extractor = PatchFeatureExtractor(image_size=64, **params)
    return make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(images)


def test_own_module(images, tmp_path):
    path = tmp_path / "model.skpatch"
    model = fit_with(images, backbone=module(), layers=["2"])
    save(model, path)
    given = module()
    loaded = load(path, backbone=given)
    np.testing.assert_array_equal(loaded.score_samples(images), model.score_samples(images))
    assert loaded[0].backbone is given
    assert loaded[0].layers == ["2"]
    with pytest.raises(ValueError, match=r"fitted with a module, a Sequential; pass it"):
        load(path)
    with pytest.raises(ValueError, match="the network has other weights"):
        load(path, backbone=module(1))
    with pytest.raises(ValueError, match=r"has no layer '2'"):
        load(path, backbone=module()[:2])
    with pytest.raises(ValueError, match="'backbone' parameter"):
        load(path, backbone=5)


def test_weights_from_a_file(images, tmp_path):
    path, weights = tmp_path / "model.skpatch", tmp_path / "weights.pth"
    torch.save(module().state_dict(), weights)
    model = fit_with(images, backbone=module(1), weights=weights, layers=("0", "2"))
    save(model, path)
    expected = model.score_samples(images)
    loaded = load(path, backbone=module(2))
    np.testing.assert_array_equal(loaded.score_samples(images), expected)
    moved = weights.rename(tmp_path / "moved.pth")
    with pytest.raises(FileNotFoundError, match=r"weights\.pth', which is not a file here"):
        load(path, backbone=module(2))
    loaded = load(path, backbone=module(2), weights=moved)
    np.testing.assert_array_equal(loaded.score_samples(images), expected)
    torch.save(module(3).state_dict(), moved)
    with pytest.raises(ValueError, match="the network has other weights"):
        load(path, backbone=module(2), weights=moved)


@pytest.mark.parametrize("random_state", [3, np.random.RandomState(3)])
def test_random_weights(images, tmp_path, random_state):
    model = fit_with(images, weights=None, layers="features.1", random_state=random_state)
    loaded = saved(model, tmp_path)
    np.testing.assert_array_equal(loaded.score_samples(images), model.score_samples(images))


def test_other_weights_of_a_name(model, tmp_path, monkeypatch):
    save(model, tmp_path / "model.skpatch")
    monkeypatch.setattr("skpatch._backbones._load_lite0", lambda module: None)
    with pytest.raises(ValueError, match=r"model\.skpatch.*the network has other weights"):
        load(tmp_path / "model.skpatch")


def test_arguments_that_do_not_belong_to_the_model(model, small, tmp_path):
    save(model, tmp_path / "model.skpatch")
    with pytest.raises(ValueError, match="network is 'efficientnet_lite0'; leave out"):
        load(tmp_path / "model.skpatch", backbone=module())
    with pytest.raises(ValueError, match="without a network"):
        load(small[0], backbone=module())
    with pytest.raises(ValueError, match="without a network"):
        load(small[0], weights="weights.pth")


def test_public_names():
    assert skpatch.save is skpatch.persistence.save
    assert skpatch.load is skpatch.persistence.load
