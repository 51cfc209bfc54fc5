# SPDX-License-Identifier: BSD-3-Clause
import copy
import inspect
import os
import pickle
import subprocess
import sys
import threading

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from torch import nn

from skpatch import PatchFeatureExtractor
from skpatch._device import check_device

pytestmark = pytest.mark.usefixtures("one_thread")


def photographs(*sizes, seed=0):
    """Smooth random colour images."""
    rng = np.random.RandomState(seed)
    images = []
    for size in sizes:
        smooth = gaussian_filter(rng.normal(size=(*size, 3)), (2, 2, 0))
        smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
        images.append(np.rint(255 * smooth).astype(np.uint8))
    return images


IMAGES = photographs(*[(70, 80)] * 7)


@pytest.fixture(scope="module")
def fitted():
    return PatchFeatureExtractor(image_size=64).fit(IMAGES)


@pytest.fixture(scope="module")
def features(fitted):
    return fitted.transform(IMAGES)


class Pixels(nn.Module):
    """Network whose "maps" are its input."""

    def __init__(self):
        super().__init__()
        self.same = nn.Identity()
        self.negative = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.negative.weight, -1)

    def forward(self, x):
        return self.negative(self.same(x))


MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def seen(extractor, images):
    """Pixels that reach the network."""
    return 255 * (extractor.transform(images) * STD + MEAN)


def pixel_extractor(**parameters):
    return PatchFeatureExtractor(backbone=Pixels(), layers="same", patch_size=1, **parameters)


# What comes out


def test_shape_and_type(fitted, features):
    # Aspect ratio 8 : 7; 64 * 8 / 7 = 73.1 is nearest to 80, as a multiple of 16.
    assert fitted.image_size_ == (64, 80)
    assert fitted.grid_size_ == (8, 10)
    assert fitted.layers_ == ("features.3", "features.5")
    assert fitted.n_features_out_ == 152
    assert features.shape == (7, 8, 10, 152)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert np.isfinite(features).all()
    assert features.std(axis=0).min(axis=(0, 1)).max() > 0


def test_features_equal_a_direct_computation():
    extractor = PatchFeatureExtractor(image_size=(64, 96)).fit(IMAGES)
    with torch.inference_mode():
        resized = Image.fromarray(IMAGES[2]).resize((96, 64), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy((np.asarray(resized, np.float32) - 127) / 128)
        maps = extractor.model_(pixels.permute(2, 0, 1)[None])
        fine, coarse = (nn.functional.avg_pool2d(one, 3, 1, 1) for one in maps.values())
        coarse = nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
        expected = torch.cat([fine, coarse], dim=1)[0].permute(1, 2, 0)
    np.testing.assert_allclose(extractor.transform(IMAGES)[2], expected.numpy(), atol=1e-4)


def test_same_bits_every_time(fitted, features):
    np.testing.assert_array_equal(fitted.transform(IMAGES), features)
    np.testing.assert_array_equal(clone(fitted).fit_transform(IMAGES), features)


@pytest.mark.parametrize(
    "parameters", [{"batch_size": 1}, {"batch_size": 3}, {"batch_size": 100}, {"n_jobs": 1}]
)
def test_batches_and_threads_do_not_matter(fitted, features, parameters):
    other = clone(fitted).set_params(**parameters).fit(IMAGES)
    np.testing.assert_allclose(other.transform(IMAGES), features, atol=1e-4)


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_the_number_of_threads_changes_no_bit(fitted, n_jobs):
    extractor = clone(fitted).set_params(batch_size=2).fit(IMAGES)
    expected = extractor.transform(IMAGES)
    before = torch.get_num_threads()
    np.testing.assert_array_equal(extractor.set_params(n_jobs=n_jobs).transform(IMAGES), expected)
    assert torch.get_num_threads() == before


def test_one_image_alone(fitted, features):
    np.testing.assert_allclose(fitted.transform(IMAGES[:1]), features[:1], atol=1e-4)


def test_permuted_images_give_permuted_features(fitted, features):
    order = np.random.RandomState(0).permutation(7)
    permuted = fitted.transform([IMAGES[index] for index in order])
    np.testing.assert_allclose(permuted, features[order], atol=1e-4)


def test_more_batches_than_threads(fitted, features):
    extractor = clone(fitted).set_params(batch_size=1, n_jobs=2).fit(IMAGES)
    repeated = extractor.transform(IMAGES * 4)
    assert len(repeated) == 28
    for start in range(0, 28, 7):
        np.testing.assert_allclose(repeated[start : start + 7], features, atol=1e-4)


def test_forms_of_input(fitted, features, tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)

    class Lazy:
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            return np.asarray(Image.open(paths[index]))

    for X in (paths, list(map(Image.fromarray, IMAGES)), np.stack(IMAGES), Lazy()):
        np.testing.assert_array_equal(fitted.transform(X), features)


def test_grey_and_sixteen_bit_images_are_like_their_colour_versions(fitted):
    grey = IMAGES[0][:, :, 0]
    colour = fitted.transform([np.stack([grey] * 3, axis=2)])
    np.testing.assert_array_equal(fitted.transform(grey[np.newaxis]), colour)
    np.testing.assert_array_equal(fitted.transform([grey.astype(np.uint16) * 257]), colour)


def test_feature_names(fitted, features):
    names = fitted.get_feature_names_out()
    assert names.dtype == object
    assert len(names) == features.shape[-1]
    assert [names[0], names[39], names[40], names[151]] == [
        "features.3_0",
        "features.3_39",
        "features.5_0",
        "features.5_111",
    ]
    extractor = PatchFeatureExtractor(image_size=64, embedding_dim=5).fit(IMAGES)
    names = ["embedding_0", "embedding_1", "embedding_2", "embedding_3", "embedding_4"]
    assert extractor.get_feature_names_out().tolist() == names
    # The names are those of the fitted features, not of a parameter for the next fit.
    extractor.set_params(embedding_dim=2)
    assert extractor.get_feature_names_out().tolist() == names
    assert extractor.transform(IMAGES[:1]).shape == (1, 8, 10, 5)


def test_layers_keep_the_order_they_are_given_in(fitted, features):
    reverse = PatchFeatureExtractor(image_size=64, layers=["features.5", "features.3"]).fit(IMAGES)
    assert reverse.get_feature_names_out()[0] == "features.5_0"
    swapped = np.concatenate([features[..., 40:], features[..., :40]], axis=-1)
    np.testing.assert_allclose(reverse.transform(IMAGES), swapped, atol=1e-5)


def test_one_layer_as_a_string():
    extractor = PatchFeatureExtractor(image_size=64, layers="features.5").fit(IMAGES)
    assert extractor.layers_ == ("features.5",)
    assert extractor.transform(IMAGES).shape == (7, 4, 5, 112)


# Sizes


def test_images_of_different_sizes():
    images = photographs((70, 80), (40, 200), (300, 100))
    extractor = PatchFeatureExtractor(image_size=64).fit(images)
    features = extractor.transform(images)
    assert features.shape == (3, 8, 10, 152)
    for index, image in enumerate(images):
        alone = extractor.transform([image])
        np.testing.assert_allclose(alone[0], features[index], atol=1e-4)


@pytest.mark.parametrize(
    ("image_size", "sizes", "expected"),
    [
        (64, [(100, 100)], (64, 64)),
        # Ratios 1, 2 and 5: the median is 2.
        (64, [(100, 100), (100, 200), (40, 200)], (64, 128)),
        (64, [(200, 100)], (128, 64)),
        # 64 * 1.1 = 70.4 is nearer to 64, 64 * 1.15 = 73.6 to 80.
        (64, [(100, 110)], (64, 64)),
        (64, [(100, 115)], (64, 80)),
        (70, [(100, 100)], (64, 64)),
        (1, [(100, 100)], (16, 16)),
        ((48, 100), [(100, 100)], (48, 100)),
        ([48, 100], [(100, 100)], (48, 100)),
        (np.int64(64), [(100, 100)], (64, 64)),
    ],
)
def test_image_size(image_size, sizes, expected):
    extractor = PatchFeatureExtractor(image_size=image_size).fit(photographs(*sizes))
    assert extractor.image_size_ == expected
    assert all(type(side) is int for side in extractor.image_size_)


def test_stride_of_a_network_that_does_not_pad():
    extractor = PatchFeatureExtractor(backbone="squeezenet1_1", weights=None, image_size=100)
    assert extractor.fit(photographs((100, 100))).image_size_ == (96, 96)


def test_whole_image_is_resized():
    image = photographs((60, 90))[0]
    extractor = pixel_extractor(image_size=(30, 40)).fit([image])
    expected = np.asarray(Image.fromarray(image).resize((40, 30), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(seen(extractor, [image])[0], expected, atol=1e-3)
    assert extractor.input_regions([image]) == [((60, 90), (0, 0, 60, 90))]


def test_paper_protocol():
    # These sides become 256 and 340, and the crop starts at whole pixels.
    image = photographs((512, 680))[0]
    extractor = pixel_extractor(resize=256, crop=224).fit([image])
    assert extractor.image_size_ == (224, 224)
    resized = Image.fromarray(image).resize((340, 256), Image.Resampling.BILINEAR)
    expected = np.asarray(resized, int)[16:240, 58:282]
    np.testing.assert_allclose(seen(extractor, [image])[0], expected, atol=1.01)
    assert extractor.input_regions([image, image[:, :400].copy()]) == [
        ((512, 680), (32, 116, 480, 564)),
        ((512, 400), (81, 25, 431, 375)),
    ]


def test_crop_as_large_as_resize():
    for size in ((333, 517), (517, 333)):
        image = photographs(size)[0]
        extractor = pixel_extractor(resize=48, crop=48).fit([image])
        ((_, region),) = extractor.input_regions([image])
        top, left, bottom, right = region
        assert (bottom - top, right - left) == (333, 333)
        assert extractor.transform([image]).shape == (1, 48, 48, 3)


@pytest.mark.parametrize("size", [(1, 1), (5, 100), (100, 5)])
def test_image_smaller_than_the_grid(fitted, size):
    small = np.zeros((*size, 3), np.uint8)
    message = rf"image 1 has {size[0]} x {size[1]} pixels .* fewer than the 8 x "
    with pytest.raises(ValueError, match=message):
        fitted.transform([IMAGES[0], small])
    with pytest.raises(ValueError, match=message):
        PatchFeatureExtractor(image_size=64).fit([IMAGES[0], small, IMAGES[1]])


def test_small_file_is_named(fitted, tmp_path):
    Image.new("L", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(ValueError, match=r"dot\.png has 1 x 1 pixels"):
        fitted.transform([tmp_path / "dot.png"])


# Networks


def test_embedding_dim():
    extractor = PatchFeatureExtractor(image_size=64, embedding_dim=10).fit(IMAGES)
    assert extractor.n_features_out_ == 10
    assert extractor.transform(IMAGES).shape == (7, 8, 10, 10)


def test_random_weights_follow_random_state():
    parameters = {"backbone": "resnet18", "weights": None, "image_size": (32, 32)}
    first, second, third = (
        PatchFeatureExtractor(**parameters, random_state=seed).fit_transform(IMAGES[:2])
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).max() > 0.1


def test_module_as_a_backbone():
    module = Pixels().train()
    extractor = PatchFeatureExtractor(
        backbone=module, layers=["same", "negative"], patch_size=1, image_size=(20, 30)
    )
    features = extractor.fit_transform(IMAGES)
    assert features.shape == (7, 20, 30, 5)
    np.testing.assert_allclose(features[..., 3], -features[..., :3].sum(axis=-1), atol=1e-5)
    np.testing.assert_array_equal(features[..., 3], features[..., 4])
    assert module.training
    assert module.negative.weight.requires_grad
    np.testing.assert_array_equal(clone(extractor).fit_transform(IMAGES), features)


def test_bfloat16_is_close_to_float32(fitted, features):
    close = clone(fitted).set_params(dtype="bfloat16").fit(IMAGES).transform(IMAGES)
    assert close.dtype == np.float32
    error = np.linalg.norm(close - features) / np.linalg.norm(features)
    assert 0 < error < 0.03


def test_another_dtype_does_not_spoil_the_network(fitted, features):
    extractor = pickle.loads(pickle.dumps(fitted))
    extractor.set_params(dtype="bfloat16").transform(IMAGES[:1])
    assert {value.dtype for value in extractor.model_.parameters()} == {torch.float32}
    np.testing.assert_array_equal(extractor.set_params(dtype="float32").transform(IMAGES), features)


def test_converted_network_is_made_once_and_not_pickled(fitted, monkeypatch):
    extractor = pickle.loads(pickle.dumps(fitted))
    size = len(pickle.dumps(extractor))
    extractor.set_params(dtype="bfloat16")
    first = extractor.transform(IMAGES)
    assert len(pickle.dumps(extractor)) < size + 1000

    def fail(value):
        raise AssertionError("converted again")

    with monkeypatch.context() as patch:
        patch.setattr("skpatch._extractor.copy.deepcopy", fail)
        np.testing.assert_array_equal(extractor.transform(IMAGES), first)
    # A new fit has a new network.
    extractor.set_params(layers="features.5").fit(IMAGES)
    assert extractor.transform(IMAGES).shape == (7, 4, 5, 112)


def test_two_threads_at_once(fitted, features):
    for dtype in ("float32", "bfloat16"):
        extractor = clone(fitted).set_params(dtype=dtype, batch_size=2).fit(IMAGES)
        expected = extractor.transform(IMAGES)
        extractor = pickle.loads(pickle.dumps(extractor))
        results, barrier = [], threading.Barrier(2)

        def work(extractor=extractor, results=results, barrier=barrier):
            barrier.wait()
            results.append(extractor.transform(IMAGES))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 2
        for result in results:
            np.testing.assert_array_equal(result, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(fitted, features):
    extractor = pickle.loads(pickle.dumps(fitted)).set_params(device="cuda")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        on_gpu = extractor.transform(IMAGES)
    assert np.linalg.norm(on_gpu - features) < 1e-3 * np.linalg.norm(features)
    np.testing.assert_array_equal(extractor.set_params(device="cpu").transform(IMAGES), features)
    assert {value.device.type for value in extractor.model_.parameters()} == {"cpu"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_a_gpu(fitted):
    with pytest.raises(ValueError, match="device='cuda' cannot be used here"):
        PatchFeatureExtractor(device="cuda").fit(IMAGES)
    with pytest.raises(ValueError, match="device='cuda' cannot be used here"):
        pickle.loads(pickle.dumps(fitted)).set_params(device="cuda").transform(IMAGES)


def test_unknown_device():
    with pytest.raises(ValueError, match="device='abacus' cannot be used here"):
        PatchFeatureExtractor(device="abacus").fit(IMAGES)
    assert check_device("cpu") is None


# Features on disk


def test_output_equals_memory(fitted, features, tmp_path):
    path = tmp_path / "features.npy"
    for output in (path, str(path)):
        on_disk = clone(fitted).set_params(output=output, batch_size=3).fit_transform(IMAGES)
        assert isinstance(on_disk, np.memmap)
        assert on_disk.flags.c_contiguous
        assert on_disk.dtype == np.float32
        np.testing.assert_allclose(on_disk, features, atol=1e-4)
        np.testing.assert_array_equal(np.load(path), on_disk)
        assert os.listdir(tmp_path) == ["features.npy"]


def test_output_in_the_working_folder(fitted, features, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extractor = clone(fitted).set_params(output="features.npy").fit(IMAGES)
    np.testing.assert_array_equal(extractor.transform(IMAGES), features)
    assert os.listdir(tmp_path) == ["features.npy"]


def test_earlier_result_survives_a_new_one(fitted, features, tmp_path):
    extractor = clone(fitted).set_params(output=tmp_path / "features.npy").fit(IMAGES)
    first = extractor.transform(IMAGES)
    second = extractor.transform(IMAGES[:2])
    assert len(second) == 2
    np.testing.assert_array_equal(first, features)


def test_output_has_ordinary_permissions(fitted, tmp_path):
    clone(fitted).set_params(output=tmp_path / "features.npy").fit_transform(IMAGES)
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
    extractor = clone(fitted).set_params(output=output, batch_size=1).fit(IMAGES)
    with pytest.raises(ValueError, match=r"damaged\.jpg.*cannot be decoded"):
        extractor.transform([*IMAGES[:4], damaged, *IMAGES[4:]])
    assert output.read_bytes() == b"earlier"
    assert os.listdir(folder) == ["features.npy"]


def test_full_disk_is_an_error(fitted, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail, raising=False)
    extractor = clone(fitted).set_params(output=tmp_path / "features.npy").fit(IMAGES)
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
    extractor = pickle.loads(pickle.dumps(fitted)).set_params(output=str(tmp_path / name))
    with pytest.raises(error, match=f"output=.*{message}"):
        extractor.transform(IMAGES)


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


def test_in_a_pipeline(features):
    pipeline = make_pipeline(PatchFeatureExtractor(image_size=64))
    np.testing.assert_array_equal(pipeline.fit_transform(IMAGES), features)
    assert len(pipeline.get_feature_names_out()) == 152


def test_failed_fit_leaves_nothing_half_done(tmp_path):
    extractor = PatchFeatureExtractor(image_size=64)
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


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([], ValueError, "X is empty"),
        ("folder", TypeError, "single path"),
        ((image for image in IMAGES), TypeError, "generator"),
        (["lost.png"], FileNotFoundError, r"lost\.png"),
        ([IMAGES[0], np.full((70, 80), np.nan)], ValueError, "image 1 contains NaN"),
        (IMAGES[0], ValueError, "single colour image"),
    ],
    ids=["empty", "path", "generator", "missing", "NaN", "single"],
)
def test_bad_images(fitted, X, error, message):
    with pytest.raises(error, match=message):
        fitted.transform(X)
    with pytest.raises(error, match=message):
        PatchFeatureExtractor(image_size=64).fit(X)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_error_while_decoding_names_the_file(fitted, tmp_path, n_jobs):
    path = tmp_path / "broken.png"
    Image.fromarray(IMAGES[0]).save(path)
    path.write_bytes(path.read_bytes()[:500])
    extractor = clone(fitted).set_params(n_jobs=n_jobs, batch_size=2).fit(IMAGES)
    with pytest.raises(ValueError, match=r"broken\.png.*cannot be decoded"):
        extractor.transform([*IMAGES, path, *IMAGES])
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_import_is_light():
    code = (
        "import sys, skpatch._extractor; "
        "print([m for m in ('torch', 'torchvision', 'numba') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
