# SPDX-License-Identifier: BSD-3-Clause
import pickle
import struct

import numpy as np
import pytest
from _persistence import parts, saved, write
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline as sklearn_make_pipeline

from skpatch import ExactNeighbors, PatchPipeline, SoftPatchDetector, load, save
from skpatch.persistence import container as container

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
        (set_entry("content", "model", "params", "metric", "manhattan"), "'metric' parameter"),
        (set_entry("content", "model", "params", []), ""),
        (set_entry("content", "model", "neighbors_", "class", "eval"), "part 'eval'"),
        (
            set_entry(
                "content", "model", "neighbors_", {"class": "LOFDiscriminator", "params": {}}
            ),
            "is none",
        ),
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


def test_a_search_is_refused_with_the_name_of_its_model(tmp_path):
    features = np.random.RandomState(0).normal(size=(40, 3, 3, 4)).astype(np.float32)
    search = GridSearchCV(
        SoftPatchDetector(random_state=0), {"contamination": [0.1]}, scoring=lambda *_: 0, cv=2
    )
    with pytest.raises(ValueError, match="can be saved; got GridSearchCV"):
        save(search, tmp_path / "model.skpatch")
    with pytest.raises(ValueError, match="such as the best_estimator_ of this GridSearchCV"):
        save(search.fit(features), tmp_path / "model.skpatch")
    with pytest.raises(ValueError, match="such as the estimator of this FrozenEstimator"):
        save(FrozenEstimator(search.best_estimator_), tmp_path / "model.skpatch")
    save(search.best_estimator_, tmp_path / "model.skpatch")


def test_parameters_of_the_network_changed_after_fit(model, tmp_path):
    model[0].set_params(patch_size=5)
    try:
        with pytest.raises(ValueError, match="patch_size=5 was 'auto' when"):
            save(model, tmp_path / "model.skpatch")
    finally:
        model[0].set_params(patch_size="auto")


@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_failure_leaves_the_old_file(small, patches, monkeypatch, name):
    path, content = small

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(f"skpatch.runtime.files.os.{name}", fail)
    with pytest.raises(OSError, match="no space left"):
        save(SoftPatchDetector().fit(patches), path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]
