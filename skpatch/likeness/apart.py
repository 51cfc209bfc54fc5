# SPDX-License-Identifier: BSD-3-Clause
"""Training images in groups that are unlike each other: two products in one folder."""

import warnings

import numpy as np
from scipy.sparse.csgraph import connected_components

from ..distances.scaling import Scaling, inner_products
from ..runtime.telling import image_names, tell
from ..runtime.text import first_few
from ..runtime.threads import run_blocks
from .positions import sample_positions

__all__ = ["groups_apart", "tell_groups"]

# How much farther another group is than the nearest image is to nine of ten. It was chosen on
# photographs; docs/robustness.rst has the figures.
_MARGIN = 1.25
_QUANTILE = 0.9
# Of an image's patches a quarter must be that near another image: a defect leaves more of them.
_PART = 0.25
# Fewer images are no group, but strange ones; fewer patches say little of an image.
_LEAST_IMAGES = 4
_LEAST_PATCHES = 196
# Images that are compared where there are more, and patches of each, of which every second one is
# looked for in other images.
_MOST_IMAGES = 100
_MOST_PATCHES = 64
_BLOCK = 8


def groups_apart(patches):
    """Find images that are like each other, and unlike the largest group of images.

    Images are linked if they are about as near as nearest images usually are, so a product that
    changes gradually is one group (single linkage).

    Parameters
    ----------
    patches : ndarray of shape (n, h, w, d), float32

    Returns
    -------
    seen : ndarray of shape (at most 100,), int64
        Images that were compared, ascending.
    groups : list of ndarray of int64
        Those of them that are in each smaller group, the largest group first.
    """
    seen = np.unique(np.linspace(0, len(patches) - 1, _MOST_IMAGES).astype(int))
    flat = patches.reshape(len(patches), -1, patches.shape[-1])
    if len(seen) < 2 * _LEAST_IMAGES or flat.shape[1] < _LEAST_PATCHES:
        return seen, []
    gaps = _gaps(flat[np.ix_(seen, sample_positions(flat.shape[1], _MOST_PATCHES))])
    usual = np.quantile(gaps.min(axis=1), _QUANTILE, method="higher")
    _, labels = connected_components(gaps <= _MARGIN * usual, directed=False)
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")[1:]
    return seen, [seen[labels == label] for label in order if sizes[label] >= _LEAST_IMAGES]


def _gaps(sample):
    """Distances (j, j) between images, from some patches (j, k, d) of them; inf on the diagonal."""
    n_images, n_patches, _ = sample.shape
    rows = sample.reshape(n_images * n_patches, -1)
    scaling = Scaling(rows)
    scaled, halves = scaling.apply(rows)
    n_asked = n_patches // 2
    rank = int(_PART * n_asked)
    gaps = np.empty((n_images, n_images))

    def measure(start, stop):
        asked = slice(start * n_patches, stop * n_patches, 2)
        squared = halves[asked, np.newaxis] + halves
        squared -= inner_products(scaled[asked], scaled)
        nearest = squared.reshape(stop - start, n_asked, n_images, n_patches).min(axis=3)
        gaps[start:stop] = np.partition(nearest, rank, axis=1)[:, rank]

    run_blocks(measure, n_images, _BLOCK)
    gaps = np.sqrt(np.maximum(0, np.minimum(gaps, gaps.T)))
    np.fill_diagonal(gaps, np.inf)
    return gaps


def tell_groups(patches, numbers):
    """Warn of groups of training images that are unlike the others, given the numbers of all."""
    seen, groups = groups_apart(patches)
    for group in groups:
        tell(_warn_of_group, (numbers[group], len(seen)))


def _warn_of_group(parts, names):
    for group, n_seen in parts:
        warnings.warn(
            f"{len(group)} of {n_seen} training images that were compared are like each other and "
            f"unlike the rest: {first_few(image_names(group, names))}. Are they another product, "
            "which needs a model of its own, or a normal variant?",
            stacklevel=8,
        )
