# SPDX-License-Identifier: BSD-3-Clause
"""Features of images that are extracted when they are needed, part by part."""

import itertools

import numpy as np

from ..images.collection import check_images
from ..runtime.parameters import check_is_fitted
from ..runtime.telling import told_once
from ..runtime.threads import execution, progress

__all__ = [
    "LazyFeatures",
    "iterate_patch_maps",
    "lazy_features",
    "map_parts",
    "score_in_parts",
]

# Bytes of features that are held at a time, 140 images of 28 x 28 patches with 152 features.
_PART = 2**26


class LazyFeatures:
    """The array (n, h, w, d) that a transformer makes of images, without its memory.

    Parameters
    ----------
    transformer : transformer
        Fitted, such as a PatchFeatureExtractor.
    images : sequence of images
    grid : tuple (h, w, d)
        Shape of the features of an image.
    """

    ndim = 4

    def __init__(self, transformer, images, grid):
        self._transformer, self._images, self._grid = transformer, check_images(images), grid

    def __len__(self):
        return len(self._images)

    @property
    def shape(self):
        """Shape of the array."""
        return (len(self), *self._grid)

    def __getitem__(self, images):
        """Features of some images, given by a slice or by their numbers; not extracted yet."""
        chosen = self._images.take(np.arange(len(self))[images])
        return LazyFeatures(self._transformer, chosen, self._grid)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._transformer.transform(self._images), dtype)


def map_parts(function, features, description):
    """Apply a function to parts of features (n, h, w, d); join its results (m, ...) for m images.

    Parameters
    ----------
    function : callable
        Is also given the number of the first image of the part.
    features : ndarray or LazyFeatures
    description : str
        Name of the progress bar.
    """
    found = []
    with progress(len(features), description) as bar:
        for first, last in part_edges(features):
            found.append(function(features[first:last], first))
            bar.update(last - first)
    return np.concatenate(found)


def part_edges(features):
    """First and last + 1 image of each part of features that is held at a time."""
    n_images = len(features)
    size = int(np.prod(features.shape, dtype=object)) * 4
    edges = np.linspace(0, n_images, min(n_images, -(size // -_PART)) + 1).astype(int)
    return itertools.pairwise(edges.tolist())


def lazy_features(model, images):
    """Features of images for the detector of a fitted pipeline."""
    check_is_fitted(model)
    detector = model.steps[-1][1]
    return LazyFeatures(model[:-1], images, (*detector.grid_shape_, detector.n_features_in_))


def score_in_parts(model, method, images):
    """What a method of a pipeline's detector says of images, few of which are held at a time."""
    features = lazy_features(model, images)
    score = getattr(model.steps[-1][1], method)
    with execution(None, getattr(model.steps[0][1], "verbose", False)), told_once():
        return map_parts(lambda part, _: score(part), features, "scoring")


def iterate_patch_maps(model, images):
    """Yield each image with the scores (h, w) of its patches, few of which are held at a time.

    Between two images nothing is set that the caller would notice.
    """
    features = lazy_features(model, images)
    images = check_images(images)
    for first, last in part_edges(features):
        names = [f"image {number}" for number in range(first, last)]
        with execution(None, getattr(model.steps[0][1], "verbose", False)), told_once(names):
            maps = model.steps[-1][1].predict_map(features[first:last])
        for number, found in zip(range(first, last), maps, strict=True):
            yield images[number], found
