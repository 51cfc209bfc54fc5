# SPDX-License-Identifier: BSD-3-Clause
"""Images that are there twice: the same file, saved again, or the next frame of a video."""

import math

import numpy as np

from ..distances.scaling import Scaling, inner_products
from ..runtime.threads import run_blocks
from .positions import sample_positions

__all__ = ["can_have_copies", "copy_gap", "find_originals"]

# Part of the usual gap between patches of different images that no patch of a copy exceeds, of 20 x
# 20 patches and more. It was chosen on photographs; docs/robustness.rst has the figures. In small
# pictures different solar cells are that near each other, so a copy must be nearer.
_SHARE, _SHARE_OF_FEW, _FEW = 0.45, 0.2, 400
# The usual gap is that at the nearest quarter of the pairs, so that it holds of one product among
# two, and beside many copies. It is taken from some of the images where there are more.
_QUANTILE = 0.25
_MOST_IMAGES = 512
# With fewer patches two images may well be alike at all of them.
_LEAST_PATCHES = 4
# Images of one product.
_BLOCK = 256


def can_have_copies(patches):
    """Whether images of that many patches (n, h, w, d) tell copies from others."""
    return patches[0, ..., 0].size >= _LEAST_PATCHES


def copy_gap(patches):
    """Distance that no patch of an image is from that of its copy.

    Part of what different images differ by, in the root mean square over patches.

    Parameters
    ----------
    patches : ndarray of shape (n, h, w, d), float32
        Of at least two images.
    """
    if not can_have_copies(patches):
        return 0.0
    some = np.unique(np.linspace(0, len(patches) - 1, _MOST_IMAGES).astype(int))
    sample = _sample(patches, some)
    scaling, scaled, halves = _scaled(sample)
    gaps = halves[:, np.newaxis] + halves - inner_products(scaled, scaled)
    usual = np.quantile(gaps[np.triu_indices(len(some), 1)], _QUANTILE, method="higher")
    share = _SHARE if patches[0, ..., 0].size >= _FEW else _SHARE_OF_FEW
    return share * math.sqrt(2 * scaling.unit * max(0.0, usual) / sample.shape[1])


def find_originals(patches, gap):
    """Number of the first image that each image is a copy of, its own for the others.

    A copy is near its original at every patch, so the same photograph with a defect is none. Cost:
    a product of 32 patches for each pair of images, and few complete comparisons.

    Parameters
    ----------
    patches : ndarray of shape (n, h, w, d), float32
    gap : float
        As of :func:`copy_gap`.

    Returns
    -------
    ndarray of shape (n,), int64
    """
    flat = patches.reshape(len(patches), -1, patches.shape[-1])
    originals = np.arange(len(flat))
    if not can_have_copies(patches):
        return originals
    for image, earlier in _near_pairs(patches, gap):
        is_open = originals[image] == image and originals[earlier] == earlier
        if is_open and _largest_gap(flat[image], flat[earlier]) <= gap:
            originals[image] = earlier
    return originals


def _sample(patches, images):
    """Some patches (j, k, d) of images."""
    flat = patches.reshape(len(patches), -1, patches.shape[-1])
    return flat[np.ix_(images, sample_positions(flat.shape[1]))]


def _scaled(sample):
    """Patches of each image in a row, scaled for products, and half of the squared norms."""
    rows = sample.reshape(len(sample), -1)
    scaling = Scaling(rows)
    return scaling, *scaling.apply(rows)


def _near_pairs(patches, gap):
    """Pairs (image, earlier image), ascending, of which some patches are that near."""
    sample = _sample(patches, np.arange(len(patches)))
    scaling, scaled, halves = _scaled(sample)
    # The mean square of some gaps is at most that of the largest.
    limits = sample.shape[1] * gap**2 / (2 * scaling.unit)
    limits += scaling.tolerance(halves, halves.max())
    found = {}

    def find(start, stop):
        gaps = halves[start:stop, np.newaxis] + halves[:stop]
        gaps -= inner_products(scaled[start:stop], scaled[:stop])
        images, earlier = np.nonzero(gaps <= limits[start:stop, np.newaxis])
        images += start
        found[start] = np.column_stack([images, earlier])[earlier < images]

    run_blocks(find, len(scaled), _BLOCK)
    return np.concatenate([found[start] for start in sorted(found)]).tolist()


def _largest_gap(left, right):
    return np.linalg.norm(left.astype(np.float64) - right, axis=-1).max()
