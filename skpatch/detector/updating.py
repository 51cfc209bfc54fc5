# SPDX-License-Identifier: BSD-3-Clause
"""More training images, or fewer, without the features of those seen before."""

import numpy as np
from sklearn.utils import check_random_state

from ..bank.candidates import Candidates
from ..discriminators.base import Selection
from ..distances.projection import project, project_rows
from ..features.patches import require_images
from .learning import Fit, complete, screen, select
from .recognition import TrainingImages
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
    fit, n_before = Fit(state.grid, state.components, settings), state.n_images
    points = project(patches, fit.components)
    model = _noise_model(state, settings, check_random_state(random_state))
    new_scores, new_kept = screen(model, patches, points, fit)
    scores = np.concatenate([state.noise_scores, fit.grid.expand(new_scores)])
    kept = np.concatenate([_kept_before(state), fit.grid.expand(new_kept, False)])
    forgotten = np.append(state.forgotten, np.zeros(len(patches), bool))
    candidates, radius = _select_again(state, patches, new_kept, forgotten, fit)
    selection = _selection(candidates, scores, fit)
    numbers = np.arange(n_before, len(forgotten))
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
        forgotten=forgotten,
        radius=radius,
        random_state=check_random_state(random_state),
        score=score,
    )


def forget(state, numbers, settings, random_state):
    """Take training images, given by their numbers, out; parameters and result as of `grow`."""
    fit = Fit(state.grid, state.components, settings)
    forgotten = state.forgotten.copy()
    forgotten[numbers] = True
    candidates = state.candidates()
    candidates = candidates.take(~forgotten[candidates.source[:, 0]])
    left = np.unique(candidates.source[:, 0])
    require_images(left, 2, "memory patches must be left, after forgetting, of")
    model = _noise_model(state, settings)
    return complete(
        fit,
        model,
        model.dismiss(state.evidence, numbers),
        _selection(candidates, state.noise_scores, fit),
        noise=(state.noise_scores, _kept_before(state)),
        forgotten=forgotten,
        radius=state.coreset_radius,
        random_state=check_random_state(random_state),
        score=lambda bank, own: score_again(bank, state.training, own),
    )


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


def _select_again(state, patches, new_kept, forgotten, fit):
    """Candidates from those of before and all new patches, and a bound of the coreset's radius."""
    before = state.candidates()
    source = fit.grid.places(np.arange(new_kept.size), state.n_images)
    ratios = np.full(new_kept.size, np.median(before.ratios))
    n_before = len(before.patches)
    joined = before.join(Candidates(patches.reshape(new_kept.size, -1), source, ratios))
    del before
    survivors = np.append(np.arange(n_before), n_before + np.flatnonzero(new_kept))
    size = fit.bank_size(np.count_nonzero(~forgotten))
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
