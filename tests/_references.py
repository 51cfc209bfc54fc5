# SPDX-License-Identifier: BSD-3-Clause
"""Features to learn from, and what a detector must say of them by its definition."""

import numpy as np
from scipy.spatial.distance import cdist


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
