# SPDX-License-Identifier: BSD-3-Clause
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from _networks import Pixels, small_extractor, with_parameters
from _photographs import IMAGES
from PIL import Image
from sklearn.base import clone
from torch import nn

from skpatch import PatchFeatureExtractor
from skpatch.runtime.devices import check_device

pytestmark = pytest.mark.usefixtures("one_thread")


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
    other = with_parameters(fitted, **parameters)
    np.testing.assert_allclose(other.transform(IMAGES), features, atol=1e-4)


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_the_number_of_threads_changes_no_bit(fitted, n_jobs):
    extractor = with_parameters(fitted, batch_size=2)
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
    extractor = with_parameters(fitted, batch_size=1, n_jobs=2)
    repeated = extractor.transform(IMAGES * 4)
    assert len(repeated) == 28
    for start in range(0, 28, 7):
        np.testing.assert_allclose(repeated[start : start + 7], features, atol=1e-4)


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
    extractor = small_extractor(image_size=64, embedding_dim=5).fit(IMAGES)
    names = ["embedding_0", "embedding_1", "embedding_2", "embedding_3", "embedding_4"]
    assert extractor.get_feature_names_out().tolist() == names
    # The names are those of the fitted features, not of a parameter for the next fit.
    extractor.set_params(embedding_dim=2)
    assert extractor.get_feature_names_out().tolist() == names
    assert extractor.transform(IMAGES[:1]).shape == (1, 8, 10, 5)


def test_layers_keep_the_order_they_are_given_in(fitted, features):
    reverse = clone(fitted).set_params(layers=["features.5", "features.3"]).fit(IMAGES)
    assert reverse.get_feature_names_out()[0] == "features.5_0"
    swapped = np.concatenate([features[..., 40:], features[..., :40]], axis=-1)
    np.testing.assert_allclose(reverse.transform(IMAGES), swapped, atol=1e-5)


def test_one_layer_as_a_string():
    extractor = PatchFeatureExtractor(image_size=64, layers="features.5").fit(IMAGES)
    assert extractor.layers_ == ("features.5",)
    assert extractor.transform(IMAGES).shape == (7, 4, 5, 112)


# Networks


def test_embedding_dim():
    extractor = small_extractor(image_size=64, embedding_dim=10).fit(IMAGES)
    assert extractor.n_features_out_ == 10
    assert extractor.transform(IMAGES).shape == (7, 8, 10, 10)


def test_random_weights_follow_random_state():
    parameters = {"backbone": "resnet18", "weights": None, "layers": "layer2", "image_size": 32}
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
    close = with_parameters(fitted, dtype="bfloat16").transform(IMAGES)
    assert close.dtype == np.float32
    error = np.linalg.norm(close - features) / np.linalg.norm(features)
    assert 0 < error < 0.03


def test_another_dtype_does_not_spoil_the_network(fitted, features):
    extractor = with_parameters(fitted, dtype="bfloat16")
    extractor.transform(IMAGES[:1])
    assert {value.dtype for value in extractor.model_.parameters()} == {torch.float32}
    np.testing.assert_array_equal(extractor.set_params(dtype="float32").transform(IMAGES), features)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_network_that_runs_is_made_once_and_not_pickled(fitted, monkeypatch, dtype):
    extractor = pickle.loads(pickle.dumps(fitted))
    size = len(pickle.dumps(extractor))
    extractor.set_params(dtype=dtype)
    first = extractor.transform(IMAGES)
    assert len(pickle.dumps(extractor)) < size + 1000

    def fail(*args):
        raise AssertionError("made again")

    with monkeypatch.context() as patch:
        patch.setattr("skpatch.engines.network.TorchNetwork.__init__", fail)
        np.testing.assert_array_equal(extractor.transform(IMAGES), first)
    # A new fit has a new network.
    extractor.set_params(layers="features.5").fit(IMAGES)
    assert extractor.transform(IMAGES).shape == (7, 4, 5, 112)


def test_two_threads_at_once(fitted, features):
    for dtype in ("float32", "bfloat16"):
        extractor = with_parameters(fitted, dtype=dtype, batch_size=2)
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


def test_networks_that_are_made_while_another_runs(fitted, features):
    data, stop = pickle.dumps(fitted), threading.Event()

    def transform():
        while not stop.is_set():
            np.testing.assert_array_equal(fitted.transform(IMAGES), features)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(transform) for _ in range(2)]
        try:
            for _ in range(2):
                made = clone(fitted).fit(IMAGES), pickle.loads(data), copy.deepcopy(fitted)
                for extractor in made:
                    np.testing.assert_array_equal(extractor.transform(IMAGES), features)
        finally:
            stop.set()
        for future in running:
            future.result()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(fitted, features):
    extractor = with_parameters(fitted, device="cuda")
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
        with_parameters(fitted, device="cuda").transform(IMAGES)


def test_unknown_device():
    with pytest.raises(ValueError, match="device='abacus' cannot be used here"):
        PatchFeatureExtractor(device="abacus").fit(IMAGES)
    assert check_device("cpu") is None
