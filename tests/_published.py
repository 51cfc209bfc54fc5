# SPDX-License-Identifier: BSD-3-Clause
"""Stages of PatchCore and SoftPatch, each from the equations of the papers in a few lines."""

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from torch.nn import functional


def pooled_patches(maps, patch_size, embedding_dim):
    """Features (n, h, w, d) as PatchCore makes them: unfold, interpolate, pool twice."""
    height, width = max((one.shape[2:] for one in maps), key=lambda size: size[0] * size[1])
    pooled = []
    for one in maps:
        n, c, h, w = one.shape
        area = patch_size**2
        patches = functional.unfold(one, patch_size, padding=patch_size // 2)
        patches = patches.reshape(n, c * area, h, w)
        if (h, w) != (height, width):
            patches = functional.interpolate(
                patches, size=(height, width), mode="bilinear", align_corners=False
            )
        vectors = patches.permute(0, 2, 3, 1).reshape(-1, 1, c * area)
        pooled.append(functional.adaptive_avg_pool1d(vectors, embedding_dim).squeeze(1))
    stacked = torch.stack(pooled, dim=1).reshape(len(pooled[0]), 1, -1)
    features = functional.adaptive_avg_pool1d(stacked, embedding_dim)
    return features.reshape(len(maps[0]), height, width, embedding_dim)


def by_position(patches, score):
    """Noise scores (n, h, w): `score` is given the patches (n, d) of one position at a time."""
    scores = np.empty(patches.shape[:3])
    for row, column in np.ndindex(patches.shape[1:3]):
        scores[:, row, column] = score(patches[:, row, column].astype(np.float64))
    return scores


def _nearest(points):
    return NearestNeighbors(n_neighbors=1).fit(points).kneighbors()[0][:, 0] + 1


def _lof(points):
    return -LocalOutlierFactor(n_neighbors=6).fit(points).negative_outlier_factor_


def _gaussian(points):
    covariance = np.cov(points, rowvar=False) + 0.01 * np.eye(points.shape[1])
    gaps = points - points.mean(axis=0)
    return np.sqrt(np.einsum("ij,jk,ik->i", gaps, np.linalg.inv(covariance), gaps)) + 1


# Noise scores (n,) of the patches (n, d) of one position.
NOISE = {"nearest": _nearest, "gaussian": _gaussian, "lof": _lof}


def greedy(points, size, start):
    """Rows of a greedy coreset, in their order, and its radius; one pass over all for each."""
    points = points.astype(np.float64)
    picks = np.atleast_1d(start).tolist()
    distances = cdist(points, points[picks], "sqeuclidean").min(axis=1)
    for _ in range(size - len(picks)):
        picks.append(int(np.argmax(distances)))
        latest = cdist(points, points[picks[-1:]], "sqeuclidean")[:, 0]
        distances = np.minimum(distances, latest)
    return picks, np.sqrt(distances.max())


def enlarged(grid, size):
    """Patch scores (h, w) as a map of `size` (H, W), before it is smoothed."""
    grid = torch.from_numpy(grid)[None, None]
    return functional.interpolate(grid, size=size, mode="bilinear", align_corners=False)[0, 0]
