# SPDX-License-Identifier: BSD-3-Clause
"""Damaged files: a slice of what benchmarks/fuzz.py reads."""

import random
import warnings

import numpy as np
import pytest
from _mutations_images import damaged_image, image_files, read_damaged_image
from _mutations_models import damaged_model, model_files, use_damaged_model
from _persistence import parts, write
from PIL import Image

from skpatch import SoftPatchDetector, load, save
from skpatch.images.collection import check_images

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = ("PNG", "JPEG", "TIFF", "deep TIFF", "JPEG 2000", "BMP", "WebP", "GIF", "PPM")


@pytest.fixture(scope="module")
def images():
    return image_files()


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_images(images, kind, tmp_path):
    path = tmp_path / "damaged.bin"
    for data in images[kind]:
        path.write_bytes(data)
        assert read_damaged_image(path) is None
    for number in range(200 if kind == "deep TIFF" else 40):
        path.write_bytes(damaged_image(images, kind, random.Random(f"{kind} {number}")))
        read_damaged_image(path)


def test_damaged_models(tmp_path):
    files = model_files(with_network=False)
    path = tmp_path / "damaged.skpatch"
    for kind, sound in files.items():
        for data in sound:
            path.write_bytes(data)
            assert use_damaged_model(path) is None
        for number in range(30):
            path.write_bytes(damaged_model(files, kind, random.Random(f"{kind} {number}")))
            use_damaged_model(path)


def test_large_images_are_read_without_a_warning(images, tmp_path, monkeypatch):
    """Pillow warns of more pixels than its limit, and refuses twice as many."""
    path = tmp_path / "large.png"
    path.write_bytes(images["PNG"][2])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    filters = list(warnings.filters)
    read = check_images([path])
    assert read.load(0).shape == (*read.size(0), 3)
    assert warnings.filters == filters


def test_warnings_of_other_threads_are_left_alone(images, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(images["PNG"][2])
    check_images([path]).load(0)
    with pytest.warns(RuntimeWarning, match="own"):
        warnings.warn("own", RuntimeWarning, stacklevel=1)


def test_postscript_is_not_run(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(path, "EPS")
    with pytest.raises(ValueError, match=r"a\.png.*PostScript"):
        check_images([path]).load(0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("memory_bank_", np.float32("nan"), "'memory_bank_' has numbers"),
        ("memory_bank_", np.float32(1e35), "memory_bank_ has features as large"),
        ("memory_weights_", np.float64(-1), "'memory_weights_' has numbers"),
        ("memory_reaches_", np.float64("inf"), "'memory_reaches_' has numbers"),
        ("memory_reaches_", np.float64(1e100), "reaches has shape"),
        ("noise_scores_", np.float64("nan"), "'noise_scores_' lacks"),
        ("calibration_scores_", np.float64(1), "do not ascend"),
        ("bounds.factor", np.float32(0), "'bounds.factor' has numbers"),
        ("bounds.factor", np.float32(2e-23), "the scale of the bounds"),
        ("jury.factor", np.float32(1e-45), "'jury.factor' has numbers"),
        ("_worst_patches", np.float32(3e38), "_worst_patches has features as large"),
    ],
)
def test_numbers_that_no_model_has(small, name, value, message):
    path, content = small
    header, body, places = parts(content)
    place = places[name]
    size = value.nbytes
    count = (place.stop - place.start) // size if name == "noise_scores_" else 1
    new = value.tobytes() * count
    write(path, header, body[: place.start] + new + body[place.start + len(new) :])
    with pytest.raises(ValueError, match=message):
        load(path)


def test_projection_that_would_overflow(patches, tmp_path):
    path = tmp_path / "model.skpatch"
    save(SoftPatchDetector(projection_dim=4, random_state=0).fit(patches), path)
    header, body, places = parts(path.read_bytes())
    start = places["components"].start
    write(path, header, body[:start] + np.float32(3e38).tobytes() + body[start + 4 :])
    with pytest.raises(ValueError, match="'components' has numbers"):
        load(path)


@pytest.mark.parametrize("factor", [2, 1e30])
def test_axes_that_are_not_orthonormal(factor):
    """Bounds of distances would be wrong, and with them the nearest patches."""
    from skpatch import ExactNeighbors
    from skpatch.persistence.container import StoredArrays
    from skpatch.persistence.searches import unpack_search

    rng = np.random.RandomState(0)
    bank = (rng.normal(size=(4200, 64)) * np.geomspace(10, 0.01, 64)).astype(np.float32)
    arrays = ExactNeighbors().fit(bank).bounds_.arrays()
    stored = {f"bounds.{name}": array for name, array in arrays.items()}
    stored["bounds.axes"] = np.float32(factor) * stored["bounds.axes"]
    with pytest.raises(ValueError, match="not orthonormal"):
        unpack_search(
            ExactNeighbors(),
            {"reduced": True, "graph": None},
            StoredArrays(stored),
            bank,
            np.zeros(len(bank)),
        )


def test_pipeline_files_that_would_fill_the_memory(model, tmp_path):
    path = tmp_path / "model.skpatch"
    save(model, path)
    header, body, _ = parts(path.read_bytes())
    extractor = header["content"]["model"]["extractor"]
    for place, key, value in [
        (extractor, "image_size_", [200_000, 200_000]),
        (extractor["params"], "embedding_dim", 10**12),
    ]:
        before, place[key] = place[key], value
        write(path, header, body)
        with pytest.raises(ValueError, match="does not give the features"):
            load(path)
        place[key] = before
    for names in ([1, 2], ["a", "a"], ["a__b", "c"]):
        header["content"]["model"]["steps"] = names
        write(path, header, body)
        with pytest.raises(ValueError, match="cannot be loaded"):
            load(path)


def test_device_without_memory(patches):
    with pytest.raises(ValueError, match="device='meta' cannot be used"):
        SoftPatchDetector(device="meta").fit(patches)
