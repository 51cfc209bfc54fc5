# SPDX-License-Identifier: BSD-3-Clause
"""More training images, or fewer, without the features of those seen before."""

from dataclasses import replace

import numpy as np
from sklearn.utils import check_random_state

from ..bank.candidates import Candidates
from ..discriminators.base import Selection
from ..distances.projection import project, project_rows
from ..features.patches import require_images
from .learning import calibrated, judge, score_again, score_training, screen, select
from .recognition import TrainingImages
from .state import own_images

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
    grid, n_before = state.grid, state.n_images
    numbers = np.arange(n_before, n_before + len(patches))
    points = project(patches, state.components)
    model = _noise_model(state, settings, check_random_state(random_state))
    new_scores, new_kept = screen(model, patches, points, grid, settings)
    scores = np.concatenate([state.noise_scores, grid.expand(new_scores)])
    kept = np.concatenate([_kept_before(state), grid.expand(new_kept, False)])
    forgotten = np.append(state.forgotten, np.zeros(len(patches), bool))
    candidates, survivors = _join(state, patches, new_kept)
    rows, radius = _select_again(candidates, survivors, forgotten, state, settings)
    candidates = candidates.take(rows)
    selection = _selection(candidates, scores, state)
    evidence = model.collect(state.evidence, selection, points, numbers)
    del points
    random_state = check_random_state(random_state)
    noise = scores, kept
    judged = judge(model, evidence, selection, noise, forgotten, grid, settings, random_state)
    before, new = np.split(
        own_images(np.arange(len(kept)), judged.bank, judged.kept, grid), [n_before]
    )
    new = score_training(judged.bank, patches, new)
    old = score_again(judged.bank, state.training, before)
    training = TrainingImages(*map(np.concatenate, zip(old, new, strict=True)))
    return replace(
        state,
        coreset_radius=radius,
        discriminator=model if hasattr(model, "outlier_scores_") else None,
        evidence=evidence,
        recognizes=model.recognizes_training_images,
        forgotten=forgotten,
        **judged._asdict(),
        **calibrated(training, forgotten, judged.noise_ratio),
    )


def forget(state, numbers, settings, random_state):
    """Take training images, given by their numbers, out; parameters and result as of `grow`."""
    forgotten = state.forgotten.copy()
    forgotten[numbers] = True
    candidates = state.candidates()
    candidates = candidates.take(~forgotten[candidates.source[:, 0]])
    left = np.unique(candidates.source[:, 0])
    require_images(left, 2, "memory patches must be left, after forgetting, of")
    model = _noise_model(state, settings, None)
    evidence = model.dismiss(state.evidence, numbers)
    selection = _selection(candidates, state.noise_scores, state)
    random_state = check_random_state(random_state)
    noise = state.noise_scores, _kept_before(state)
    judged = judge(model, evidence, selection, noise, forgotten, state.grid, settings, random_state)
    own = own_images(np.arange(state.n_images), judged.bank, judged.kept, state.grid)
    training = score_again(judged.bank, state.training, own)
    return replace(
        state,
        evidence=evidence,
        recognizes=model.recognizes_training_images,
        forgotten=forgotten,
        **judged._asdict(),
        **calibrated(training, forgotten, judged.noise_ratio),
    )


def _noise_model(state, settings, random_state):
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


def _join(state, patches, new_kept):
    """Candidates of before and all new patches, and which rows of them take part."""
    before = state.candidates()
    source = state.grid.places(np.arange(new_kept.size), state.n_images)
    ratios = np.full(new_kept.size, np.median(before.ratios))
    new = Candidates(patches.reshape(new_kept.size, -1), source, ratios)
    n_before = len(before.patches)
    survivors = np.append(np.arange(n_before), n_before + np.flatnonzero(new_kept))
    return before.join(new), survivors


def _select_again(candidates, survivors, forgotten, state, settings):
    """Rows of candidates that are selected, and a bound of the coreset's radius."""
    size = settings.bank_size(np.count_nonzero(~forgotten), state.grid.n_patches)
    points = project_rows(candidates.patches, state.components)
    rows, radius = select(points, size, 0, survivors, settings)
    n_before = len(state.bank.patches) + len(state.dropped.patches)
    if np.count_nonzero(rows < n_before) == n_before:
        return rows, max(state.coreset_radius, radius)
    return rows, state.coreset_radius + radius


def _selection(candidates, scores, state):
    """Candidates as a discriminator is given them; `scores` are those of all patches."""
    return Selection(
        points=project_rows(candidates.patches, state.components),
        patches=candidates.patches,
        source=candidates.source,
        scores=scores[tuple(candidates.source.T)],
        n_images=len(scores),
        ratios=candidates.ratios,
    )
