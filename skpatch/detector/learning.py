# SPDX-License-Identifier: BSD-3-Clause
"""The steps of a fit: screen the patches, select the bank, judge it, and calibrate its scores."""

import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from ..bank.bank import MemoryBank
from ..bank.candidates import Candidates, Rows
from ..bank.coreset import farthest_on_average, greedy_coreset
from ..bank.training_scores import own_images, score_training
from ..bank.usual import counted_patches
from ..discriminators.base import Selection, TrainingPatches
from ..distances.projection import project
from ..distances.search import make_neighbors, on_device
from ..features.patches import PatchGrid
from ..likeness.apart import tell_groups
from ..likeness.copies import copy_gap, find_originals
from ..likeness.given import GivenImages
from .calibration import calibration_scores
from .state import FittedState, Settings

__all__ = ["Fit", "complete", "learn_at_once", "screen", "select", "spare"]

# Patches that could not be selected, but are kept, are at most such a share of the memory patches,
# and are measured against such a share of them. Of 200 solar cells it takes 4 % of a fit with local
# outlier factors; against all memory patches it takes three times as long, and the farthest patch
# is 1.2 radii away, not 1.5.
_SPARE = 0.15
_LEADERS = 0.05


class Fit(NamedTuple):
    """What all steps of a fit have in common.

    Attributes
    ----------
    grid : PatchGrid
    components : ndarray of shape (d, k), float32, or None
        The projection.
    settings : Settings
    """

    grid: PatchGrid
    components: np.ndarray | None
    settings: Settings

    def bank_size(self, n_images):
        """Number of memory patches that `coreset_size` asks for."""
        return self.settings.bank_size(n_images, self.grid.n_patches)

    def scoring_rule(self):
        """How images are scored."""
        return self.settings.scoring_rule(self.grid.n_patches)


def learn_at_once(patches, fit, random_state, trusted, views=None):
    """Learn everything from the patches of all images.

    Parameters
    ----------
    patches : ndarray of shape (n, h, w, d), float32
    fit : Fit
    random_state : numpy.random.RandomState
    trusted : ndarray of shape (k,), int64
        Numbers of images that the user declared normal.
    views : ndarray of shape (n, v, h, w, d), float32, optional
        The images and turned copies of each, patches at the places of the image that they come
        from. A patch of a copy is one of its image: it can be a memory patch unless that at its
        place is noise, and neither accuses nor vouches.

    Returns
    -------
    FittedState
    """
    views = patches[:, np.newaxis] if views is None else views
    gap = copy_gap(patches)
    originals = find_originals(patches, gap)
    # Of copies of a single image there would be nothing to compare.
    given = GivenImages.of(originals if originals.any() else np.arange(len(patches)))
    given = given.declaring(trusted)
    if len(given.numbers) < len(patches):
        # All that follows sees each image once.
        views = views[given.numbers]
        patches = np.ascontiguousarray(views[:, 0])
    tell_groups(patches, given.numbers)
    (n_images, n_views), grid = views.shape[:2], fit.grid
    flat = views.reshape(-1, views.shape[-1])
    flat_points = project(flat[:, np.newaxis, np.newaxis], fit.components)[:, 0, 0]
    points = np.ascontiguousarray(flat_points.reshape(*views.shape[:-1], -1)[:, 0])
    model = fit.settings.noise_model(random_state)
    numbers = np.arange(n_images)
    evidence = model.conclude(model.collect(None, points, numbers), grid.inspected)
    scores, kept = screen(model, evidence, patches, points, numbers, fit, given.is_declared)
    of_views = np.repeat(kept[:, np.newaxis], n_views, axis=1)
    survivors = np.flatnonzero(of_views)
    start = farthest_on_average(flat_points, random_state, survivors)
    size = fit.bank_size(n_images * n_views)
    rows, radius = select(flat_points, size, start, survivors, fit)
    spared = spare(flat_points, rows, np.flatnonzero(~of_views), radius, fit)

    def own(rows):
        """Patches of the images themselves at the places of those of views."""
        images, left = np.divmod(rows, n_views * grid.n_patches)
        return images * grid.n_patches + left % grid.n_patches

    selection = Selection(
        # With a projection a copy, so that the projection of all patches need not be held.
        points=Rows(flat_points, rows) if fit.components is None else flat_points[rows],
        patches=Rows(flat, rows),
        source=grid.places(own(rows)),
        rows=rows % grid.n_patches,
        screened=scores.reshape(n_images, -1),
        features_at=lambda places: Rows(flat, places @ [n_views * grid.n_patches, 1]),
        declared=given.is_declared,
    )
    del points, flat_points
    return complete(
        fit,
        model,
        evidence,
        selection,
        noise=(grid.expand(scores), grid.expand(kept, False)),
        screened=Candidates(flat[spared], grid.places(own(spared)), np.ones(len(spared))),
        given=given,
        gap=gap,
        radius=radius,
        random_state=random_state,
        score=lambda bank, own: score_training(bank, patches, own),
    )


def screen(model, evidence, patches, points, images, fit, declared):
    """Outlier scores (n, h, w) of patches of images, and which of them may be selected.

    Those of images that the user declared normal, (n,), may be in any case.
    """

    def trial_bank(is_kept):
        rows = np.flatnonzero(is_kept)
        flat = points.reshape(-1, points.shape[-1])
        start = farthest_on_average(flat, np.random.RandomState(0), rows)
        rows, _ = greedy_coreset(flat, fit.bank_size(len(patches)), start, rows, device)
        features = patches.reshape(-1, patches.shape[-1])[rows]
        search = on_device(make_neighbors("exact", len(rows), None).fit(features), device)
        ones, zeros = np.ones(len(rows)), np.zeros(len(rows))
        return MemoryBank(features, fit.grid.places(rows), ones, zeros, search, fit.scoring_rule())

    device = fit.settings.device
    training = TrainingPatches(
        points, patches, trial_bank, declared, images, fit.grid.inspected, evidence
    )
    scores, kept = model.screen(training, fit.settings.threshold)
    return scores, kept | declared[:, np.newaxis, np.newaxis]


def select(points, size, start, survivors, fit):
    """Rows of points (p, k) that are selected, of which the `survivors` take part, and a radius."""
    settings = fit.settings
    if size > len(survivors) and settings.coreset_size != 1.0:
        warnings.warn(
            f"coreset_size={settings.coreset_size} asks for {size} memory patches, but "
            f"{len(survivors)} are left after noise_threshold={settings.noise_threshold}; "
            "all of them are used.",
            stacklevel=4,
        )
    return greedy_coreset(points, size, start, survivors, settings.device)


def spare(points, rows, screened_out, radius, fit):
    """Select patches that could not be selected, for when their images are declared normal.

    Parameters
    ----------
    points : ndarray of shape (p, k), float32
    rows : ndarray of shape (m,), int64
        Those that were selected.
    screened_out : ndarray of shape (q,), int64
        Those that could not be.
    radius : float
        Of the selection. Nearer patches need no others.
    fit : Fit

    Returns
    -------
    ndarray of shape (at most q,), int64
        Some rows of `screened_out`.
    """
    if len(screened_out) == 0:
        return screened_out
    size = max(1, int(_SPARE * len(rows)))
    leaders = rows[: max(1, int(_LEADERS * len(rows)))]
    among = np.sort(np.append(leaders, screened_out))
    picks, _ = greedy_coreset(
        points, len(leaders) + size, leaders, among, fit.settings.device, radius
    )
    return picks[len(leaders) :]


def complete(
    fit, model, evidence, selection, *, noise, screened, given, gap, radius, random_state, score
):
    """Ask a noise model about the selected patches, build the bank of the others, and calibrate.

    Parameters
    ----------
    fit : Fit
    model : NoiseDiscriminator
    evidence : object
        What it has collected.
    selection : Selection
    noise : tuple of ndarray (n, h, w)
        Outlier scores of all patches, float64, and which of them may be selected, bool.
    screened : Candidates or None
        As of FittedState.
    given : GivenImages
    gap : float
        As of :func:`copy_gap`.
    radius : float
        Of the selection.
    random_state : numpy.random.RandomState
    score : callable
        From a MemoryBank and numbers (n,) as of :func:`own_images` to what
        :func:`score_training` returns for all images.

    Returns
    -------
    FittedState
    """
    declared = given.is_declared
    verdict = model.judge(evidence, selection, fit.settings.threshold)
    verdict = verdict.overruled(selection.source[:, 0], declared)
    scores, kept = noise
    places = tuple(selection.source.T)
    is_left = ~given.is_gone
    kept = (kept | declared[:, np.newaxis, np.newaxis]) & fit.grid.inspected
    kept &= is_left[:, np.newaxis, np.newaxis]
    kept[places] = ~verdict.is_noise
    accused = np.zeros(kept.shape, bool)
    if verdict.is_accused is not None:
        accused[:, fit.grid.inspected] = verdict.is_accused
    accused &= kept & ~declared[:, np.newaxis, np.newaxis]
    ratios = np.ones(len(selection.source)) if verdict.ratios is None else verdict.ratios
    candidates = Candidates(selection.patches, selection.source, ratios)
    memory = candidates.take(~verdict.is_noise)
    bank = _build_bank(memory, verdict, fit, random_state)
    if fit.settings.soft_weights:
        inspected = fit.grid.inspected
        is_normal = counted_patches(kept, accused, verdict.is_trusted, inspected)
        usual = model.usual(evidence, is_normal, inspected)
        bank = replace(bank, usual=None if usual is None else usual.after(fit.components))
    training = score(bank, own_images(np.arange(len(kept)), bank, kept, fit.grid))
    known = np.isfinite(training.scores) & is_left
    training = training._replace(scores=np.where(known, -training.scores, np.nan))
    return FittedState(
        grid=fit.grid,
        components=fit.components,
        bank=bank,
        ratios=memory.ratios,
        dropped=candidates.take(verdict.is_noise),
        screened=screened,
        coreset_radius=radius,
        discriminator=model if hasattr(model, "outlier_scores_") else None,
        evidence=evidence,
        recognizes=model.recognizes_training_images,
        noise_scores=scores,
        kept=kept,
        accused=accused,
        finding=verdict.finding,
        trusted=verdict.is_trusted & is_left,
        given=given,
        copy_gap=gap,
        training=training,
        calibration_scores=calibration_scores(training.scores, verdict.noise_ratio, declared),
    )


def _build_bank(memory, verdict, fit, random_state):
    """Bank of candidates that are no noise, with its neighbour search."""
    settings, kept = fit.settings, ~verdict.is_noise
    search = make_neighbors(settings.neighbors, len(memory.patches), random_state)
    weights, reaches, given = np.ones(len(memory.patches)), np.zeros(len(memory.patches)), {}
    if settings.soft_weights:
        weights = verdict.weights[kept]
        if verdict.reaches is not None:
            if not has_fit_parameter(search, "reaches"):
                raise ValueError(
                    f"neighbors={search!r} has no parameter `reaches` of fit, which soft_weights="
                    f"True needs with discriminator={settings.discriminator!r}; pass "
                    "soft_weights=False, or add it."
                )
            reaches = given["reaches"] = verdict.reaches[kept]
    search = on_device(search.fit(memory.patches, **given), settings.device)
    return MemoryBank(memory.patches, memory.source, weights, reaches, search, fit.scoring_rule())
