# SPDX-License-Identifier: BSD-3-Clause
"""The steps of a fit: screen the patches, select the bank, judge it, calibrate its scores."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from ..bank.candidates import Candidates, Rows
from ..bank.coreset import farthest_on_average, greedy_coreset
from ..bank.memory import MemoryBank, average_worst
from ..discriminators.base import Selection, TrainingPatches
from ..distances.projection import project
from ..distances.search import make_neighbors, on_device
from .calibration import calibration_scores
from .recognition import SPARE_PATCHES, TrainingImages
from .state import FittedState, own_images

__all__ = [
    "Judged",
    "calibrated",
    "judge",
    "learn_at_once",
    "score_again",
    "score_training",
    "screen",
    "select",
]


def learn_at_once(patches, grid, components, settings, random_state):
    """Learn everything from the patches of all images.

    Parameters
    ----------
    patches : ndarray of shape (n, h, w, d), float32
    grid : PatchGrid
    components : ndarray of shape (d, k), float32, or None
        The projection.
    settings : Settings
    random_state : numpy.random.RandomState

    Returns
    -------
    FittedState
    """
    n_images = len(patches)
    points = project(patches, components)
    model = settings.noise_model(random_state)
    scores, kept = screen(model, patches, points, grid, settings)
    flat, flat_points = (array.reshape(-1, array.shape[-1]) for array in (patches, points))
    survivors = np.flatnonzero(kept)
    start = farthest_on_average(flat_points, random_state, survivors)
    size = settings.bank_size(n_images, grid.n_patches)
    rows, radius = select(flat_points, size, start, survivors, settings)
    selection = Selection(
        # With a projection a copy, so that the projection of all patches need not be held.
        points=Rows(flat_points, rows) if components is None else flat_points[rows],
        patches=Rows(flat, rows),
        source=grid.places(rows),
        scores=scores.reshape(-1)[rows],
        n_images=n_images,
        features_at=lambda places: Rows(flat, places @ [grid.n_patches, 1]),
    )
    evidence = model.collect(None, selection, points, np.arange(n_images))
    del points, flat_points
    forgotten = np.zeros(n_images, bool)
    noise = grid.expand(scores), grid.expand(kept, False)
    judged = judge(model, evidence, selection, noise, forgotten, grid, settings, random_state)
    own = own_images(np.arange(n_images), judged.bank, judged.kept, grid)
    return FittedState(
        grid=grid,
        components=components,
        coreset_radius=radius,
        discriminator=model if hasattr(model, "outlier_scores_") else None,
        evidence=evidence,
        recognizes=model.recognizes_training_images,
        forgotten=forgotten,
        **judged._asdict(),
        **calibrated(score_training(judged.bank, patches, own), forgotten, judged.noise_ratio),
    )


def screen(model, patches, points, grid, settings):
    """Outlier scores (n, h, w) of patches, and which of them (n, h, w) may be selected."""

    def trial_bank(is_kept):
        survivors = np.flatnonzero(is_kept)
        size = min(settings.bank_size(len(patches), grid.n_patches), len(survivors))
        flat = points.reshape(-1, points.shape[-1])
        start = farthest_on_average(flat, np.random.RandomState(0), survivors)
        rows, _ = greedy_coreset(flat, size, start, survivors, settings.device)
        bank = patches.reshape(-1, patches.shape[-1])[rows]
        search = on_device(make_neighbors("exact", len(bank), None).fit(bank), settings.device)
        rule = settings.scoring_rule(grid.n_patches)
        ones, zeros = np.ones(len(bank)), np.zeros(len(bank))
        return MemoryBank(bank, grid.places(rows), ones, zeros, search, rule)

    return model.screen(TrainingPatches(points, patches, trial_bank), settings.threshold)


def select(points, size, start, survivors, settings):
    """Rows of points (p, k) that are selected, of which the `survivors` take part, and a radius."""
    if size > len(survivors) and settings.coreset_size != 1.0:
        warnings.warn(
            f"coreset_size={settings.coreset_size} asks for {size} memory patches, but "
            f"{len(survivors)} are left after noise_threshold={settings.noise_threshold}; "
            "all of them are used.",
            stacklevel=4,
        )
    return greedy_coreset(points, size, start, survivors, settings.device)


class Judged(NamedTuple):
    """A memory bank, and what is known of the training patches once it was judged.

    The fields are those of :class:`FittedState`.
    """

    bank: MemoryBank
    ratios: np.ndarray
    dropped: Candidates
    noise_ratio: float
    noise_scores: np.ndarray
    kept: np.ndarray
    trusted: np.ndarray


def judge(model, evidence, selection, noise, forgotten, grid, settings, random_state):
    """Ask a noise model about the selected patches, and build the memory bank from the others.

    Parameters
    ----------
    model : NoiseDiscriminator
    evidence : object
    selection : Selection
    noise : tuple of ndarray (n, h, w)
        Outlier scores of all patches, float64, and which of them may be selected, bool.
    forgotten : ndarray of shape (n,), bool
    grid : PatchGrid
    settings : Settings
    random_state : numpy.random.RandomState

    Returns
    -------
    Judged
    """
    verdict = model.judge(evidence, selection, settings.threshold)
    scores, kept = noise
    places = tuple(selection.source.T)
    if verdict.scores is not None:
        scores = np.full(scores.shape, np.nan)
        scores[places] = verdict.scores
    kept = kept & ~forgotten[:, np.newaxis, np.newaxis]
    kept[places] = ~verdict.is_noise
    ratios = np.ones(len(selection.source)) if verdict.ratios is None else verdict.ratios
    candidates = Candidates(selection.patches, selection.source, ratios)
    memory = candidates.take(~verdict.is_noise)
    return Judged(
        bank=_build_bank(memory, verdict, grid, settings, random_state),
        ratios=memory.ratios,
        dropped=candidates.take(verdict.is_noise),
        noise_ratio=verdict.noise_ratio,
        noise_scores=scores,
        kept=kept,
        trusted=verdict.is_trusted & ~forgotten,
    )


def _build_bank(memory, verdict, grid, settings, random_state):
    """Bank of candidates that are no noise, with its neighbour search."""
    kept = ~verdict.is_noise
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
            reaches = verdict.reaches[kept]
            given["reaches"] = reaches
    search = on_device(search.fit(memory.patches, **given), settings.device)
    rule = settings.scoring_rule(grid.n_patches)
    return MemoryBank(memory.patches, memory.source, weights, reaches, search, rule)


def score_training(bank, patches, own):
    """Scores (n,), high = anomalous, of training images without themselves; their worst patches.

    Parameters
    ----------
    bank : MemoryBank
    patches : ndarray of shape (n, h, w, d), float32
    own : ndarray of shape (n,), int64
        As of :func:`own_images`.

    Returns
    -------
    TrainingImages
        Its scores are high = anomalous, and inf where there is nothing to compare with.
    """
    n_rows = min(bank.rule.n_worst + SPARE_PATCHES, patches[0, ..., 0].size)
    scores, rows = bank.score_images(patches, own, "calibration", n_rows)
    flat = patches.reshape(len(patches), -1, patches.shape[-1])
    return TrainingImages(scores, rows, np.take_along_axis(flat, rows[..., np.newaxis], axis=1))


def score_again(bank, training, own):
    """As of :func:`score_training`, from the worst patches of images whose others are not known."""
    scores = bank.score_patches(training.worst_patches[:, :, np.newaxis], own)
    return training._replace(scores=average_worst(scores, bank.rule.n_worst))


def calibrated(training, forgotten, noise_ratio):
    """What scores of training images, as of :func:`score_training`, mean; fields of FittedState."""
    known = np.isfinite(training.scores) & ~forgotten
    scores = np.where(known, -training.scores, np.nan)
    return {
        "training": training._replace(scores=scores),
        "calibration_scores": calibration_scores(scores, noise_ratio),
    }
