# SPDX-License-Identifier: BSD-3-Clause
import pickle
import subprocess
import sys
from dataclasses import replace

import joblib
import numpy as np
import pytest
import torch
from _persistence import assert_same, parts, saved, write
from sklearn.base import clone
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
from skpatch.datasets import make_contaminated_images
from skpatch.detector.estimator import fitted_state, restore


@pytest.fixture(scope="module")
def images():
    return make_contaminated_images(14, 2, image_size=64, random_state=0).images


@pytest.fixture(scope="module")
def model(images):
    extractor = PatchFeatureExtractor(image_size=64)
    return make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(images)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"discriminator": None},
        {"discriminator": "fusion"},
        {"discriminator": "lof", "metric": "sqeuclidean", "n_neighbors": 3, "contamination": 0.1},
        {"discriminator": LOFDiscriminator(n_neighbors=4), "noise_threshold": np.float64(0.2)},
        {"discriminator": FusionDiscriminator(discriminators=("lof", GaussianDiscriminator()))},
        {"metric": "cosine", "n_neighbors": 2},
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
    "params",
    [
        {},
        {"discriminator": None},
        {"projection_dim": 4},
        {"soft_weights": False},
        {"metric": "cosine"},
    ],
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
    assert detector.neighbors_.bounds_.reduced
    loaded = saved(detector, tmp_path)
    queries = rng.normal(size=(5, 2, 3, 64)).astype(np.float32)
    coordinates = (one.neighbors_.prepare(queries.reshape(-1, 64))[1] for one in (loaded, detector))
    np.testing.assert_array_equal(*coordinates)
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
    np.testing.assert_array_equal(
        loaded[0].get_feature_names_out(), model[0].get_feature_names_out()
    )
    for method in ("score_samples", "predict_map", "predict_pvalue"):
        np.testing.assert_array_equal(
            getattr(loaded, method)(images[:5]), getattr(model, method)(images[:5])
        )
    first, second = loaded.audit(images), model.audit(images)
    np.testing.assert_array_equal(first.patch_scores, second.patch_scores)
    np.testing.assert_array_equal(first.inspection.matches(1), second.inspection.matches(1))
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
    state = replace(fitted_state(detector), calibration_scores=np.empty(0))
    restore(detector, state, detector.n_features_in_)
    assert_same(saved(detector, tmp_path), detector)


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
    loaded = load(path, backbone=module(2), weights=weights)
    np.testing.assert_array_equal(loaded.score_samples(images), expected)
    moved = weights.rename(tmp_path / "moved.pth")
    with pytest.raises(FileNotFoundError, match=r"model\.skpatch'.*weights\.pth' is not a file"):
        load(path, backbone=module(2), weights=weights)
    loaded = load(path, backbone=module(2), weights=moved)
    np.testing.assert_array_equal(loaded.score_samples(images), expected)
    torch.save(module(3).state_dict(), moved)
    with pytest.raises(ValueError, match="the network has other weights"):
        load(path, backbone=module(2), weights=moved)


@pytest.mark.filterwarnings("ignore:.*unlike the rest")
@pytest.mark.parametrize("random_state", [3, np.random.RandomState(3)])
def test_random_weights(images, tmp_path, random_state):
    model = fit_with(images, weights=None, layers="features.1", random_state=random_state)
    loaded = saved(model, tmp_path)
    np.testing.assert_array_equal(loaded.score_samples(images), model.score_samples(images))


def test_other_weights_of_a_name(model, tmp_path, monkeypatch):
    save(model, tmp_path / "model.skpatch")

    def load_zeros(module):
        state = {name: torch.zeros_like(v, device="cpu") for name, v in module.state_dict().items()}
        module.load_state_dict(state, assign=True)

    monkeypatch.setattr("skpatch.networks.backbones._load_lite0", load_zeros)
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


def test_a_file_of_before_scores_as_it_did(patches, queries, tmp_path):
    """0.1.0.dev0 took the mean of the worst patches alone, and learned the threshold from that."""
    detector = SoftPatchDetector(worst_patches=0.006, random_state=0).fit(patches)
    save(detector, tmp_path / "model.skpatch")
    header, body, _ = parts((tmp_path / "model.skpatch").read_bytes())
    content = header["content"]["model"]
    assert content.pop("peak_share_") == 0
    content["params"]["worst_patches"] = "auto"
    write(tmp_path / "before.skpatch", header, body)
    loaded = saved(load(tmp_path / "before.skpatch"), tmp_path)
    assert (loaded.worst_patches, loaded.peak_share_) == ("auto", 0)
    np.testing.assert_array_equal(loaded.score_samples(queries), detector.score_samples(queries))
    # An update scores all images anew.
    assert loaded.partial_fit(queries).peak_share_ == 0.85
    assert saved(loaded, tmp_path).peak_share_ == 0.85
