# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
import torch
from _published import pooled_patches
from torch.nn import functional

from skpatch.features.embedding import make_embedding

pytestmark = pytest.mark.usefixtures("one_thread")


def random_maps(*shapes, n=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, *shape, generator=generator) for shape in shapes]


def embed(maps, patch_size, embedding_dim):
    module = make_embedding([tuple(one.shape[1:]) for one in maps], patch_size, embedding_dim)
    with torch.inference_mode():
        return module(maps)


@pytest.mark.parametrize("patch_size", [1, 3, 5])
@pytest.mark.parametrize("embedding_dim", [1, 7, 16, 100, 1000])
@pytest.mark.parametrize(
    "shapes",
    [
        [(5, 6, 7)],
        [(8, 6, 6), (12, 3, 3)],
        [(6, 7, 9), (11, 4, 5), (13, 2, 3)],
        # The finest map need not come first.
        [(12, 3, 4), (8, 6, 7)],
        [(1, 4, 4), (1, 1, 1)],
    ],
    ids=str,
)
def test_adaptive_embedding_equals_the_reference(shapes, embedding_dim, patch_size):
    maps = random_maps(*shapes)
    features = embed(maps, patch_size, embedding_dim)
    expected = pooled_patches(maps, patch_size, embedding_dim)
    assert features.shape == expected.shape
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("n_inputs", "n_outputs"), [(4, 4), (9, 2), (10, 4), (3, 7), (1, 5)])
def test_pooling_of_a_single_patch(n_inputs, n_outputs):
    values = torch.randn(1, n_inputs, 1, 1, generator=torch.Generator().manual_seed(0))
    expected = functional.adaptive_avg_pool1d(values[None, :, :, 0, 0], n_outputs)
    found = embed([values], 1, n_outputs)
    np.testing.assert_allclose(found[0, 0, 0].numpy(), expected[0, 0].numpy(), rtol=1e-5)


def mean_patches(one, patch_size):
    """Mean over each patch of (c, h, w), zeros outside, by loops."""
    margin = patch_size // 2
    padded = np.pad(one, [(0, 0), (margin, margin), (margin, margin)])
    result = np.empty_like(one)
    for i in range(one.shape[1]):
        for j in range(one.shape[2]):
            window = padded[:, i : i + patch_size, j : j + patch_size]
            result[:, i, j] = window.sum(axis=(1, 2)) / patch_size**2
    return result


def upsample(one, size):
    """Bilinear interpolation of (c, h, w) with pixel centres aligned, by loops."""
    result = np.empty((len(one), *size), one.dtype)
    for i in range(size[0]):
        for j in range(size[1]):
            y = max((i + 0.5) * one.shape[1] / size[0] - 0.5, 0)
            x = max((j + 0.5) * one.shape[2] / size[1] - 0.5, 0)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, one.shape[1] - 1), min(left + 1, one.shape[2] - 1)
            v, u = y - top, x - left
            result[:, i, j] = (1 - v) * ((1 - u) * one[:, top, left] + u * one[:, top, right]) + (
                v * ((1 - u) * one[:, bottom, left] + u * one[:, bottom, right])
            )
    return result


@pytest.mark.parametrize("patch_size", [1, 3, 5])
@pytest.mark.parametrize("shapes", [[(3, 6, 8), (5, 3, 4)], [(3, 3, 4), (5, 7, 6)], [(2, 1, 1)]])
def test_mean_embedding_equals_loops(shapes, patch_size):
    maps = random_maps(*shapes)
    features = embed(maps, patch_size, None)
    grid = max((shape[1:] for shape in shapes), key=np.prod)
    assert features.shape == (2, *grid, sum(c for c, *_ in shapes))
    for index in range(2):
        expected = [upsample(mean_patches(one[index].numpy(), patch_size), grid) for one in maps]
        expected = np.concatenate(expected).transpose(1, 2, 0)
        np.testing.assert_allclose(features[index].numpy(), expected, atol=1e-5)


def test_hand_computed_values():
    one = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    features = embed([one], 3, None)[0, :, :, 0]
    expected = np.array([[12, 21, 16], [27, 45, 33], [24, 39, 28]]) / 9
    np.testing.assert_allclose(features.numpy(), expected, rtol=1e-6)
    # A single output is the mean of all nine values of the patch, too.
    adaptive = embed([one], 3, 1)[0, :, :, 0]
    np.testing.assert_allclose(adaptive.numpy(), expected, rtol=1e-6)
    # Nine outputs are the patch itself, row by row.
    nine = embed([one], 3, 9)[0]
    np.testing.assert_allclose(nine[1, 1].numpy(), np.arange(1, 10))
    np.testing.assert_allclose(nine[0, 0].numpy(), [0, 0, 0, 0, 1, 2, 0, 4, 5])
