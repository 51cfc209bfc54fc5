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
from .search import BankSearch

__all__ = ["OUTPUTS", "ScoringGraph"]

OUTPUTS = ("score", "p_value", "is_anomalous", "map")


class ScoringGraph(nn.Module):
    """From pixels of images to their scores, p-values, verdicts and perhaps maps.

    Parameters
    ----------
    extractor : PatchFeatureExtractor
        Fitted, without tiles and region.
    detector : SoftPatchDetector
        Fitted on its features.
    maps : bool
        Whether there are maps. Without them most patches need no complete search.
    """

    def __init__(self, extractor, detector, maps):
        super().__init__()
        self._size, self._layers = tuple(extractor.image_size_), extractor.layers_
        self._crop_share = extractor.crop_share_
        self.network = fuse(extractor.model_, self._size)
        self.embedding = extractor._embedding
        for name in ("mean", "std"):
            colours = torch.tensor(getattr(extractor, f"_{name}"), dtype=torch.float32)
            self.register_buffer(name, 255 * colours.view(3, 1, 1))
        bank = fitted_state(detector).bank
        self.search = BankSearch(bank)
        self._grid, self._rule = tuple(detector.grid_shape_), bank.rule
        self._threshold = check_threshold(detector)
        self._has_maps = maps
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
            1 = threshold; only with maps.
        """
        size = images.shape[1:3]
        region = self._region(size)
        pixels = resample_pixels(images.to(torch.float32), region, self._size).permute(0, 3, 1, 2)
        maps = self.network((pixels - self.mean) / self.std)
        features = self.embedding([maps[layer] for layer in self._layers])
        features = features.reshape(images.shape[0], -1, features.shape[-1])
        if not self._has_maps:
            return self._judge(self.search.worst(features, self._rule.n_worst))
        distances = self.search(features)
        worst = torch.topk(distances, self._rule.n_worst, dim=1).values
        scores = distances.reshape(-1, *self._grid) / self._threshold
        smooth = self.rows @ scores @ self.columns.T
        whole = spread_map(smooth, [torch.round(edge) for edge in region], size)
        return *self._judge(worst), whole

    def _judge(self, worst):
        """Scores, p-values and verdicts (n,) from the scores of the worst patches, descending."""
        worst = worst / self._threshold
        score, share = worst.mean(dim=1), self._rule.peak_share
        if share:
            score = torch.maximum(score, share * worst[:, 0])
        # As many normal images as score at least that high, and the image itself.
        at_least = (self.normal >= score[:, None]).to(torch.float32).sum(dim=1)
        p_value = (1 + at_least) / (1 + len(self.normal))
        return score, p_value, score > 1

    def _region(self, size):
        """Part (top, left, bottom, right) of images of a size (H, W) that is looked at."""
        height, width = (torch.scalar_tensor(side, dtype=torch.float32) for side in size)
        if self._crop_share is None:
            zero = torch.zeros(())
            return zero, zero, height, width
        side = self._crop_share * torch.minimum(height, width)
        top, left = (height - side) / 2, (width - side) / 2
        return top, left, top + side, left + side


def _smoothing(length, cells):
    """Matrix (length, cells) that enlarges an axis of a patch grid, and smooths it."""
    enlarged = np.stack(
        [resize_map(cell[:, None], (length, 1))[:, 0] for cell in np.eye(cells)], axis=1
    )
    return torch.from_numpy(gaussian_filter1d(enlarged, SIGMA, axis=0).astype(np.float32))
