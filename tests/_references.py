# SPDX-License-Identifier: BSD-3-Clause
"""Features to learn from, and what a detector must say of them by its definition."""

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.neighbors import LocalOutlierFactor


def textures(n_images, defects=(), seed=0, strength=6.0):
    """Features (n, 6, 6, 12) with a defect in one patch of some images."""
    rng = np.random.RandomState(seed)
    features = rng.normal(size=(n_images, 6, 6, 12)) / np.arange(1, 13)
    for image in defects:
        row, column = rng.randint(6, size=2)
        features[image, row, column] += strength * rng.normal(size=12) / np.sqrt(12)
    return features.astype(np.float32)


def distances_without(detector, features, image):
    """Reachability distances (h * w, m) of an image's patches (h, w, d) and memory patches.

    Those of the image with that number are infinitely far.
    """
    distances = cdist(features.reshape(-1, features.shape[-1]), detector.memory_bank_)
    distances = np.maximum(distances, np.float32(detector.memory_reaches_))
    distances[:, detector.memory_source_[:, 0] == image] = np.inf
    return distances


def map_without(detector, features, image):
    """Distance of each patch (h, w) to the nearest memory patch of another image."""
    nearest = distances_without(detector, features, image).min(axis=1)
    return nearest.reshape(features.shape[:2])


def nearest_of_others(bank, queries, groups, n_neighbors=2):
    """Distances (m, n_neighbors) of queries to the nearest rows of a bank in other groups."""
    distances = cdist(queries, bank)
    distances[groups[0][:, np.newaxis] == groups[1]] = np.inf
    return np.sort(distances, axis=1)[:, :n_neighbors]


def repeated_defects(n_images, defects=(), seed=0, n_kinds=1, side=1):
    """Features (n, 8, 8, 12) of which some images have defects that resemble each other.

    They are squares of that many patches anywhere in the image, of a few kinds.
    """
    rng = np.random.RandomState(seed)
    features = rng.normal(size=(n_images, 8, 8, 12)) / np.arange(1, 13)
    kinds = np.random.RandomState(99).normal(size=(n_kinds, 12)) * 6 / np.sqrt(12)
    for image in defects:
        row, column = rng.randint(9 - side, size=2)
        features[image, row : row + side, column : column + side] += kinds[image % n_kinds]
    return features.astype(np.float32)


def outlier_scores(points, inspected, side, n_known=None):
    """Scores (n, p) of points (n, p, k) by their definition, in windows of that many patches.

    At each place those of scikit-learn's local outlier factor among the first `n_known` images,
    all by default, averaged as logarithms over the inspected patches within the window.
    """
    known = points[:n_known].astype(float)
    logs = np.full((len(points), *inspected.shape), np.nan)
    for number, (row, column) in enumerate(np.argwhere(inspected)):
        model = LocalOutlierFactor(min(6, len(known) - 1), algorithm="brute").fit(known[:, number])
        factors = -model.negative_outlier_factor_
        if n_known is not None:
            model.set_params(novelty=True)
            factors = np.append(
                factors, -model.score_samples(points[n_known:, number].astype(float))
            )
        logs[:, row, column] = np.log(factors)
    padded = np.pad(logs, ((0, 0), *[(side // 2,) * 2] * 2), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2))
    return np.exp(np.nanmean(windows[:, inspected], axis=(2, 3)))
