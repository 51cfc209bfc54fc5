# SPDX-License-Identifier: BSD-3-Clause
"""What training images would score if they were new: others' patches take their patches' places.

Where an image has given memory patches, the greedy selection needed no others. Without its own
patches an image therefore meets a bank with holes, and looks less normal than a new one, for which
there are none. If it had not been there, the selection would have gone on in the holes, down to
the same radius; here it does so for the worst patches of each image.
"""

import numpy as np
from scipy.spatial.distance import cdist

from ..distances.exact import ExactNeighbors
from ..distances.projection import project, project_rows
from .bank import average_worst

__all__ = ["n_rows", "score_as_new"]

# Worst patches of an image that are measured again, so often as many as its score is the mean of,
# and as many more; candidates for each. With more candidates, scores of solar cells change by less
# than a 20th of their standard deviation; with half as many rows they are a tenth of it too low.
_ROWS = 8
_CANDIDATES = 4
# Images that are compared with each other, so that the time grows linearly with more.
_GROUP = 256


def score_as_new(bank, patches, own, scores, rows, selectable, components, radius):
    """Scores (n,) of training images as if they were new, high = anomalous.

    Parameters
    ----------
    bank : MemoryBank
    patches : ndarray of shape (n, h, w, d), float32
    own : ndarray of shape (n,), int64
        Their numbers, -1 for those that are compared with all patches.
    scores : ndarray of shape (n,), float64
        Those without their own patches.
    rows : ndarray of shape (n, q), int64
        Their worst patches; see :func:`n_rows`.
    selectable : ndarray of shape (n, p), bool
        Patches that may be memory patches, and are none.
    components : ndarray of shape (d, k), float32, or None
        The projection in which the bank was selected.
    radius : float
        Of the selection.

    Returns
    -------
    ndarray of shape (n,), float64
    """
    as_new = scores.copy()
    known = np.flatnonzero((own >= 0) & np.isfinite(scores))
    if len(known) < 2 or not selectable.any():
        return as_new
    selection = ExactNeighbors().fit(project_rows(bank.patches, components))
    n_groups = -(len(known) // -_GROUP)
    order = known if n_groups == 1 else np.random.RandomState(0).permutation(known)
    for group in np.array_split(order, n_groups):
        some = patches if len(group) == len(patches) else patches[group]
        flat = some.reshape(len(group), -1, patches.shape[-1])
        worst = np.take_along_axis(flat, rows[group][:, :, np.newaxis], axis=1)
        before = bank.score_patches(worst[:, :, np.newaxis], own[group], None)[:, :, 0]
        found = _stand_ins(
            selection,
            bank.source[:, 0],
            project(some, components).reshape(*flat.shape[:2], -1),
            own[group],
            rows[group],
            selectable[group],
            radius,
        )
        as_new[group] = _scores(bank, flat, worst, before, found)
    return as_new


def n_rows(n_worst, n_patches):
    """Number of worst patches that :func:`score_as_new` needs."""
    return min(_ROWS * (n_worst + 1), n_patches)


def _stand_ins(selection, source, points, own, rows, selectable, radius):
    """Numbers of the patches that would be selected without each image: a list of (c,).

    Only some of those near its worst patches, rows (n, q) of points (n, p, k).
    """
    n_images, n_patches, _ = points.shape
    flat = points.reshape(n_images * n_patches, -1)
    images = np.repeat(np.arange(n_images), n_patches)
    candidates = np.flatnonzero(selectable)
    queries = np.take_along_axis(points, rows[:, :, np.newaxis], axis=1)
    queries = queries.reshape(-1, points.shape[-1])
    asking = np.repeat(np.arange(n_images), rows.shape[1])
    search = ExactNeighbors().fit(flat[candidates])
    _, near = search.kneighbors(queries, _CANDIDATES, (asking, images[candidates]))
    pairs = np.column_stack([np.repeat(asking, near.shape[1]), near.ravel()])
    pairs = np.unique(pairs[pairs[:, 1] >= 0], axis=0)
    asking, numbers = pairs[:, 0], candidates[pairs[:, 1]]
    gaps, _ = selection.kneighbors(flat[numbers], 1, (own[asking], source))
    is_open = gaps[:, 0] > radius
    asking, numbers, gaps = asking[is_open], numbers[is_open], gaps[is_open, 0]
    found = []
    for image in range(n_images):
        some = slice(*np.searchsorted(asking, [image, image + 1]))
        picks = _go_on(flat[numbers[some]], gaps[some], radius)
        found.append(numbers[some][picks])
    return found


def _go_on(points, gaps, radius):
    """Select among points (c, k) greedily until none is farther than a radius from the selection.

    `gaps` (c,) are their distances to what is selected already.
    """
    gaps, picks = gaps.copy(), []
    while len(gaps) and gaps.max() > radius:
        picks.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, cdist(points, points[picks[-1:]])[:, 0])
    return np.array(picks, int)


def _scores(bank, flat, worst, before, found):
    """Scores (n,) of images (n, p, d) by their worst patches (n, q, d), and what was found.

    `before` (n, q) are the scores of these patches without. What stands in counts as a typical
    memory patch.
    """
    every = flat.reshape(-1, flat.shape[-1])
    weight, reach = np.median(bank.weights), np.median(bank.reaches)
    after = before.copy()
    for image, picks in enumerate(found):
        if len(picks):
            distances = cdist(worst[image], every[picks]).min(axis=1)
            scores = bank.score_distances(np.maximum(distances, reach), weight)
            after[image] = np.minimum(after[image], scores)
    return average_worst(after, bank.rule.n_worst, bank.rule.peak_share)
