# SPDX-License-Identifier: BSD-3-Clause
"""Fitting on more images than fit in memory, in shards that joblib spreads over workers.

Coresets compose: a selection from the union of selections leaves no point farther from it than
the largest radius of the selections and its own. Each of them is at most twice the least possible
radius of as many centres, so the selection from a union is within a factor of four (G. Malkomes
et al., "Fast distributed k-center clustering with outliers on massive data", NeurIPS 2015), and
each further level of a tree of unions adds two.
"""

from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from joblib.disk import memstr_to_bytes
from sklearn.base import clone

from ._coreset import farthest_on_average, greedy_coreset
from ._inspected import expand, places
from ._parallel import progress
from ._projection import project, project_rows
from ._support import Jury, distance_ratios, jury_of
from ._updating import SPARE_PATCHES, Candidates, UpdatableBankMixin
from ._validation import check_patches

__all__ = ["ShardedFitMixin"]

# Share of the limit that is planned for. The C library keeps some of the memory that was freed.
_USED = 0.75


class Plan(NamedTuple):
    """How much is held at a time.

    Attributes
    ----------
    n_shards : int
    shard_size : int
        Number of patches selected from a shard, at least those of the memory bank: the more, the
        closer the last selection comes to one from all patches.
    fan_in : int
        Number of selections that are joined and selected from again.
    """

    n_shards: int
    shard_size: int = 0
    fan_in: int = 1


class _Task(NamedTuple):
    """What a worker is given.

    A tuple, because joblib's dask backend sends other objects to one worker only, from which the
    others fetch them: they would be lost with it.
    """

    detector: "ShardedFitMixin"
    features: object
    images: np.ndarray
    detail: object


class _Selection(NamedTuple):
    """Patches (c, d), their source (c, 3), and a bound on the distance of all patches to them."""

    patches: np.ndarray
    source: np.ndarray
    radius: float


class ShardedFitMixin(UpdatableBankMixin):
    """Fits shard by shard, for a detector that can do the steps of a fit."""

    def _plan(self, n_images):
        """Plan of a fit on that many images within `memory_limit`, or raise."""
        if self.memory_limit is None:
            return Plan(1)
        limit = _USED * _bytes(self.memory_limit)
        n_patches, n_features = self._n_patches, self.n_features_in_
        size = self._bank_size(n_images)
        patch, candidate, fixed = self._needs(n_images)
        if fixed + n_images * n_patches * patch + size * 4 * n_features <= limit:
            return Plan(1)
        # One half for a shard, of two images at least, and one for a union, of two selections.
        half, least = (limit - fixed) / 2, 2 * max(n_patches * patch, size * candidate)
        if half < least:
            raise ValueError(
                f"memory_limit={self.memory_limit!r} is too small: {n_images} images of "
                f"{n_patches} patches with {n_features} features and a memory bank of {size} "
                f"patches need {_text((fixed + 2 * least) / _USED)}. A smaller coreset_size, given as a "
                "number, and a smaller image_size of the extractor lower that."
            )
        n_shards = int(-(n_images * n_patches * patch // -half))
        shard_size = max(size, int(half // candidate) // n_shards)
        return Plan(n_shards, shard_size, int(half // (shard_size * candidate)))

    def _needs(self, n_images):
        """Bytes for a patch of a shard, for one of a union, and for all that is learned."""
        n_patches, n_features = self._n_patches, self.n_features_in_
        n_axes = n_features if self._components is None else self._components.shape[1]
        # Features, projection, and at most as many coordinates, with distances, in the coreset.
        patch = 4 * (n_features + (n_axes if n_axes < n_features else 0) + n_axes) + 40
        candidate = patch + 4 * n_features + 48
        worst = (self._n_worst + SPARE_PATCHES) * (4 * n_features + 8)
        model = n_images * (worst + 9 * n_patches) + self._bank_size(n_images) * 20 * n_features
        if self.discriminator == "support":
            model += len(jury_of(np.arange(n_images))) * n_patches * 2 * min(n_axes, 64)
        return patch, candidate, model

    def _fit_in_shards(self, features, plan, random_state):
        """Learn everything from features that are not held at once."""
        n_images = len(features)
        # At random: neighbours in a folder are often alike, or all defective.
        shards = np.array_split(random_state.permutation(n_images), plan.n_shards)
        shards = [np.sort(images) for images in shards]
        candidates = self._select_in_shards(features, shards, plan, random_state)
        points = project_rows(candidates.patches, self._components)
        self._jury = None
        if self.discriminator == "support":
            self._jury = Jury(points)
            for images in _blocks(jury_of(np.arange(n_images)), plan.n_shards, n_images):
                patches = check_patches(self, features[images], reset=False, may_skip=True)
                self._jury.add(project(patches, self._components), images)
        support = self._drop_unsupported(points, candidates.source)
        ratios = np.ones(len(points))
        if support is not None:
            ratios = self._distance_ratios(features, plan, candidates.patches, support)
        del points
        memory = Candidates(candidates.patches, candidates.source, ratios)
        self._memorize(memory, support, random_state)
        del candidates, memory
        self._calibrate_in_shards(features, shards)

    def _select_in_shards(self, features, shards, plan, random_state):
        """Select the candidates from all shards, and learn which patches are kept."""
        seeds = random_state.randint(np.iinfo(np.int32).max, size=len(shards))
        shape = (len(features), *self.grid_shape_)
        self.noise_scores_ = np.ones(shape)
        self.kept_ = np.broadcast_to(self.inspected_, shape).copy()
        self.noise_scores_[:, ~self.inspected_] = np.nan
        worker = self._worker()
        tasks = (
            _Task(worker, features[images], images, (plan.shard_size, seed))
            for images, seed in zip(shards, seeds, strict=True)
        )
        tree = _Tree(self._bank_size(len(features)), plan.fan_in, self._components)
        with progress(len(features), "shards") as bar:
            found = Parallel(return_as="generator")(delayed(_learn_shard)(task) for task in tasks)
            for images, (selection, judged) in zip(shards, found, strict=True):
                if judged is not None:
                    self.noise_scores_[images] = expand(judged[0], self.inspected_)
                    self.kept_[images] = expand(judged[1], self.inspected_, False)
                tree.add(selection)
                bar.update(len(images))
        selection = tree.root()
        self.discriminator_, self.coreset_radius_ = None, selection.radius
        return selection

    def _distance_ratios(self, features, plan, memory, support):
        """As of the function, from features that are read once more."""
        witnesses = np.empty_like(memory)
        images = np.unique(support.places[:, 0])
        for block in _blocks(images, plan.n_shards, len(features)):
            patches = check_patches(self, features[block], reset=False, may_skip=True)
            rows = np.flatnonzero(np.isin(support.places[:, 0], block))
            image = np.searchsorted(block, support.places[rows, 0])
            flat = patches.reshape(len(block), -1, patches.shape[-1])
            witnesses[rows] = flat[image, support.places[rows, 1]]
        return distance_ratios(memory, witnesses, support.distances)

    def _calibrate_in_shards(self, features, shards):
        """Learn the worst patches of the training images, and what the scores mean."""
        worker = self._worker()
        tasks = (
            _Task(worker, features[images], images, self._own_patches(images)) for images in shards
        )
        found = Parallel(return_as="generator")(delayed(_score_shard)(task) for task in tasks)
        scores = np.empty(len(features))
        self._worst_rows = self._worst_patches = None
        with progress(len(features), "calibration") as bar:
            for images, (some, rows, worst) in zip(shards, found, strict=True):
                if self._worst_rows is None:
                    self._worst_rows = np.empty((len(features), *rows.shape[1:]), rows.dtype)
                    self._worst_patches = np.empty((len(features), *worst.shape[1:]), worst.dtype)
                scores[images] = some
                self._worst_rows[images], self._worst_patches[images] = rows, worst
                bar.update(len(images))
        self._recalibrate(scores)

    def _worker(self):
        """Copy of what has been learned, without what a worker does not need."""
        worker = clone(self).set_params(verbose=False)
        names = ("grid_shape_", "inspected_", "n_features_in_", "_components")
        learned = (*names, "neighbors_", "memory_bank_", "memory_weights_")
        vars(worker).update({name: vars(self)[name] for name in learned if name in vars(self)})
        return worker


class _Tree:
    """Selections in the order of their arrival, joined and selected from again when many."""

    def __init__(self, size, fan_in, components):
        self._size, self._fan_in, self._components = size, fan_in, components
        self._levels = []

    def add(self, selection, level=0):
        """Take one more selection, from as many selections of shards as its level allows."""
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(selection)
        if len(self._levels[level]) == self._fan_in:
            joined, self._levels[level] = self._levels[level], []
            self.add(self._reduce(joined), level + 1)

    def root(self):
        """Select from all that there are."""
        return self._reduce([selection for level in self._levels for selection in level])

    def _reduce(self, selections):
        patches = np.concatenate([selection.patches for selection in selections])
        source = np.concatenate([selection.source for selection in selections])
        radius = max(selection.radius for selection in selections)
        selections.clear()
        rows, own_radius = _select(project_rows(patches, self._components), self._size)
        return _Selection(patches[rows], source[rows], radius + own_radius)


def _select(points, size, start=0, survivors=None):
    """Rows of a greedy coreset, all survivors if there are no more than `size`, and its radius."""
    survivors = np.arange(len(points)) if survivors is None else survivors
    if size >= len(survivors):
        return survivors, 0.0
    return greedy_coreset(points, size, start, survivors)


def _learn_shard(task):
    """Selection from a shard; its noise scores and which patches are kept, None if all are."""
    detector, features, images, (size, seed) = task
    random_state = np.random.RandomState(seed)
    patches = check_patches(detector, features, reset=False, may_skip=True)
    with detector._execution():
        projected = project(patches, detector._components)
        scores, kept = detector._score_noise(projected, random_state)
        points = projected.reshape(-1, projected.shape[-1])
        survivors = np.flatnonzero(kept)
        start = farthest_on_average(points, random_state, survivors)
        rows, radius = _select(points, size, start, survivors)
    source = places(rows, detector.inspected_)
    source[:, 0] = images[source[:, 0]]
    selection = _Selection(patches.reshape(-1, patches.shape[-1])[rows], source, radius)
    return selection, None if detector.discriminator_ is None else (scores, kept)


def _score_shard(task):
    """Scores of training images, and their worst patches; see `_score_training`."""
    detector, features, _, excluded = task
    patches = check_patches(detector, features, reset=False, may_skip=True)
    with detector._execution():
        return detector._score_training(patches, excluded)


def _blocks(images, n_shards, n_images):
    """Split numbers of images into blocks not larger than shards."""
    return np.array_split(images, -(-len(images) * n_shards // n_images))


def _bytes(limit):
    """Number of bytes from the parameter memory_limit."""
    if not isinstance(limit, str):
        return limit
    try:
        return memstr_to_bytes(limit.upper().removesuffix("B"))
    except (ValueError, IndexError):
        raise ValueError(
            f"memory_limit={limit!r} must be a number of bytes or text such as '500M' or '2G'."
        ) from None


def _text(n_bytes):
    """Bytes in the unit that memory_limit is given in."""
    return f"{n_bytes / 2**30:.2f}G" if n_bytes >= 2**30 else f"{-(n_bytes // -(2**20)):.0f}M"
