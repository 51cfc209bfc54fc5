# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from skpatch import ExactNeighbors, SoftPatchDetector
from skpatch.bank.coreset import greedy_coreset
from skpatch.bank.gpu import greedy_coreset_on
from skpatch.distances.gpu import kneighbors_on
from skpatch.distances.search import on_device

# The code is the same for all devices, so the CPU tests what it computes.
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ],
    ),
]


@pytest.fixture(scope="module")
def bank():
    return np.random.RandomState(0).normal(size=(900, 20)).astype(np.float32)


@pytest.fixture(scope="module")
def queries(bank):
    return np.random.RandomState(1).normal(size=(300, 20)).astype(np.float32)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (1e3, 1), (0, 1e-25), (0, 1e25)])
def test_neighbors_equal_brute_force(bank, queries, device, shift, scale):
    bank, queries = (np.float32(scale) * part + np.float32(shift) for part in (bank, queries))
    distances, rows = kneighbors_on(torch.device(device), bank, queries, 3)
    reference = cdist(queries, bank)
    np.testing.assert_array_equal(rows, np.argsort(reference, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(distances, np.sort(reference, axis=1)[:, :3], rtol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_neighbors_in_blocks_with_excluded_groups(bank, queries, device, monkeypatch):
    monkeypatch.setattr("skpatch.distances.gpu._BLOCK_SIZE", 9000)
    rng = np.random.RandomState(2)
    groups = rng.randint(5, size=len(queries)), rng.randint(5, size=len(bank))
    found = kneighbors_on(torch.device(device), bank, queries, 2, groups)
    expected = ExactNeighbors().fit(bank).kneighbors(queries, 2, groups)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("device", DEVICES)
def test_neighbors_with_reaches(bank, queries, device):
    reaches = np.random.RandomState(3).uniform(0, 8, len(bank))
    found = kneighbors_on(torch.device(device), bank, queries, 2, reaches=reaches)
    expected = ExactNeighbors().fit(bank, reaches=reaches).kneighbors(queries, 2)
    assert not np.array_equal(expected[1], ExactNeighbors().fit(bank).kneighbors(queries, 2)[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("device", DEVICES)
def test_neighbors_of_a_small_bank(bank, queries, device):
    one_group = np.zeros(len(queries), int), np.array([0, 1, 1])
    for groups, n_found in ((None, 3), (one_group, 2)):
        distances, rows = kneighbors_on(torch.device(device), bank[:3], queries, 4, groups)
        assert np.isinf(distances[:, n_found:]).all()
        assert (rows[:, n_found:] == -1).all()
        assert np.isfinite(distances[:, :n_found]).all()
    everything = np.zeros(5, int), np.zeros(len(bank), int)
    distances, rows = kneighbors_on(torch.device(device), bank, queries[:5], 1, everything)
    assert np.isinf(distances).all()
    assert (rows == -1).all()


@pytest.mark.parametrize("device", DEVICES)
def test_ties_go_to_the_lowest_row(bank, device):
    copies = np.concatenate([bank, bank])
    distances, rows = kneighbors_on(torch.device(device), copies, bank, 2)
    assert (distances == 0).all()
    np.testing.assert_array_equal(rows, np.arange(len(bank))[:, np.newaxis] + [0, len(bank)])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [1, 1e-25, 1e20])
@pytest.mark.parametrize("start", [4, [4, 100, 2]])
def test_coreset_equals_the_exact_one(bank, device, scale, start):
    bank = bank * np.float32(scale)
    rows = np.arange(0, 900, 2)
    picks, radius = greedy_coreset_on(torch.device(device), bank, 60, start, rows, 0)
    expected, expected_radius = greedy_coreset(bank, 60, start, rows)
    np.testing.assert_array_equal(picks, expected)
    assert radius == pytest.approx(expected_radius, rel=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_coreset_of_copies_ends_early(device):
    # Whole numbers, so that products are exact.
    points = np.repeat(np.arange(-4, 5, dtype=np.float32)[:, np.newaxis], 10, axis=0)
    picks, radius = greedy_coreset_on(torch.device(device), points, 50, 0, np.arange(90), 0)
    assert sorted(points[picks, 0]) == list(range(-4, 5))
    assert radius == 0


def test_the_search_is_given_a_device(bank, queries, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "skpatch.distances.exact.kneighbors_on",
        lambda device, *arguments: asked.append(device) or kneighbors_on("cpu", *arguments),
    )
    search = ExactNeighbors(device="meta").fit(bank)
    _, rows = search.kneighbors(queries, 2)
    assert asked == [torch.device("meta")]
    on_cpu = on_device(search, "cpu")
    np.testing.assert_array_equal(on_cpu.kneighbors(queries, 2)[1], rows)
    assert len(asked) == 1
    assert (search.device, on_cpu.device) == ("meta", "cpu")
    assert on_cpu.bank_ is search.bank_


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_detector_without_a_gpu(patches):
    with pytest.raises(ValueError, match="device='cuda' cannot be used here"):
        SoftPatchDetector(device="cuda").fit(patches)
    automatic = SoftPatchDetector(device="auto", random_state=0).fit(patches)
    plain = SoftPatchDetector(random_state=0).fit(patches)
    np.testing.assert_array_equal(automatic.score_samples(patches), plain.score_samples(patches))
    with pytest.raises(ValueError, match="device='cuda' cannot be used here"):
        plain.set_params(device="cuda").score_samples(patches)
    plain.set_params(device="cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_detector_on_a_gpu_agrees_with_the_cpu(patches):
    on_gpu = SoftPatchDetector(device="cuda", random_state=0).fit(patches)
    on_cpu = SoftPatchDetector(random_state=0).fit(patches)
    np.testing.assert_array_equal(on_gpu.memory_source_, on_cpu.memory_source_)
    np.testing.assert_allclose(on_gpu.predict_map(patches), on_cpu.predict_map(patches), rtol=1e-4)
    assert on_gpu.offset_ == pytest.approx(on_cpu.offset_, rel=1e-4)
