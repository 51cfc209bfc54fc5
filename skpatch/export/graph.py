# SPDX-License-Identifier: BSD-3-Clause
"""All that a fitted pipeline does with pixels, as one torch module that can be exported."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import nn

from ..detector.estimator import fitted_state
from ..engines.fusing import fuse
from ..inspection.maps import SIGMA, resize_map
from ..inspection.result import check_threshold
from .resampling import resample_pixels, spread_map

__all__ = ["OUTPUTS", "ScoringGraph"]

OUTPUTS = ("score", "p_value", "is_anomalous", "map")
# Memory patches that are compared with at a time: the distances stay in a core's cache. Of 128 to
# 4,096 it was the fastest, with 20,000 memory patches.
_BLOCK = 256


class ScoringGraph(nn.Module):
    """From pixels of images to their scores, p-values, verdicts and maps.

    Parameters
    ----------
    extractor : PatchFeatureExtractor
        Fitted, without tiles and region.
    detector : SoftPatchDetector
        Fitted on its features.
    """

    def __init__(self, extractor, detector):
        super().__init__()
        self._size, self._layers = tuple(extractor.image_size_), extractor.layers_
        self._crop_share = extractor.crop_share_
        self.network = fuse(extractor.model_, self._size)
        self.embedding = extractor._embedding
        for name in ("mean", "std"):
            colours = torch.tensor(getattr(extractor, f"_{name}"), dtype=torch.float32)
            self.register_buffer(name, 255 * colours.view(3, 1, 1))
        bank = fitted_state(detector).bank
        self.search = _Search(bank)
        self._grid, self._rule = tuple(detector.grid_shape_), bank.rule
        self._threshold = check_threshold(detector)
        for name, length, cells in zip(("rows", "columns"), self._size, self._grid, strict=True):
            self.register_buffer(name, _smoothing(length, cells))
        normal = -detector.calibration_scores_ / self._threshold
        self.register_buffer("normal", torch.from_numpy(normal.astype(np.float32)))

    def forward(self, images):
        """Score images.

        Parameters
        ----------
        images : Tensor of shape (n, H, W, 3), uint8

        Returns
        -------
        score : Tensor of shape (n,), float32
            1 = threshold, high = anomalous.
        p_value : Tensor of shape (n,), float32
        is_anomalous : Tensor of shape (n,), bool
        map : Tensor of shape (n, H, W), float32
            1 = threshold.
        """
        size = images.shape[1:3]
        region = self._region(size)
        pixels = images.to(torch.float32).permute(0, 3, 1, 2)
        pixels = resample_pixels(pixels, region, self._size)
        maps = self.network((pixels - self.mean) / self.std)
        features = self.embedding([maps[layer] for layer in self._layers])
        distances = self.search(features.reshape(-1, features.shape[-1]))
        scores = distances.reshape(-1, self._grid[0] * self._grid[1]) / self._threshold
        score = self._average_worst(scores)
        # As many normal images as score at least that high, and the image itself.
        at_least = (self.normal >= score[:, None]).to(torch.float32).sum(dim=1)
        p_value = (1 + at_least) / (1 + len(self.normal))
        smooth = self.rows @ scores.reshape(-1, *self._grid) @ self.columns.T
        whole = spread_map(smooth, [torch.round(edge) for edge in region], size)
        return score, p_value, score > 1, whole

    def _region(self, size):
        """Part (top, left, bottom, right) of images of a size (H, W) that is looked at."""
        height, width = (torch.scalar_tensor(side, dtype=torch.float32) for side in size)
        if self._crop_share is None:
            zero = torch.zeros(())
            return zero, zero, height, width
        side = self._crop_share * torch.minimum(height, width)
        top, left = (height - side) / 2, (width - side) / 2
        return top, left, top + side, left + side

    def _average_worst(self, scores):
        """Scores (n,) of images from those of their patches (n, p)."""
        worst = torch.topk(scores, self._rule.n_worst, dim=1).values
        means = worst.mean(dim=1)
        share = self._rule.peak_share
        return torch.maximum(means, share * worst[:, 0]) if share else means


class _Search(nn.Module):
    """Scores of patches by all memory patches of a MemoryBank."""

    def __init__(self, bank):
        super().__init__()
        rule = bank.rule
        self._n_neighbors = min(rule.n_neighbors, len(bank.patches))
        self._is_squared = rule.metric == "sqeuclidean"
        self._is_plain = self._n_neighbors == 1 and (bank.weights == 1).all()
        # |a - b|^2 as a product, which cancels less around the centre.
        centre = bank.patches.mean(axis=0, dtype=np.float64)
        rows = bank.patches - centre
        squares = np.square(rows).sum(axis=1, keepdims=True)
        factors = np.hstack([-2 * rows, squares, np.ones_like(squares)]).astype(np.float32)
        reaches = np.square(bank.reaches).astype(np.float32)
        self._has_reaches = reaches.any()
        self.register_buffer("centre", torch.from_numpy(centre.astype(np.float32)))
        self.register_buffer("weights", torch.from_numpy(bank.weights.astype(np.float32)))
        self._starts = range(0, len(rows), _BLOCK)
        for start in self._starts:
            block = slice(start, start + _BLOCK)
            factor = torch.from_numpy(factors[block].T.copy())
            self.register_buffer(f"factors_{start}", factor)
            self.register_buffer(f"reaches_{start}", torch.from_numpy(reaches[block].copy()))

    def forward(self, patches):
        """Scores (m,) of patches (m, d)."""
        patches = patches - self.centre
        squares = patches.square().sum(dim=1, keepdim=True)
        queries = torch.cat([patches, torch.ones_like(squares), squares], dim=1)
        found = [self._nearest(queries, start) for start in self._starts]
        distances = torch.cat([squared for squared, _ in found], dim=1)
        if self._is_plain:
            return self._measured(distances.amin(dim=1))
        distances, order = torch.topk(distances, self._n_neighbors, dim=1, largest=False)
        rows = torch.gather(torch.cat([rows for _, rows in found], dim=1), 1, order)
        return (self.weights[rows] * self._measured(distances)).mean(dim=1)

    def _nearest(self, queries, start):
        """Squared distances (m, k) to the nearest of a block, and their rows; k = 1 if plain."""
        squared = queries @ getattr(self, f"factors_{start}")
        if self._has_reaches:
            squared = torch.maximum(squared, getattr(self, f"reaches_{start}"))
        if self._is_plain:
            return squared.amin(dim=1, keepdim=True), None
        n_neighbors = min(self._n_neighbors, squared.shape[1])
        squared, rows = torch.topk(squared, n_neighbors, dim=1, largest=False)
        return squared, rows + start

    def _measured(self, squared):
        """Distances, or their squares, from squares that rounding may have made negative."""
        squared = torch.clamp(squared, min=0.0)
        return squared if self._is_squared else torch.sqrt(squared)


def _smoothing(length, cells):
    """Matrix (length, cells) that enlarges an axis of a patch grid, and smooths it."""
    enlarged = np.stack(
        [resize_map(cell[:, None], (length, 1))[:, 0] for cell in np.eye(cells)], axis=1
    )
    return torch.from_numpy(gaussian_filter1d(enlarged, SIGMA, axis=0).astype(np.float32))
