# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the scores of defective and of normal pixels, of which there may be many millions.

Each is a sum, or the best, over the defective pixels, and asks only how many others score as high.
So the scores are sorted once, in place, nothing is kept in their order, and the results are exact.
"""

import numpy as np
from scipy import ndimage

__all__ = ["auroc", "average_precision", "best_f1", "mean_overlap", "pool_scores", "region_shares"]

# Pixels that are counted at a time.
_PART = 2**18
_EIGHT_NEIGHBORS = np.ones((3, 3), bool)


def pool_scores(pixels):
    """Scores of all inspected pixels.

    Parameters
    ----------
    pixels : list of (mask, map), each of shape (height, width)

    Returns
    -------
    defective : ndarray of shape (p,)
        In the order of the images, their rows and columns.
    normal : ndarray of shape (q,)
        Ascending.
    """
    n_pixels = sum(map_.size for _, map_ in pixels)
    pooled = np.empty(n_pixels, np.result_type(*(map_ for _, map_ in pixels)))
    # Both in one array: defective pixels from its beginning, normal ones from its end.
    first, last = 0, n_pixels
    for is_defect, scores in _parts(pixels):
        inspected = ~np.isnan(scores)
        found, others = scores[inspected & is_defect], scores[inspected & ~is_defect]
        pooled[first : first + len(found)] = found
        pooled[last - len(others) : last] = others
        first, last = first + len(found), last - len(others)
    defective, normal = pooled[:first], pooled[last:]
    for kind, scores in (("defective", defective), ("normal", normal)):
        if len(scores) == 0:
            raise ValueError(
                f"masks has no {kind} pixel that was inspected; at least one is needed."
            )
    normal.sort()
    return defective, normal


def _parts(pixels):
    """Rows of masks and maps, few at a time."""
    for mask, map_ in pixels:
        n_parts = map_.size // _PART + 1
        yield from zip(np.array_split(mask, n_parts), np.array_split(map_, n_parts), strict=True)


def region_shares(pixels):
    """Share (p,) of each defective pixel in the mean overlap, in the order of `pool_scores`."""
    shares = [np.empty(0)]
    n_regions = 0
    for mask, map_ in pixels:
        if mask.any():
            regions, _ = ndimage.label(mask, _EIGHT_NEIGHBORS)
            regions = regions[mask & ~np.isnan(map_)]
            sizes = np.bincount(regions)
            n_regions += np.count_nonzero(sizes)
            shares.append(1 / sizes[regions])
    return np.concatenate(shares) / max(n_regions, 1)


def auroc(defective, normal):
    """Share of the pairs in which the defective pixel scores higher; ties count half."""
    # Whole numbers, whose sum is exact.
    n_wrong = sum(int((reach + higher).sum()) for _, reach, higher in _count(defective, normal))
    return 1 - n_wrong / (2 * len(defective) * len(normal))


def average_precision(defective, normal):
    """Mean precision at the scores of the defective pixels."""
    total = sum((found / (found + reach)).sum() for found, reach in _count_found(defective, normal))
    return total / len(defective)


def best_f1(defective, normal):
    """Largest F1 score: at the score of a defective pixel, since others only add false alarms."""
    return max(
        (2 * found / (found + reach + len(defective))).max()
        for found, reach in _count_found(defective, normal)
    )


def mean_overlap(defective, shares, normal, max_fpr):
    """Mean over false positive rates up to `max_fpr` of the shares of the pixels that are found.

    A pixel is found from the rate on at which all normal ones are that score as high. Between that
    and the rate of those that score higher the curve is a line.
    """
    area = 0.0
    for part, reach, higher in _count(defective, normal):
        start, stop = higher / len(normal), reach / len(normal)
        rising = np.clip(max_fpr, start, stop) - start
        ramp = np.zeros(len(reach))
        np.divide(rising**2, 2 * (stop - start), out=ramp, where=reach > higher)
        area += shares[part] @ (ramp + np.maximum(max_fpr - stop, 0))
    return min(area / max_fpr, 1.0)


def _count(defective, normal):
    """Numbers of normal pixels that reach the scores of defective ones, and of higher ones.

    Yields the numbers of a part of the defective pixels, and both for each of them.
    """
    for first in range(0, len(defective), _PART):
        # In order, neighbours find their places near each other. Ties keep theirs, so that sums do
        # not depend on how a processor sorts.
        part = first + np.argsort(defective[first : first + _PART], kind="stable")
        scores = defective[part]
        reach = len(normal) - np.searchsorted(normal, scores, "left")
        yield part, reach, len(normal) - np.searchsorted(normal, scores, "right")


def _count_found(defective, normal):
    """Numbers of defective and of normal pixels that reach the scores of defective ones."""
    defective.sort()
    for part, reach, _ in _count(defective, normal):
        yield len(defective) - np.searchsorted(defective, defective[part], "left"), reach
