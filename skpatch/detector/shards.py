# SPDX-License-Identifier: BSD-3-Clause
"""Fitting on more images than fit in memory, in shards that joblib spreads over workers.

Coresets compose; see :mod:`skpatch.bank.composing`.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed

from .. import __version__
from ..bank.composing import PartSelection, SelectionTree, condense, n_leaders
from ..bank.coreset import farthest_on_average
from ..bank.training_scores import score_training
from ..discriminators.base import Selection
from ..distances.projection import project, project_rows
from ..features.patches import check_patches
from ..likeness.given import GivenImages
from ..likeness.recognition import SPARE_PATCHES, TrainingImages
from ..runtime.memory import memory_bytes
from ..runtime.threads import execution, progress
from .learning import Fit, complete, screen

__all__ = ["Plan", "learn_in_shards", "plan_shards"]

# Share of the limit that is planned for. The C library keeps some of the memory that was freed.
_USED = 0.75


class Plan(NamedTuple):
    """How much is held at a time.

    Attributes
    ----------
    n_shards : int
    fan_in : int
        Number of selections that are joined and selected from again.
    """

    n_shards: int
    fan_in: int = 1


class _Task(NamedTuple):
    """What a worker is given.

    A tuple, because joblib's dask backend sends other objects to one worker only, from which the
    others fetch them: they would be lost with it.
    """

    fit: Fit
    features: object
    images: np.ndarray
    detail: object
    version: str = __version__

    def check(self):
        """Raise on a worker that would learn in another way than the others.

        Raised while a task is unpickled, an error would make dask wait for ever.
        """
        if self.version != __version__:
            raise RuntimeError(
                f"A worker has skpatch {__version__}, and the fit was started with {self.version}. "
                "Install the same version on all computers of the cluster."
            )


def plan_shards(n_images, n_features, fit):
    """Plan a fit on that many images within `memory_limit`, or raise.

    Parameters
    ----------
    n_images, n_features : int
    fit : Fit

    Returns
    -------
    Plan
    """
    settings, n_patches = fit.settings, fit.grid.n_patches
    if settings.memory_limit is None:
        return Plan(1)
    limit = _USED * memory_bytes(settings.memory_limit)
    size = fit.bank_size(n_images)
    patch, selected, candidate, model = _needs(n_images, n_features, fit)
    if model + n_images * n_patches * patch + size * 4 * n_features <= limit:
        return Plan(1)
    # Selections are held beside the next shard, and then joined. Two of them, and shards of
    # two images, are the least that makes sense.
    space, shard, leaders = limit - model, 2 * n_patches * patch, n_leaders(size)
    most = int(min(space // candidate, (space - shard) // selected) - leaders) // (3 * leaders)
    if most < 2:
        least = model + max(7 * leaders * candidate, shard + 7 * leaders * selected)
        raise ValueError(
            f"memory_limit={settings.memory_limit!r} is too small: {n_images} images of "
            f"{n_patches} patches with {n_features} features and a memory bank of {size} "
            f"patches need {_text(least / _USED)}. A smaller coreset_size, given as a "
            "number, and a smaller image_size of the extractor lower that."
        )
    for fan_in in range(2, most + 1):
        left = space - (3 * fan_in + 1) * leaders * selected
        n_shards = int(-(n_images * n_patches * patch // -left))
        if n_shards <= fan_in:
            break
    return Plan(n_shards, fan_in)


def _needs(n_images, n_features, fit):
    """Bytes for a patch of a shard, one selected, one of a union, and for what is learned."""
    n_patches = fit.grid.n_patches
    n_axes = n_features if fit.components is None else fit.components.shape[1]
    # Features, projection, and at most as many coordinates, with distances, in the coreset.
    patch = 4 * (n_features + (n_axes if n_axes < n_features else 0) + n_axes) + 40
    selected = 4 * n_features + 48
    worst = (fit.scoring_rule().n_worst + SPARE_PATCHES) * (4 * n_features + 8)
    model = n_images * (worst + 9 * n_patches) + fit.bank_size(n_images) * 20 * n_features
    model += fit.settings.noise_model().evidence_bytes(n_images, n_patches, n_axes)
    return patch, selected, patch + selected, model


def learn_in_shards(features, plan, fit, random_state, trusted):
    """Learn everything from features that are not held at once.

    Parameters
    ----------
    features : sequence
        Slices and arrays of numbers give the features (j, h, w, d) of some images, perhaps lazily.
    plan : Plan
    fit : Fit
    random_state : numpy.random.RandomState
    trusted : ndarray of shape (k,), int64
        Numbers of images that the user declared normal.

    Returns
    -------
    FittedState
    """
    n_images = len(features)
    # Copies could only be found by reading all images once more.
    given = GivenImages.of(np.arange(n_images)).declaring(trusted)
    declared = given.is_declared
    # At random: neighbours in a folder are often alike, or all defective.
    shards = np.array_split(random_state.permutation(n_images), plan.n_shards)
    shards = [np.sort(images) for images in shards]
    model, evidence = fit.settings.noise_model(), None
    for images in _blocks(model.witnesses(np.arange(n_images)), plan.n_shards, n_images):
        # Bound to no name, which would hold them beside the next ones.
        evidence = model.collect(
            evidence, project(_read(features[images], fit), fit.components), images
        )
    evidence = model.conclude(evidence, fit.grid.inspected)
    candidates, *noise = _select_in_shards(
        features, shards, plan, fit, random_state, declared, evidence
    )
    selection = Selection(
        points=project_rows(candidates.patches, fit.components),
        patches=candidates.patches,
        source=candidates.source,
        rows=fit.grid.rows(candidates.source),
        screened=noise[0][:, fit.grid.inspected],
        features_at=partial(_features_at, features, plan, fit),
        declared=declared,
    )
    return complete(
        fit,
        model,
        evidence,
        selection,
        noise=noise,
        screened=None,
        given=given,
        gap=0.0,
        radius=candidates.radius,
        random_state=random_state,
        score=partial(_score_in_shards, features, shards, fit),
    )


def _select_in_shards(features, shards, plan, fit, random_state, declared, evidence):
    """Candidates from all shards; outlier scores and kept patches (n, h, w) of all images."""
    seeds = random_state.randint(np.iinfo(np.int32).max, size=len(shards))
    size, shape = fit.bank_size(len(features)), (len(features), *fit.grid.shape)
    scores, kept = np.ones(shape), np.broadcast_to(fit.grid.inspected, shape).copy()
    scores[:, ~fit.grid.inspected] = np.nan

    def learn(numbers, leaders):
        """Leaders, and selections from shards, in turn; notes which patches are kept."""
        tasks = (
            _Task(fit, features[images], images, (size, seed, leaders, declared[images], evidence))
            for images, seed in ((shards[i], seeds[i]) for i in numbers)
        )
        found = Parallel(return_as="generator")(delayed(_learn_shard)(task) for task in tasks)
        for i, (selections, judged) in zip(numbers, found, strict=True):
            if judged is not None:
                scores[shards[i]] = fit.grid.expand(judged[0])
                kept[shards[i]] = fit.grid.expand(judged[1], False)
            bar.update(len(shards[i]))
            yield selections

    with progress(len(features), "shards") as bar:
        ((leaders, first),) = learn([0], None)
        tree = SelectionTree(leaders, size, plan.fan_in, fit.components, fit.settings.device)
        tree.add(first)
        for _, selection in learn(range(1, len(shards)), leaders.patches):
            tree.add(selection)
    return tree.root(), scores, kept


def _features_at(features, plan, fit, places):
    """Features (c, d) of patches, given by their images and numbers (c, 2), read once more."""
    found = None
    images = np.unique(places[:, 0])
    for block in _blocks(images, plan.n_shards, len(features)):
        rows = np.flatnonzero(np.isin(places[:, 0], block))
        image = np.searchsorted(block, places[rows, 0])
        patches = _read(features[block], fit)
        patches = patches.reshape(len(block), -1, patches.shape[-1])
        if found is None:
            found = np.empty((len(places), patches.shape[-1]), patches.dtype)
        found[rows] = patches[image, places[rows, 1]]
        del patches
    return found


def _score_in_shards(features, shards, fit, bank, own):
    """Score all training images, shard by shard; see :func:`score_training`."""
    tasks = (_Task(fit, features[images], images, (bank, own[images])) for images in shards)
    found = Parallel(return_as="generator")(delayed(_score_shard)(task) for task in tasks)
    whole = None
    with progress(len(features), "calibrating") as bar:
        for images, part in zip(shards, found, strict=True):
            if whole is None:
                n_images = len(features)
                whole = TrainingImages(
                    *(np.empty((n_images, *field.shape[1:]), field.dtype) for field in part)
                )
            for field, values in zip(whole, part, strict=True):
                field[images] = values
            bar.update(len(images))
    return whole


def _read(features, fit):
    """Inspected patches, extracted now if the features are lazy."""
    unit = fit.settings.metric == "cosine"
    return check_patches(features, fit.grid, may_skip=True, unit=unit)[0]


def _learn_shard(task):
    """Learn from the patches of some images.

    Returns
    -------
    leaders, selection : PartSelection
        The leaders that were given are not repeated.
    judged : tuple or None
        Noise scores, and which patches are kept; None if all are, and were not scored.
    """
    task.check()
    fit, features, images, (size, seed, leaders, declared, evidence), _ = task
    random_state = np.random.RandomState(seed)
    patches = _read(features, fit)
    with execution(fit.settings.n_jobs, False):
        points = project(patches, fit.components)
        model = fit.settings.noise_model(random_state)
        judged = screen(model, evidence, patches, points, images, fit, declared)
        survivors = np.flatnonzero(judged[1])
        points, patches = (array.reshape(-1, array.shape[-1]) for array in (points, patches))
        n_given = 0
        if leaders is None:
            start = farthest_on_average(points, random_state, survivors)
        else:
            n_given = len(leaders)
            start = np.arange(n_given)
            points = np.concatenate([project_rows(leaders, fit.components), points])
            survivors = np.r_[start, survivors + n_given]
            if fit.components is None:
                # The features themselves, of which one copy is enough.
                patches = points[n_given:]
        rows, *bounds = condense(points, size, start, survivors, fit.settings.device)
    rows = rows[n_given:] - n_given
    source = fit.grid.places(rows)
    source[:, 0] = images[source[:, 0]]
    n_led = 0 if n_given else n_leaders(size)
    selections = [
        PartSelection(patches[rows[part]], source[part], *bounds)
        for part in (slice(n_led), slice(n_led, None))
    ]
    is_plain = judged[1].all() and (judged[0] == 1).all()
    return selections, None if is_plain else judged


def _score_shard(task):
    """Scores of training images, and their worst patches; see :func:`score_training`."""
    task.check()
    fit, features, _, (bank, own), _ = task
    patches = _read(features, fit)
    with execution(fit.settings.n_jobs, False):
        return score_training(bank, patches, own)


def _blocks(images, n_shards, n_images):
    """Split numbers of images into blocks not larger than shards."""
    return np.array_split(images, -(-len(images) * n_shards // n_images)) if len(images) else []


def _text(n_bytes):
    """Bytes in the unit that memory_limit is given in."""
    return f"{n_bytes / 2**30:.2f}G" if n_bytes >= 2**30 else f"{-(n_bytes // -(2**20)):.0f}M"
