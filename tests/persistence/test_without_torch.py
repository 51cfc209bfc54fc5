# SPDX-License-Identifier: BSD-3-Clause
"""Models that were saved with another engine than torch, where torch is not installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _cli import read_csv, run
from _networks import small_extractor, small_network
from _persistence import parts, write
from _photographs import IMAGES, photographs
from PIL import Image

from skpatch import PatchFeatureExtractor, SoftPatchDetector, load, make_pipeline, save
from skpatch.engines.choosing import ENGINES
from skpatch.persistence import extractors

pytestmark = pytest.mark.usefixtures("one_thread")
for package in ("openvino", "onnxruntime", "onnx"):
    pytest.importorskip(package)

# P-values of training images jump by a rank where their scores are rounded otherwise.
NEW = photographs(*[(70, 80)] * 5, seed=1)
SCRIPT = Path(__file__).parents[1] / "_without_torch.py"
MASK = np.arange(80) < np.full((70, 1), 55)
EXTRACTORS = {
    "default_openvino": lambda: PatchFeatureExtractor(image_size=64, engine="openvino"),
    "default_onnx": lambda: PatchFeatureExtractor(image_size=64, engine="onnx"),
    "tiles_openvino": lambda: small_extractor(
        image_size=(320, 400), tile_size=304, engine="openvino"
    ),
    "tiles_onnx": lambda: small_extractor(image_size=(320, 400), tile_size=304, engine="onnx"),
    "pooled_openvino": lambda: small_extractor(image_size=64, embedding_dim=5, engine="openvino"),
    "pooled_onnx": lambda: small_extractor(
        image_size=64, embedding_dim=5, region=MASK, engine="onnx"
    ),
    "torch": lambda: small_extractor(image_size=64),
}
OTHERS = [name for name in EXTRACTORS if name != "torch"]


@pytest.fixture(scope="module")
def models():
    """Fitted pipelines by name."""
    return {
        name: make_pipeline(extractor(), SoftPatchDetector(random_state=0)).fit(IMAGES)
        for name, extractor in EXTRACTORS.items()
    }


@pytest.fixture(scope="module")
def folder(models, tmp_path_factory):
    """Folder of saved models, and of what they say without torch."""
    folder = tmp_path_factory.mktemp("without_torch")
    for name, model in models.items():
        save(model, folder / f"{name}.skpatch")
    (folder / "photographs").mkdir()
    for number, image in enumerate(NEW):
        Image.fromarray(image).save(folder / "photographs" / f"{number}.png")
    np.save(folder / "images.npy", NEW)
    paths = [folder / f"{name}.skpatch" for name in models]
    subprocess.run([sys.executable, SCRIPT, folder / "images.npy", *paths], check=True)
    return folder


@pytest.mark.parametrize("name", OTHERS)
def test_what_they_say_is_what_torch_says(models, folder, name):
    model, found = models[name], np.load(folder / f"{name}.npz")
    model[0].set_params(engine="torch")
    features = model[0].transform(NEW)
    largest = np.nanmax(np.abs(features))
    np.testing.assert_allclose(found["features"], features, atol=1e-4 * largest)
    for method in ("score_samples", "predict_map"):
        np.testing.assert_allclose(found[method], getattr(model, method)(NEW), rtol=1e-4)
    for method in ("predict", "predict_pvalue"):
        np.testing.assert_array_equal(found[method], getattr(model, method)(NEW))
    assert found["names"].tolist() == model[0].get_feature_names_out().tolist()


@pytest.mark.parametrize("name", OTHERS)
def test_the_command_line_says_the_same(models, folder, name):
    scores = [float(row["score"]) for row in read_csv(folder / f"{name}.csv")]
    expected = models[name].inspect(NEW).scores
    np.testing.assert_allclose(scores, expected, rtol=1e-3)


@pytest.mark.parametrize("name", OTHERS)
def test_models_that_are_changed_and_saved_without_it_are_models_where_it_is(folder, name):
    backbone = None if name.startswith("default") else small_network()
    model = load(folder / f"{name}.again", backbone=backbone)
    assert model[0].engine == name.rpartition("_")[2]
    assert model[1].forgotten_images_.tolist() == [True] + [False] * 6
    expected = load(folder / f"{name}.skpatch", backbone=backbone).forget([0])
    np.testing.assert_allclose(model.score_samples(NEW), expected.score_samples(NEW), rtol=1e-4)


def test_a_model_of_torch_says_how_to_save_it(folder):
    said = (folder / "torch.txt").read_text()
    assert (
        "torch.skpatch' cannot be loaded: its network needs torch, which is not installed" in said
    )
    assert "set_params(engine='onnx')" in said


def test_info_says_that_the_network_is_in_the_file(folder, capsys):
    assert run("info", folder / "default_onnx.skpatch") == 0
    assert "efficientnet_lite0, onnx; in the file, so that it needs no" in capsys.readouterr().out
    assert run("info", folder / "torch.skpatch") == 0
    assert "in the file" not in capsys.readouterr().out


def test_weights_are_in_the_file_once(models, folder):
    n_weights = sum(one.numel() for one in models["default_onnx"][0].model_.parameters())
    detector = models["default_onnx"][1]
    save(detector, folder / "detector.skpatch")
    size = (folder / "detector.skpatch").stat().st_size
    for name in ("default_onnx", "default_openvino"):
        more = (folder / f"{name}.skpatch").stat().st_size - size
        assert 4 * n_weights < more < 4 * n_weights + 400_000


# What a file may hold. Where torch is installed the network in it is not used.


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setattr(extractors, "has_torch", lambda: False)


@pytest.fixture(params=["openvino", "onnx"])
def path(request, folder):
    return folder / f"pooled_{request.param}.skpatch"


@pytest.fixture
def changed(path, tmp_path):
    """Write a model again, its JSON and arrays changed."""

    def change(arrays=None, **network):
        header, body, places = parts(path.read_bytes())
        header["content"]["model"]["extractor"]["network"].update(network)
        changed = {name: body[place] for name, place in places.items()} | (arrays or {})
        for described in header["arrays"]:
            if described[0] in (arrays or {}):
                described[2] = [len(changed[described[0]])]
        write(tmp_path / "changed.skpatch", header, b"".join(changed.values()))
        return tmp_path / "changed.skpatch"

    return change


def test_other_parameters_without_torch(without_torch, path):
    model = load(path)
    assert not hasattr(model[0], "model_")
    for engine in ENGINES.keys() - {model[0].engine}:
        with pytest.raises(ValueError, match=f"engine='{engine}': torch is not installed here"):
            model[0].set_params(engine=engine).transform(IMAGES)


@pytest.mark.parametrize(
    "network",
    [
        {"engine": "torch"},
        {"engine": "abacus"},
        {"engine": None},
        {"margin": -1},
        {"margin": 1.5},
        {"margin": 64},
    ],
    ids=str,
)
def test_networks_for_no_engine_are_refused(without_torch, changed, network):
    with pytest.raises(ValueError, match=r"changed\.skpatch' cannot be loaded"):
        load(changed(**network))


def test_damaged_networks_are_refused(without_torch, changed, path):
    content = parts(path.read_bytes())
    part = content[1][content[2]["network.0"]]
    for damaged in (b"", part[:100], part[:-20], b"<?xml version='1.0'?><net/>", b"\x08\x09"):
        with pytest.raises(ValueError, match=r"changed\.skpatch' cannot be loaded"):
            load(changed({"network.0": damaged}))


def test_networks_of_other_features_are_refused(without_torch, folder, tmp_path):
    header, body, places = parts((folder / "default_onnx.skpatch").read_bytes())
    other, places_of_other = parts((folder / "pooled_onnx.skpatch").read_bytes())[1:]
    arrays = {name: body[place] for name, place in places.items()}
    arrays["network.0"] = other[places_of_other["network.0"]]
    for described in header["arrays"]:
        if described[0] == "network.0":
            described[2] = [len(arrays["network.0"])]
    write(tmp_path / "other.skpatch", header, b"".join(arrays.values()))
    with pytest.raises(ValueError, match="not that of its detector"):
        load(tmp_path / "other.skpatch")


@pytest.mark.parametrize("place", ["weights.bin", "/weights.bin", "../weights.bin"])
def test_files_that_a_network_names_are_not_opened(
    without_torch, folder, tmp_path, monkeypatch, place
):
    import onnx

    header, body, places = parts((folder / "pooled_onnx.skpatch").read_bytes())
    arrays = {name: body[place] for name, place in places.items()}
    model = onnx.load_from_string(arrays["network.0"])
    weights = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    (tmp_path / "inside").mkdir()
    for where in (tmp_path, tmp_path / "inside"):
        (where / "weights.bin").write_bytes(weights.raw_data)
    monkeypatch.chdir(tmp_path / "inside")
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", place if place[0] != "/" else f"{tmp_path}{place}"
    arrays["network.0"] = model.SerializeToString()
    for described in header["arrays"]:
        if described[0] == "network.0":
            described[2] = [len(arrays["network.0"])]
    write(tmp_path / "named.skpatch", header, b"".join(arrays.values()))
    with pytest.raises(ValueError, match=r"cannot read its network.*xternal data path"):
        load(tmp_path / "named.skpatch")


def test_old_models_of_other_engines_have_no_network(without_torch, path, tmp_path):
    header, body, places = parts(path.read_bytes())
    del header["content"]["model"]["extractor"]["network"]
    kept = [
        one for one in header["arrays"] if one[0].partition(".")[0] not in ("network", "embedding")
    ]
    header["arrays"] = kept
    write(tmp_path / "old.skpatch", header, b"".join(body[places[name]] for name, *_ in kept))
    with pytest.raises(ValueError, match="its network needs torch"):
        load(tmp_path / "old.skpatch")
