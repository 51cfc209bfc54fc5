# SPDX-License-Identifier: BSD-3-Clause
"""Features that `memory` keeps, and files that change but keep their names."""

import os

import numpy as np
import pytest
import torch
from _networks import whole_network
from PIL import Image

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline

pytestmark = pytest.mark.usefixtures("one_thread")


class Counted(PatchFeatureExtractor):
    """An extractor that counts how often all its copies extract features."""

    n_calls = 0

    def transform(self, X):
        Counted.n_calls += 1
        return super().transform(X)


def save(path, seed):
    pixels = np.random.RandomState(seed).randint(0, 256, (64, 64), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        save(path, number)
    return paths


@pytest.fixture
def bank(tmp_path):
    """Function that fits a pipeline with a cache and says its memory bank, and how often it ran."""

    def fit(X, method="fit", **parameters):
        before = Counted.n_calls
        detector = SoftPatchDetector(discriminator=None, coreset_size=0.5, random_state=0)
        extractor = Counted(image_size=64, **parameters)
        model = make_pipeline(extractor, detector, memory=str(tmp_path / "cache"))
        getattr(model, method)(X)
        return model[-1].memory_bank_, Counted.n_calls - before

    return fit


@pytest.mark.parametrize(
    ("method", "form"),
    [("fit", list), ("fit", lambda X: np.array(list(map(str, X)))), ("fit_predict", tuple)],
)
def test_files_that_changed_are_read_again(paths, bank, method, form):
    first, n_calls = bank(form(paths), method)
    again, n_more_calls = bank(form(paths), method)
    assert (n_calls, n_more_calls) == (1, 0)
    np.testing.assert_array_equal(again, first)
    save(paths[2], 99)
    changed, n_calls = bank(form(paths), method)
    assert n_calls == 1
    assert not np.array_equal(changed, first)


def test_a_time_is_enough(paths, bank):
    bank(paths)
    before = os.stat(paths[0])
    os.utime(paths[0], ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert bank(paths)[1] == 1


def test_a_region_that_changed_is_read_again(paths, bank, tmp_path):
    region = tmp_path / "region.png"
    Image.new("L", (64, 64), 255).save(region)
    whole, _ = bank(paths, region=region)
    assert bank(paths, region=region)[1] == 0
    half = np.zeros((64, 64), np.uint8)
    half[:32] = 255
    Image.fromarray(half).save(region)
    upper, n_calls = bank(paths, region=region)
    assert n_calls == 1
    assert len(upper) < len(whole)


def test_weights_that_changed_are_read_again(paths, bank, tmp_path):
    weights = tmp_path / "weights.pth"
    found = []
    for seed in range(2):
        state = whole_network("efficientnet_lite0", None, seed).state_dict()
        torch.save(state, weights)
        found.append(bank(paths, weights=str(weights)))
    assert [n_calls for _, n_calls in found] == [1, 1]
    assert not np.array_equal(found[0][0], found[1][0])


def test_arrays_are_known_by_their_content(bank):
    images = np.random.RandomState(0).randint(0, 256, (5, 64, 64), np.uint8)
    assert bank(images)[1] == 1
    assert bank(images.copy())[1] == 0
    images[0, 0, 0] ^= 255
    assert bank(images)[1] == 1


def test_open_files_are_known_by_their_content(paths, bank):
    with open(paths[0], "rb") as file:
        others = [path.read_bytes() for path in paths[1:]]
        first, n_runs = bank([file, *others])
        assert n_runs == 1
        again, n_runs = bank([file, *others])
        assert n_runs == 0
        np.testing.assert_array_equal(first, again)
        assert bank([file, *others[:3]])[1] == 1
