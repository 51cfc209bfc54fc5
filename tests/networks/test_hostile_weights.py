# SPDX-License-Identifier: BSD-3-Clause
"""Files of weights that somebody else made, or put where torch keeps its downloads."""

import hashlib
import io
import os
import zipfile

import pytest
import torch
from _networks import small_network, whole_network
from safetensors.torch import save_file

from skpatch.networks import backbones
from skpatch.networks.weights import load_weights
from skpatch.runtime import downloads
from skpatch.runtime.downloads import place_of

pytestmark = pytest.mark.usefixtures("one_thread")


class Harmful:
    executed = []

    def __reduce__(self):
        return (Harmful.executed.append, ("executed",))


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Where torch keeps the weights of a network, and what is wanted of their SHA-256."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path, expected = place_of(backbones._pretrained("squeezenet1_1").url)
    os.makedirs(os.path.dirname(path))
    return path, expected


def test_a_planted_download_is_not_read(cached):
    path, expected = cached
    for content in (Harmful(), torch.zeros(2), {}):
        torch.save(content, path)
        with pytest.raises(ValueError, match=rf"squeezenet1_1.*begin with {expected}. Delete"):
            whole_network("squeezenet1_1", "default", 0)
    open(path, "w").close()
    with pytest.raises(ValueError, match="are damaged"):
        whole_network("squeezenet1_1", "default", 0)
    assert Harmful.executed == []


def test_a_sound_download_is_used_without_a_connection(cached, monkeypatch):
    path, _ = cached
    source = whole_network("squeezenet1_1", None, 3)
    torch.save(source.state_dict(), path)
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    monkeypatch.setattr(downloads, "place_of", lambda _: (path, digest[:8]))
    found = whole_network("squeezenet1_1", "default", 0).state_dict()
    assert all(torch.equal(found[name], value) for name, value in source.state_dict().items())


def test_safetensors(tmp_path):
    source, target = small_network(), small_network()
    with torch.no_grad():
        source.stem.weight.add_(1)
    path = tmp_path / "weights.safetensors"
    save_file(source.state_dict(), path)
    load_weights(path, target, target)
    assert torch.equal(target.stem.weight, source.stem.weight)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:-5], b"\xff" * 8 + whole[8:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"weights\.safetensors' is not a whole"):
            load_weights(path, target, target)


def packed_again(path, **options):
    """The same archive, with its entries packed in another way."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_grow_are_refused(tmp_path, monkeypatch, method):
    path = tmp_path / "bomb.pth"
    torch.save({"stem.weight": torch.zeros(10**6)}, path)
    packed_again(path, compression=method)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(ValueError, match=r"bomb\.pth'.*unpacked it has \d+ bytes, more than"):
        load_weights(path, small_network(), small_network())


@pytest.mark.parametrize("place", ["pipe", "/dev/zero", "."])
def test_weights_that_are_no_files(tmp_path, place):
    os.mkfifo(tmp_path / "pipe.safetensors")
    path = tmp_path / "pipe.safetensors" if place == "pipe" else place
    with pytest.raises(FileNotFoundError, match="is not a file"):
        load_weights(path, small_network(), small_network())
