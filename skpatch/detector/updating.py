# SPDX-License-Identifier: BSD-3-Clause
"""More training images, or fewer, without the features of those seen before."""

from dataclasses import replace

import numpy as np
from sklearn.utils import check_random_state

from ..bank.candidates import Candidates
from ..discriminators.base import Selection
from ..distances.projection import project, project_rows
from ..features.patches import require_images
from ..likeness.copies import can_have_copies, find_originals
from ..likeness.recognition import TrainingImages
from .learning import Fit, complete, screen, select
from .training_scores import score_again, score_training

__all__ = ["forget", "grow"]


def grow(state, patches, settings, random_state):
    """Learn from more images.

    The memory bank is selected again, from the patches selected before and all those of the new
    images.

    Parameters
    ----------
    state : FittedState
        Stays as it is.
    patches : ndarray of shape (n, h, w, d), float32
    settings : Settings
    random_state : int, RandomState instance or None
        A seed serves each step that draws.

    Returns
    -------
    FittedState
    """
    given, is_new = _join(state, patches)
    if not is_new.any():
        return forget(replace(state, given=given), [], settings, random_state)
    patches = patches if is_new.all() else patches[is_new]
    fit, n_before = Fit(state.grid, state.components, settings), state.n_images
    points = project(patches, fit.components)
    model = _noise_model(state, settings, check_random_state(random_state))
    new_scores, new_kept = screen(model, patches, points, fit)
    scores = np.concatenate([state.noise_scores, fit.grid.expand(new_scores)])
    kept = np.concatenate([_kept_before(state), fit.grid.expand(new_kept, False)])
    candidates, radius = _select_again(state, patches, new_kept, given, fit)
    selection = _selection(candidates, scores, fit)
    numbers = np.arange(n_before, len(scores))
    evidence = model.collect(state.evidence, selection, points, numbers)
    del points

    def score(bank, own):
        new = score_training(bank, patches, own[n_before:])
        old = score_again(bank, state.training, own[:n_before])
        return TrainingImages(*map(np.concatenate, zip(old, new, strict=True)))

    return complete(
        fit,
        model,
        evidence,
        selection,
        noise=(scores, kept),
        given=given,
        gap=state.copy_gap,
        radius=radius,
        random_state=check_random_state(random_state),
        score=score,
    )


def forget(state, numbers, settings, random_state):
    """Take training images, given by their numbers, out; parameters and result as of `grow`."""
    fit = Fit(state.grid, state.components, settings)
    given = state.given.without(numbers)
    # Of the others that are forgotten a copy is left.
    gone = np.flatnonzero(given.is_gone & ~state.given.is_gone)
    candidates = state.candidates()
    candidates = candidates.take(~given.is_gone[candidates.source[:, 0]])
    if len(gone):
        left = np.unique(candidates.source[:, 0])
        require_images(left, 2, "memory patches must be left, after forgetting, of")
    model = _noise_model(state, settings)
    return complete(
        fit,
        model,
        model.dismiss(state.evidence, gone),
        _selection(candidates, state.noise_scores, fit),
        noise=(state.noise_scores, _kept_before(state)),
        given=given,
        gap=state.copy_gap,
        radius=state.coreset_radius,
        random_state=check_random_state(random_state),
        score=lambda bank, own: score_again(bank, state.training, own),
    )


def _join(state, patches):
    """The images that were given, new ones included, and which of these (n,) are no copies."""
    identity = np.full(len(patches), -1)
    if can_have_copies(patches):
        identity = state.training.recognize(patches, state.copy_gap)
    originals = find_originals(patches, state.copy_gap)
    own = np.arange(len(patches))
    known = identity[originals]
    is_new = (known < 0) & (originals == own)
    numbers = state.n_images - 1 + np.cumsum(is_new)
    return state.given.joined_by(np.where(known < 0, numbers[originals], known)), is_new


def _noise_model(state, settings, random_state=None):
    """The discriminator, if it can go on from what was kept in fit."""
    model = settings.noise_model(random_state)
    if state.evidence is None and len(model.witnesses(np.arange(state.n_images))):
        raise ValueError(
            f"discriminator={settings.discriminator!r} needs what another discriminator does not "
            "keep in fit; set it back, or fit again."
        )
    return model


def _kept_before(state):
    """Which patches (n, h, w) could be selected, before the memory bank was judged."""
    kept = state.kept.copy()
    kept[tuple(state.dropped.source.T)] = True
    return kept


def _select_again(state, patches, new_kept, given, fit):
    """Candidates from those of before and all new patches, and a bound of the coreset's radius."""
    before = state.candidates()
    source = fit.grid.places(np.arange(new_kept.size), state.n_images)
    ratios = np.full(new_kept.size, np.median(before.ratios))
    n_before = len(before.patches)
    joined = before.join(Candidates(patches.reshape(new_kept.size, -1), source, ratios))
    del before
    survivors = np.append(np.arange(n_before), n_before + np.flatnonzero(new_kept))
    size = fit.bank_size(np.count_nonzero(~given.is_gone))
    points = project_rows(joined.patches, fit.components)
    rows, radius = select(points, size, 0, survivors, fit)
    is_whole = np.count_nonzero(rows < n_before) == n_before
    bound = max(state.coreset_radius, radius) if is_whole else state.coreset_radius + radius
    return joined.take(rows), bound


def _selection(candidates, scores, fit):
    """Candidates as a discriminator is given them; `scores` are those of all patches."""
    return Selection(
        points=project_rows(candidates.patches, fit.components),
        patches=candidates.patches,
        source=candidates.source,
        scores=scores[tuple(candidates.source.T)],
        n_images=len(scores),
        ratios=candidates.ratios,
    )
