# SPDX-License-Identifier: BSD-3-Clause
"""The score of an image in the PatchCore paper, which a published figure needs.

Not a choice of the detector: there, scores of images follow from those of their patches, so that
maps, regions and reports agree with them.
"""

import numpy as np
from scipy.special import softmax

__all__ = ["reweighted_scores"]


def reweighted_scores(detector, features, n_neighbors):
    """Score images; high = normal.

    The score of the worst patch, times one minus the share that the nearest memory patch has in the
    softmax of the distances from the worst patch to that one's own neighbours in the bank.

    Parameters
    ----------
    detector : SoftPatchDetector
        Fitted.
    features : ndarray of shape (n, h, w, d)
    n_neighbors : int
        Neighbours of a memory patch, itself included.

    Returns
    -------
    ndarray of shape (n,), float64

    Raises
    ------
    ValueError
        If the detector's metric is "cosine", for which this weight is not defined.

    References
    ----------
    K. Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, equation 7.
    """
    if detector.metric == "cosine":
        raise ValueError(
            "PatchCore's weight of an image is defined by distances; metric='cosine' has none. "
            "Leave the method 'PatchCore reweighted' out."
        )
    bank, search = detector.memory_bank_, detector.neighbors_
    scores = detector.predict_map(features).reshape(len(features), -1)
    worst = scores.argmax(axis=1)
    patches = features.reshape(len(features), -1, features.shape[-1])[np.arange(len(worst)), worst]
    _, nearest = search.kneighbors(patches, 1)
    _, around = search.kneighbors(bank[nearest[:, 0]], min(n_neighbors, len(bank)))
    distances = np.linalg.norm(bank[around] - patches[:, np.newaxis], axis=-1)
    return -(1 - softmax(distances, axis=1)[:, 0]) * scores.max(axis=1)
