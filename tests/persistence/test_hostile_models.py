# SPDX-License-Identifier: BSD-3-Clause
"""Models that somebody else made: what they name, claim and promise is not believed."""

import os
import re
import socket
import struct
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from _persistence import parts, write
from safetensors.torch import save_file
from torch import nn

from skpatch import (
    ExactNeighbors,
    PatchFeatureExtractor,
    PyNNDescentNeighbors,
    SoftPatchDetector,
    load,
    make_pipeline,
    save,
)
from skpatch.persistence import container
from skpatch.persistence.container import StoredArrays
from skpatch.persistence.searches import unpack_search

pytestmark = pytest.mark.usefixtures("one_thread")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """Bytes of a pipeline whose network is a module with the weights of a file."""
    folder = tmp_path_factory.mktemp("hostile")
    with torch.random.fork_rng(devices=[]):
        save_file(network().state_dict(), folder / "weights.safetensors")
        extractor = PatchFeatureExtractor(
            backbone=network(), weights=folder / "weights.safetensors", layers="2", image_size=32
        )
    images = np.random.RandomState(0).randint(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    model = make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(images)
    save(model, folder / "model.skpatch")
    return (folder / "model.skpatch").read_bytes(), folder / "weights.safetensors"


@pytest.fixture
def changed(pipeline, tmp_path):
    """Make a model of other parameters; None is the module."""

    def change(backbone=None, **params):
        header, body, _ = parts(pipeline[0])
        extractor = header["content"]["model"]["extractor"]
        extractor["params"].update(params, backbone=backbone)
        extractor["module"] = None if backbone else "Sequential"
        write(tmp_path / "changed.skpatch", header, body)
        return tmp_path / "changed.skpatch"

    return change


@pytest.fixture
def opened():
    """Every path that is opened or asked for, as Python's audit hooks see it."""
    seen = []
    is_watching = [True]

    def watch(event, arguments):
        if is_watching and event in ("open", "os.listdir", "os.scandir", "socket.connect"):
            seen.append(str(arguments[0]))

    sys.addaudithook(watch)
    yield seen
    is_watching.clear()


@pytest.mark.parametrize("name", ["beside.pth", "beside.safetensors", "//server/share/beside.pth"])
def test_no_path_that_stands_in_the_file_is_opened(changed, tmp_path, opened, name):
    place = name if name.startswith("//") else str(tmp_path / name)
    if not name.startswith("//"):
        torch.save(network().state_dict(), place)
    path = changed(weights=place)
    with pytest.raises(ValueError, match=r"changed\.skpatch'.*not opened because a model names it"):
        load(path, backbone=network())
    assert str(path) in opened
    assert not [one for one in opened if "beside" in one]


def test_the_file_that_the_user_gives_is_read(pipeline, changed):
    _, weights = pipeline
    path = changed(weights="elsewhere.pth")
    assert load(path, backbone=network(), weights=weights)[0].weights == weights
    with pytest.raises(FileNotFoundError, match=r"changed\.skpatch' cannot.*none\.pth' is not a f"):
        load(path, backbone=network(), weights="none.pth")


@pytest.mark.parametrize("backbone", ["vit_h_14", "resnet18", "regnet_y_128gf", "timm/resnet18"])
def test_nothing_is_downloaded(changed, tmp_path, monkeypatch, backbone):
    def connect(*_):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    if backbone.startswith("timm/"):
        pytest.importorskip("timm")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    path = changed(backbone, weights="default")
    with pytest.raises(FileNotFoundError, match=r"changed\.skpatch.*downloads nothing"):
        load(path)
    assert os.listdir(tmp_path) == ["changed.skpatch"]


@pytest.mark.parametrize(
    "backbone", ["vgg19", "wide_resnet101_2", "regnet_y_128gf", "timm/vit_large_patch16_224"]
)
def test_large_networks_are_refused_before_there_are_weights(changed, monkeypatch, backbone):
    if backbone.startswith("timm/"):
        pytest.importorskip("timm")
    monkeypatch.setattr(
        PatchFeatureExtractor, "_build", lambda *_: pytest.fail("the network was built")
    )
    header, body, _ = parts(changed(backbone, weights=None).read_bytes())
    layers = {"vgg19": "features.9", "wide_resnet101_2": "layer2", "regnet_y_128gf": "stem"}
    layer = layers.get(backbone, "blocks.3")
    header["content"]["model"]["extractor"]["layers_"] = [layer]
    path = changed(backbone)
    write(path, header, body)
    with pytest.raises(ValueError, match="does not give the features of its detector"):
        load(path)


# --- files that are none, or claim more than they hold


def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/stdin"):
        with pytest.raises((ValueError, OSError), match=r"pipe or a device|No such device"):
            load(path)
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


@pytest.mark.parametrize("length", [0, 2, 2**25, 2**62])
def test_sparse_files_are_not_read_to_their_end(tmp_path, monkeypatch, length):
    path = tmp_path / "sparse.skpatch"
    with open(path, "wb") as file:
        file.write(b"\x89skpatch" + struct.pack("<QQ", 1, length))
        file.truncate(2**42)
    monkeypatch.setattr(container, "_check_digest", lambda *_: pytest.fail("it was hashed"))
    with pytest.raises(ValueError, match=r"sparse\.skpatch' cannot be loaded"):
        load(path)


JSON_BOMBS = {
    "lists": b"[" + b"[]," * 3_000_000 + b"[]]",
    "objects": b"[" + b"{}," * 3_000_000 + b"{}]",
    "between strings": b'["' + b'",[],"' * 1_000_000 + b'"]',
    "another encoding": ("[" + '"\u2200",[],' * 500_000 + "[]]").encode("utf-16"),
    "quotes in strings": b'["' + b'\\"' * 3_000_000,
}


@pytest.mark.parametrize("kind", JSON_BOMBS)
def test_json_takes_no_more_memory_than_the_file_several_times(tmp_path, kind):
    path, text = tmp_path / "bomb.skpatch", JSON_BOMBS[kind]
    write(path, text, b"")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"bomb\.skpatch' cannot be loaded") as caught:
            load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(text)
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize("sides", [[1] * 1_000_000, [2**62] * 300_000, [0] * 5])
def test_shapes_of_many_sides_are_refused(small, sides):
    path, content = small
    header, body, _ = parts(content)
    header["arrays"][0][2] = sides
    write(path, header, body)
    with pytest.raises(ValueError, match=f"has {len(sides)} axes"):
        load(path)


@pytest.mark.parametrize("place", ["class", "versions", "model"])
def test_errors_stay_short_and_quote_what_the_file_says(small, place):
    path, content = small
    header, body, _ = parts(content)
    header["content"][place] = "\x1b[2J\u202e" + "a" * 10**6
    if place == "model":
        header["content"]["model"] = {header["content"]["model"]: 0}
    write(path, header, body)
    if place != "versions":
        with pytest.raises(ValueError, match="cannot be loaded") as caught:
            load(path)
        assert len(str(caught.value)) < 3000
        assert str(caught.value).isprintable()


# --- content that would fail later


def with_values(small, name, change):
    """The file with other values in an array."""
    path, content = small
    header, body, places = parts(content)
    dtype = next(dtype for one, dtype, _ in header["arrays"] if one == name)
    array = np.frombuffer(body[places[name]], dtype).copy()
    change(array)
    write(path, header, body[: places[name].start] + array.tobytes() + body[places[name].stop :])
    return path


@pytest.mark.parametrize("weight", [1e100, 1e39, np.inf])
def test_weights_that_maps_cannot_hold(small, weight):
    path = with_values(small, "memory_weights_", lambda array: array.fill(weight))
    with pytest.raises(ValueError, match="'memory_weights_' has numbers that no model has"):
        load(path)


@pytest.mark.parametrize("order", [[0, 0], [1, 0]])
def test_images_that_are_asked_twice_or_out_of_order(small, order):
    path = with_values(small, "jury.images", lambda array: np.put(array, [0, 1], array[order]))
    with pytest.raises(ValueError, match=r"'jury\.images' does not ascend"):
        load(path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("jury.factor", lambda array: np.multiply(array, 1e4, out=array)),
        ("jury.shift", lambda array: np.copyto(array, 1e4)),
    ],
)
def test_a_scale_with_which_all_distances_are_in_question(small, name, change):
    """They would be computed exactly, one by one."""
    path = with_values(small, name, change)
    with pytest.raises(ValueError, match=r"'jury\.factor' are not those of its patches"):
        load(path)


def test_no_worst_patches(small):
    path, content = small
    header, body, places = parts(content)
    for name, _, shape in header["arrays"]:
        if name in ("_worst_rows", "_worst_patches"):
            shape[1] = 0
    kept = [body[place] for name, place in places.items() if not name.startswith("_worst_")]
    write(path, header, b"".join(kept))
    with pytest.raises(ValueError, match="'_worst_rows' is empty"):
        load(path)


@pytest.mark.parametrize("device", ["hpu", "xla", "mtia", "vulkan", "nothing", "cuda:99"])
def test_devices_that_are_not_here(small, device):
    path, content = small
    header, body, _ = parts(content)
    header["content"]["model"]["params"]["device"] = device
    write(path, header, body)
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used here"):
        load(path).score_samples(np.zeros((1, 2, 2, 3)))


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_images_that_would_score_more_than_their_worst_patch(small, share):
    path, content = small
    header, body, _ = parts(content)
    header["content"]["model"]["peak_share_"] = share
    write(path, header, body)
    with pytest.raises(ValueError, match=r"small\.skpatch'.*peak_share_ is not between 0 and 1"):
        load(path)


def test_names_that_could_not_be_loaded_again_are_not_saved(small, tmp_path, monkeypatch):
    path, content = small
    monkeypatch.setattr(container, "_LARGEST_JSON", 500)
    with pytest.raises(ValueError, match=r"fit with shorter paths.*image_names_"):
        container.write_container(path, {"image_names": ["a" * 600]}, {})
    assert path.read_bytes() == content


@pytest.mark.parametrize("version", [None, 5, "", "1" * 41, "0.6\n", "\x1b[2J", ["0.6"], "0.6 <b>"])
def test_versions_of_a_graph_that_are_none(version):
    with pytest.raises(ValueError, match="its version of pynndescent is none"):
        unpack_graph(version)


@pytest.mark.parametrize("version", ["0.6.0.post1", "99.0rc1", "0.6+local"])
def test_a_graph_of_another_version_is_told_of(version):
    with pytest.warns(UserWarning, match=re.escape(f"built by pynndescent {version}, and ")):
        assert unpack_graph(version).bank_ is not None


def unpack_graph(version):
    """A search whose graph a file says to be of that version; of so few rows none is built."""
    bank = np.random.RandomState(0).normal(size=(9, 4)).astype(np.float32)
    search = PyNNDescentNeighbors(random_state=0)
    bounds = ExactNeighbors().fit(bank).bounds_.arrays()
    stored = StoredArrays({f"bounds.{name}": array for name, array in bounds.items()})
    state = {"reduced": False, "graph": {"pynndescent": version}}
    unpack_search(search, state, stored, bank, np.zeros(len(bank)))
    return search
