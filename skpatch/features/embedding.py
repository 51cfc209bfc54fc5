# SPDX-License-Identifier: BSD-3-Clause
"""From the maps of a network's layers to one feature vector per patch."""

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional

__all__ = ["make_embedding"]


def make_embedding(shapes, patch_size, embedding_dim):
    """Module that turns the layers' maps into patch features.

    Parameters
    ----------
    shapes : list of tuple (c, h, w)
        Shapes of the maps.
    patch_size : int
        Side of the neighbourhood that a patch pools, odd.
    embedding_dim : int or None
        Number of features of the reference's two-step pooling; None concatenates mean-pooled maps.

    Returns
    -------
    nn.Module
        From a list of maps (n, c, h, w) to features (n, H, W, d) on the finest grid.
    """
    grid = max((shape[1:] for shape in shapes), key=lambda size: size[0] * size[1])
    if embedding_dim is None:
        return _MeanEmbedding(grid, patch_size)
    return _AdaptiveEmbedding(
        grid, patch_size, [channels for channels, *_ in shapes], embedding_dim
    )


def _resize(maps, grid):
    if tuple(maps.shape[-2:]) == tuple(grid):
        return maps
    return functional.interpolate(maps, size=grid, mode="bilinear", align_corners=False)


class _MeanEmbedding(nn.Module):
    """Mean over each patch, zeros outside the map counted; layers concatenated."""

    def __init__(self, grid, patch_size):
        super().__init__()
        self.grid = grid
        self.patch_size = patch_size

    def forward(self, maps):
        pooled = [
            functional.avg_pool2d(one, self.patch_size, stride=1, padding=self.patch_size // 2)
            for one in maps
        ]
        return torch.cat([_resize(one, self.grid) for one in pooled], dim=1).permute(0, 2, 3, 1)


class _AdaptiveEmbedding(nn.Module):
    """The pooling of PatchCore's reference implementation, as one linear map per layer.

    The reference unfolds each patch to a vector in (channel, row, column) order, averages it
    adaptively to `embedding_dim` values, joins the layers' vectors and averages adaptively again.
    Both averages together are linear, and an output draws on few channels: its t-th channel is
    gathered and convolved with a kernel of its own. So no patch is ever unfolded. The map is
    applied before the bilinear interpolation, with which it commutes.
    """

    def __init__(self, grid, patch_size, channels, embedding_dim):
        super().__init__()
        self.grid = grid
        self.patch_size = patch_size
        self.embedding_dim = embedding_dim
        area = patch_size**2
        second = _pooling_matrix(len(channels) * embedding_dim, embedding_dim)
        for layer, n_channels in enumerate(channels):
            first = _pooling_matrix(n_channels * area, embedding_dim)
            own = second[:, layer * embedding_dim : (layer + 1) * embedding_dim]
            outputs, sources, kernels = _gather_form(own @ first, patch_size)
            self.register_buffer(f"outputs_{layer}", torch.from_numpy(outputs))
            self.register_buffer(f"sources_{layer}", torch.from_numpy(sources))
            self.register_buffer(f"kernels_{layer}", torch.from_numpy(kernels))

    def forward(self, maps):
        features = maps[0].new_zeros(len(maps[0]), self.embedding_dim, *self.grid)
        for layer, one in enumerate(maps):
            sources = getattr(self, f"sources_{layer}")
            kernels = getattr(self, f"kernels_{layer}")
            pooled = sum(
                functional.conv2d(
                    one[:, source], kernel, padding=self.patch_size // 2, groups=len(source)
                )
                for source, kernel in zip(sources, kernels, strict=True)
            )
            outputs = getattr(self, f"outputs_{layer}")
            features.index_add_(1, outputs, _resize(pooled, self.grid))
        return features.permute(0, 2, 3, 1)


def _pooling_matrix(n_inputs, n_outputs):
    """Adaptive average pooling of a vector as a sparse matrix (n_outputs, n_inputs).

    Output i is the mean of the inputs from floor(i n / m) to ceil((i + 1) n / m), exclusive.
    """
    steps = np.arange(n_outputs)
    starts = steps * n_inputs // n_outputs
    stops = -((steps + 1) * n_inputs // -n_outputs)
    lengths = stops - starts
    ends = np.cumsum(lengths)
    columns = np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)
    return sparse.csr_array(
        (np.repeat(1 / lengths, lengths), columns, np.r_[0, ends]), shape=(n_outputs, n_inputs)
    )


def _gather_form(matrix, patch_size):
    """Split a matrix (outputs, channels x area) into gathers of channels and kernels for them.

    Returns
    -------
    outputs : ndarray of shape (r,), integer
        Rows that are not empty.
    sources : ndarray of shape (terms, r), integer
        Channel of each term.
    kernels : ndarray of shape (terms, r, 1, patch_size, patch_size), float32
        Weights of the term; zero where an output has fewer terms.
    """
    area = patch_size**2
    entries = sparse.coo_array(matrix)
    outputs, rows = np.unique(entries.row, return_inverse=True)
    channels, offsets = np.divmod(entries.col, area)
    lowest = np.full(len(outputs), matrix.shape[1])
    np.minimum.at(lowest, rows, channels)
    terms = channels - lowest[rows]
    n_terms = terms.max() + 1
    kernels = np.zeros((n_terms, len(outputs), area), np.float32)
    np.add.at(kernels, (terms, rows, offsets), entries.data)
    sources = np.minimum(lowest + np.arange(n_terms)[:, np.newaxis], matrix.shape[1] // area - 1)
    return outputs, sources, kernels.reshape(n_terms, len(outputs), 1, patch_size, patch_size)
