# SPDX-License-Identifier: BSD-3-Clause
"""More training images, or fewer, without the features of those seen before."""

from dataclasses import replace

import numpy as np
from sklearn.utils import check_random_state

from ..bank.candidates import Candidates
from ..bank.training_scores import score_again, score_training
from ..discriminators.base import Selection
from ..distances.projection import project, project_rows
from ..features.patches import require_images
from ..likeness.copies import can_have_copies, find_originals
from ..likeness.recognition import TrainingImages
from .learning import Fit, complete, screen, select, spare

__all__ = ["forget", "grow", "trust"]


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
    nothing = np.zeros(len(patches), bool)
    numbers = np.arange(n_before, n_before + len(patches))
    evidence = model.collect(state.evidence, points, numbers)
    evidence = model.conclude(evidence, fit.grid.inspected)
    new_scores, new_kept = screen(model, evidence, patches, points, numbers, fit, nothing)
    scores = np.concatenate([state.noise_scores, fit.grid.expand(new_scores)])
    kept = np.concatenate([_kept_before(state), fit.grid.expand(new_kept, False)])
    candidates, screened, radius = _select_again(state, patches, new_kept, given, fit)
    selection = _selection(candidates, scores, given.is_declared, fit)
    del points

    def score(bank, own):
        new = score_training(bank, patches, own[n_before:])
        old = score_again(bank, state.training, own[:n_before], state.bank)
        return TrainingImages(*map(np.concatenate, zip(old, new, strict=True)))

    return complete(
        fit,
        model,
        evidence,
        selection,
        noise=(scores, kept),
        screened=screened,
        given=given,
        gap=state.copy_gap,
        radius=radius,
        random_state=check_random_state(random_state),
        score=score,
    )


def forget(state, numbers, settings, random_state):
    """Take training images, given by their numbers, out; parameters and result as of `grow`."""
    given = state.given.without(numbers)
    # Of the others that are forgotten a copy is left.
    gone = np.flatnonzero(given.is_gone & ~state.given.is_gone)
    candidates, screened = (
        some if some is None else some.take(~given.is_gone[some.source[:, 0]])
        for some in (state.candidates(), state.screened)
    )
    if len(gone):
        left = np.unique(candidates.source[:, 0])
        require_images(left, 2, "memory patches must be left, after forgetting, of")
    model = _noise_model(state, settings)
    evidence = model.dismiss(state.evidence, gone)
    return _judge_again(state, settings, random_state, model, evidence, candidates, screened, given)


def trust(state, numbers, settings, random_state):
    """Take training images, given by their numbers, for normal; else as `grow`."""
    _require_patches(state, numbers)
    given = state.given.declaring(numbers)
    candidates, screened = state.candidates(), state.screened
    if screened is not None:
        is_back = given.is_declared[screened.source[:, 0]]
        back, screened = screened.take(is_back), screened.take(~is_back)
        ratios = np.full(len(back.ratios), np.median(candidates.ratios))
        candidates = candidates.join(back._replace(ratios=ratios))
    model = _noise_model(state, settings)
    return _judge_again(
        state, settings, random_state, model, state.evidence, candidates, screened, given
    )


def _check_rule(state, settings):
    """Raise for a way to score of which too little is known of earlier images.

    More patches than are averaged now, or fewer, or their lengths, which the cosine leaves out.
    """
    if "cosine" in {settings.metric, state.bank.rule.metric} and (
        settings.metric != state.bank.rule.metric
    ):
        raise ValueError(
            f"metric={settings.metric!r} was {state.bank.rule.metric!r} in the fit, and the memory "
            "patches have the lengths for that. Set it back, or fit again."
        )
    before = state.bank.rule.n_worst
    now = settings.scoring_rule(state.grid.n_patches).n_worst
    if now != before:
        raise ValueError(
            f"worst_patches={settings.worst_patches!r} averages {now} patches of an image, but the "
            f"model was fitted to average {before}, and knows no more of earlier images than their "
            "worst patches. Set it back, or fit again."
        )


def _require_patches(state, numbers):
    """Raise unless all is known that images need to be taken for normal."""
    taken_out = numbers[state.given.forgotten[numbers]]
    if len(taken_out):
        raise ValueError(f"images contains {taken_out[0]}, which was forgotten.")
    is_lacking = (state.grid.inspected & ~_kept_before(state)).any(axis=(1, 2))
    is_lacking = is_lacking[state.given.identity[numbers]]
    if state.screened is None and is_lacking.any():
        raise ValueError(
            f"images contains {numbers[is_lacking][0]}, but the patches of it that were dropped as "
            "noise are not known any more: the model was fitted in shards, or by an older "
            f"skpatch. Fit again with trusted={numbers.tolist()}."
        )


def _judge_again(state, settings, random_state, model, evidence, candidates, screened, given):
    """State of the same distinct images, some of which are now forgotten or declared normal."""
    fit = Fit(state.grid, state.components, settings)
    return complete(
        fit,
        model,
        model.conclude(evidence, fit.grid.inspected),
        _selection(candidates, state.noise_scores, given.is_declared, fit),
        noise=(state.noise_scores, _kept_before(state)),
        screened=screened,
        given=given,
        gap=state.copy_gap,
        radius=state.coreset_radius,
        random_state=check_random_state(random_state),
        score=lambda bank, own: score_again(bank, state.training, own, state.bank),
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
    _check_rule(state, settings)
    return model


def _kept_before(state):
    """Which patches (n, h, w) could be selected, before the memory bank was judged."""
    kept = state.kept.copy()
    kept[tuple(state.dropped.source.T)] = True
    return kept


def _select_again(state, patches, new_kept, given, fit):
    """Candidates from those of before and all new patches, and a bound of the coreset's radius.

    Between the two, the screened ones of a FittedState.
    """
    before = state.candidates()
    source = fit.grid.places(np.arange(new_kept.size), state.n_images)
    ratios = np.full(new_kept.size, np.median(before.ratios))
    n_before = len(before.patches)
    if state.screened is not None:
        before = before.join(state.screened)
    n_old = len(before.patches)
    joined = before.join(Candidates(patches.reshape(new_kept.size, -1), source, ratios))
    del before
    survivors = np.append(np.arange(n_before), n_old + np.flatnonzero(new_kept))
    size = fit.bank_size(np.count_nonzero(~given.is_gone))
    points = project_rows(joined.patches, fit.components)
    rows, radius = select(points, size, 0, survivors, fit)
    is_whole = np.count_nonzero(rows < n_before) == n_before
    bound = max(state.coreset_radius, radius) if is_whole else state.coreset_radius + radius
    screened = None
    if state.screened is not None:
        others = np.setdiff1d(np.arange(len(points)), survivors, assume_unique=True)
        screened = joined.take(spare(points, rows, others, radius, fit))
    return joined.take(rows), screened, bound


def _selection(candidates, scores, declared, fit):
    """Candidates as a discriminator is given them; `scores` are those of all patches."""
    return Selection(
        points=project_rows(candidates.patches, fit.components),
        patches=candidates.patches,
        source=candidates.source,
        rows=fit.grid.rows(candidates.source),
        screened=scores[:, fit.grid.inspected],
        ratios=candidates.ratios,
        declared=declared,
    )
