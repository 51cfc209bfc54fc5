# SPDX-License-Identifier: BSD-3-Clause
import copy
import inspect
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from _networks import small_extractor, with_parameters
from _photographs import IMAGES, photographs
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from torch import nn

from skpatch import PatchFeatureExtractor, PatchPipeline, SoftPatchDetector, save
from skpatch.features.view import input_views

pytestmark = pytest.mark.usefixtures("one_thread")


# Features on disk


def test_output_equals_memory(fitted, features, tmp_path):
    path = tmp_path / "features.npy"
    for output in (path, str(path)):
        on_disk = with_parameters(fitted, output=output, batch_size=3).transform(IMAGES)
        assert isinstance(on_disk, np.memmap)
        assert on_disk.flags.c_contiguous
        assert on_disk.dtype == np.float32
        np.testing.assert_allclose(on_disk, features, atol=1e-4)
        np.testing.assert_array_equal(np.load(path), on_disk)
        assert os.listdir(tmp_path) == ["features.npy"]


def test_output_in_the_working_folder(fitted, features, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extractor = with_parameters(fitted, output="features.npy")
    np.testing.assert_array_equal(extractor.transform(IMAGES), features)
    assert os.listdir(tmp_path) == ["features.npy"]


def test_earlier_result_survives_a_new_one(fitted, features, tmp_path):
    extractor = with_parameters(fitted, output=tmp_path / "features.npy")
    first = extractor.transform(IMAGES)
    second = extractor.transform(IMAGES[:2])
    assert len(second) == 2
    np.testing.assert_array_equal(first, features)


def test_output_has_ordinary_permissions(fitted, tmp_path):
    with_parameters(fitted, output=tmp_path / "features.npy").transform(IMAGES)
    (tmp_path / "other").touch()
    mode = (tmp_path / "features.npy").stat().st_mode
    assert mode == (tmp_path / "other").stat().st_mode


def test_failure_leaves_the_old_output(fitted, tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    output = folder / "features.npy"
    output.write_bytes(b"earlier")
    damaged = tmp_path / "damaged.jpg"
    Image.fromarray(IMAGES[0]).save(damaged)
    damaged.write_bytes(damaged.read_bytes()[:600])
    extractor = with_parameters(fitted, output=output, batch_size=1)
    with pytest.raises(ValueError, match=r"damaged\.jpg.*cannot be decoded"):
        extractor.transform([*IMAGES[:4], damaged, *IMAGES[4:]])
    assert output.read_bytes() == b"earlier"
    assert os.listdir(folder) == ["features.npy"]


def test_full_disk_is_an_error(fitted, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail, raising=False)
    extractor = with_parameters(fitted, output=tmp_path / "features.npy")
    with pytest.raises(OSError, match="No space left"):
        extractor.transform(IMAGES)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("features.dat", ValueError, r"must be the name of a \.npy file"),
        ("missing/features.npy", FileNotFoundError, "the folder .*missing' does not exist"),
        ("folder.npy", IsADirectoryError, "is a folder"),
    ],
)
def test_bad_output(fitted, tmp_path, name, error, message):
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(error, match=f"output=.*{message}"):
        PatchFeatureExtractor(output=tmp_path / name).fit(IMAGES)
    extractor = with_parameters(fitted, output=str(tmp_path / name))
    with pytest.raises(error, match=f"output=.*{message}"):
        extractor.transform(IMAGES)


@pytest.fixture(scope="module")
def cropped():
    """Extractor that crops and tiles, images, their features and what is seen of them."""
    images = photographs((70, 80), (90, 60))
    extractor = small_extractor(resize=400, crop=320, tile_size=288)
    features = extractor.fit_transform(images)
    return extractor, images, features, input_views(extractor, images)


@pytest.fixture(scope="module")
def whole_images():
    """Pipeline that crops nothing, images, their scores and maps."""
    images = photographs((70, 80), (90, 60), (80, 80))
    detector = SoftPatchDetector(discriminator=None, random_state=0)
    model = PatchPipeline([("extractor", small_extractor(image_size=64)), ("detector", detector)])
    model.fit(images)
    return model, images, model.score_samples(images), model.predict_map(images)


# An estimator like others


def test_constructor_only_stores():
    extractor = PatchFeatureExtractor(layers=["features.2"], image_size=[32, 32])
    parameters = extractor.get_params()
    assert parameters.keys() == set(inspect.signature(PatchFeatureExtractor).parameters)
    assert parameters["layers"] == ["features.2"]
    assert extractor.set_params(batch_size=2).batch_size == 2
    copied = clone(extractor)
    assert copied is not extractor
    assert copied.get_params() == extractor.get_params()
    assert vars(extractor).keys() == parameters.keys()
    before = {**vars(extractor)}
    extractor.fit(IMAGES)
    assert all(vars(extractor)[name] is value for name, value in before.items())


def test_copied_extractor_gives_the_same_features(fitted, features):
    copied = copy.deepcopy(fitted)
    norms = [part for part in copied.model_.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    np.testing.assert_array_equal(copied.transform(IMAGES), features)
    np.testing.assert_array_equal(copied.transform(IMAGES), features)


@pytest.mark.parametrize("embedding_dim", [None, 6])
def test_saved_extractor_gives_the_same_features(tmp_path, embedding_dim):
    extractor = PatchFeatureExtractor(image_size=64, embedding_dim=embedding_dim).fit(IMAGES)
    features = extractor.transform(IMAGES)
    joblib.dump(extractor, tmp_path / "extractor.joblib")
    for loaded in (
        pickle.loads(pickle.dumps(extractor)),
        joblib.load(tmp_path / "extractor.joblib"),
    ):
        np.testing.assert_array_equal(loaded.transform(IMAGES), features)
        assert loaded.get_params() == extractor.get_params()


def test_unfitted_extractor():
    extractor = PatchFeatureExtractor()
    with pytest.raises(NotFittedError):
        extractor.transform(IMAGES)
    with pytest.raises(NotFittedError):
        extractor.get_feature_names_out()
    assert pickle.loads(pickle.dumps(extractor)).get_params() == extractor.get_params()


def test_tags():
    tags = get_tags(PatchFeatureExtractor())
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.three_d_array
    assert tags.input_tags.string
    assert not tags.target_tags.required


# Another value of each parameter, with those that go with it.
CHANGES = {
    "backbone": {"backbone": "resnet18", "weights": None, "layers": "layer4"},
    "weights": {"weights": "lost.pth"},
    "layers": {"layers": "layer4"},
    "image_size": {"image_size": 96, "resize": None, "crop": None},
    "resize": {"resize": 160, "crop": 128},
    "crop": {"resize": 400, "crop": 96},
    "n_scales": {"n_scales": 2},
    "intensity_range": {"intensity_range": (0, 127)},
    "region": {"region": np.eye(9)},
    "tile_size": {"tile_size": None},
    "patch_size": {"patch_size": 5},
    "embedding_dim": {"embedding_dim": 3},
    "random_state": {"random_state": 5},
}
# Those that may be changed at any time.
RUNNING = {
    "augment": {"augment": "rotation"},
    "batch_size": {"batch_size": 1},
    "device": {"device": "cpu"},
    "dtype": {"dtype": "bfloat16"},
    "engine": {"engine": "openvino"},
    "n_jobs": {"n_jobs": 2},
    "output": {"output": "features.npy"},
    "verbose": {"verbose": True},
}


def test_all_parameters_are_changed_below():
    assert {*CHANGES, *RUNNING} == set(PatchFeatureExtractor().get_params())


@pytest.mark.parametrize("name", CHANGES)
def test_features_are_those_of_the_fitted_parameters(cropped, name):
    extractor, images, features, views = cropped
    extractor = with_parameters(extractor, **CHANGES[name])
    np.testing.assert_array_equal(extractor.transform(images), features)
    assert input_views(extractor, images) == views


@pytest.mark.parametrize("name", RUNNING)
def test_how_features_are_extracted_may_change(cropped, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extractor, images, features, views = cropped
    extractor = with_parameters(extractor, **RUNNING[name])
    error = np.linalg.norm(extractor.transform(images) - features) / np.linalg.norm(features)
    assert error < (0.02 if name == "dtype" else 1e-6)
    assert input_views(extractor, images) == views


@pytest.mark.parametrize("name", CHANGES)
def test_scores_and_maps_are_those_of_the_fitted_parameters(whole_images, name):
    model, images, scores, maps = whole_images
    extractor = with_parameters(model[0], **CHANGES[name])
    changed = PatchPipeline([("extractor", extractor), ("detector", model[1])])
    np.testing.assert_array_equal(changed.score_samples(images), scores)
    for one, other in zip(changed.predict_map(images), maps, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "name", ["resize", "crop", "n_scales", "tile_size", "patch_size", "embedding_dim"]
)
def test_a_model_is_not_saved_with_other_parameters_than_the_fitted_ones(cropped, tmp_path, name):
    extractor, _, features, _ = cropped
    detector = SoftPatchDetector(discriminator=None, random_state=0).fit(features)
    extractor = with_parameters(extractor, **{name: 333})
    model = PatchPipeline([("extractor", extractor), ("detector", detector)])
    with pytest.raises(ValueError, match=f"{name}=333 was .* when the extractor was fitted"):
        save(model, tmp_path / "model.skpatch")


def test_in_a_pipeline(features):
    pipeline = make_pipeline(PatchFeatureExtractor(image_size=64))
    np.testing.assert_array_equal(pipeline.fit_transform(IMAGES), features)
    assert len(pipeline.get_feature_names_out()) == 152


def test_failed_fit_leaves_nothing_half_done(tmp_path):
    extractor = small_extractor(image_size=64)
    small = [*IMAGES, np.zeros((3, 3), np.uint8)]
    with pytest.raises(ValueError, match="image 7"):
        extractor.fit(small)
    with pytest.raises(NotFittedError):
        extractor.transform(IMAGES)
    extractor.fit(IMAGES)
    fitted_state = {**vars(extractor)}
    with pytest.raises(ValueError, match="image 7"):
        extractor.fit(small)
    assert vars(extractor) == fitted_state


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backbone": "resnet_18"}, "backbone='resnet_18' is unknown"),
        ({"backbone": 5}, "'backbone' parameter"),
        ({"layers": ["features.3", "features.30"]}, "no layer 'features.30'"),
        ({"layers": []}, "at least one layer"),
        ({"layers": "classifier"}, "expected maps"),
        ({"image_size": 0}, "'image_size' parameter"),
        ({"image_size": (64, 64, 64)}, r"image_size=\(64, 64, 64\) must be"),
        ({"image_size": (64, 0)}, r"image_size=\(64, 0\) must be"),
        ({"image_size": (64, 64.5)}, "image_size=.* must be"),
        ({"resize": 64}, "resize=64 and crop=None go together"),
        ({"crop": 64}, "resize=None and crop=64 go together"),
        ({"resize": 64, "crop": 65}, "crop=65 is larger than resize=64"),
        ({"patch_size": 2}, "patch_size=2 must be odd"),
        ({"patch_size": 0}, "'patch_size' parameter"),
        ({"embedding_dim": 0}, "'embedding_dim' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"dtype": "float64"}, "'dtype' parameter .*bfloat16"),
        ({"n_jobs": 1.5}, "'n_jobs' parameter"),
        ({"weights": 3}, "'weights' parameter"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        PatchFeatureExtractor(**parameters).fit(IMAGES)


def test_missing_weights_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"weights=.*lost\.pth' is not a file"):
        PatchFeatureExtractor(weights=tmp_path / "lost.pth").fit(IMAGES)


def test_import_is_light():
    code = (
        "import sys, skpatch.features.extractor; "
        "print([m for m in ('torch', 'torchvision', 'numba') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
