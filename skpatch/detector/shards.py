# SPDX-License-Identifier: BSD-3-Clause
"""Fitting on more images than fit in memory, in shards that joblib spreads over workers.

Coresets compose: a selection from the union of selections leaves no point farther from it than
the largest radius of the selections and its own. Each of them is at most twice the least possible
radius of as many centres, so the selection from a union is within a factor of four (G. Malkomes
et al., "Fast distributed k-center clustering with outliers on massive data", NeurIPS 2015), and
each further level of a tree of unions adds two.

Here one half of the centres, the leaders, is selected from the first shard, and all other
selections go on from them. So the factor holds in respect of half as many centres. In return,
points near a leader need no other centre, and the rest are so few that nearly all of them can be
kept for the last selection, which then has the radius of one from all points.
"""

from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from joblib.disk import memstr_to_bytes
from sklearn.base import clone

from ..bank.candidates import Candidates
from ..bank.coreset import farthest_on_average, greedy_coreset
from ..discriminators.support import Jury, distance_ratios, jury_of
from ..distances.neighbors import ExactNeighbors
from ..distances.projection import project, project_rows
from ..features.patches import check_patches, expand, places
from ..runtime.threads import progress
from .updating import SPARE_PATCHES, UpdatableBankMixin

__all__ = ["ShardedFitMixin"]

# Share of the limit that is planned for. The C library keeps some of the memory that was freed.
_USED = 0.75
# Points whose distances to the leaders are measured at a time.
_BLOCK = 2**14


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

    detector: "ShardedFitMixin"
    features: object
    images: np.ndarray
    detail: object


class _Selection(NamedTuple):
    """Patches that stand for those of some shards, beside the leaders.

    Attributes
    ----------
    patches : ndarray of shape (c, d)
    source : ndarray of shape (c, 3)
    radius : float
        Bound on the distance of all others to these and the leaders.
    from_leaders : float
        Bound on the distance of all others to the leaders alone.
    """

    patches: np.ndarray
    source: np.ndarray
    radius: float
    from_leaders: float

    def take(self, rows, radius, from_leaders):
        """Some of the patches, which have other bounds."""
        return _Selection(self.patches[rows], self.source[rows], radius, from_leaders)


class ShardedFitMixin(UpdatableBankMixin):
    """Fits shard by shard, for a detector that can do the steps of a fit."""

    def _plan(self, n_images):
        """Plan of a fit on that many images within `memory_limit`, or raise."""
        if self.memory_limit is None:
            return Plan(1)
        limit = _USED * _bytes(self.memory_limit)
        n_patches, n_features = self._n_patches, self.n_features_in_
        size = self._bank_size(n_images)
        patch, selected, candidate, model = self._needs(n_images)
        if model + n_images * n_patches * patch + size * 4 * n_features <= limit:
            return Plan(1)
        # Selections are held beside the next shard, and then joined. Two of them, and shards of
        # two images, are the least that makes sense.
        space, shard, leaders = limit - model, 2 * n_patches * patch, _half(size)
        most = int(min(space // candidate, (space - shard) // selected) - leaders) // (3 * leaders)
        if most < 2:
            least = model + max(7 * leaders * candidate, shard + 7 * leaders * selected)
            raise ValueError(
                f"memory_limit={self.memory_limit!r} is too small: {n_images} images of "
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

    def _needs(self, n_images):
        """Bytes for a patch of a shard, one selected, one of a union, and for what is learned."""
        n_patches, n_features = self._n_patches, self.n_features_in_
        n_axes = n_features if self._components is None else self._components.shape[1]
        # Features, projection, and at most as many coordinates, with distances, in the coreset.
        patch = 4 * (n_features + (n_axes if n_axes < n_features else 0) + n_axes) + 40
        selected = 4 * n_features + 48
        worst = (self._n_worst + SPARE_PATCHES) * (4 * n_features + 8)
        model = n_images * (worst + 9 * n_patches) + self._bank_size(n_images) * 20 * n_features
        if self.discriminator == "support":
            model += len(jury_of(np.arange(n_images))) * n_patches * 2 * min(n_axes, 64)
        return patch, selected, patch + selected, model

    def _fit_in_shards(self, features, plan, random_state):
        """Learn everything from features that are not held at once."""
        n_images = len(features)
        # At random: neighbours in a folder are often alike, or all defective.
        shards = np.array_split(random_state.permutation(n_images), plan.n_shards)
        shards = [np.sort(images) for images in shards]
        candidates = self._select_in_shards(features, shards, plan, random_state)
        points = project_rows(candidates.patches, self._components)
        self._jury = coordinates = None
        if self.discriminator == "support":
            self._jury = Jury(points)
            coordinates = self._jury.project(points)
            for images in _blocks(jury_of(np.arange(n_images)), plan.n_shards, n_images):
                # Bound to no name, which would hold them beside the next ones.
                self._jury.add(project(_read(self, features[images]), self._components), images)
        del points
        support = self._drop_unsupported(coordinates, candidates.source)
        ratios = np.ones(len(candidates.patches))
        if support is not None:
            ratios = self._distance_ratios(features, plan, candidates.patches, support)
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
        size, worker = self._bank_size(len(features)), self._worker()

        def learn(numbers, leaders):
            """Leaders, and selections from shards, in turn; notes which patches are kept."""
            tasks = (
                _Task(worker, features[shards[i]], shards[i], (size, seeds[i], leaders))
                for i in numbers
            )
            found = Parallel(return_as="generator")(delayed(_learn_shard)(task) for task in tasks)
            for i, (selections, judged) in zip(numbers, found, strict=True):
                if judged is not None:
                    self.noise_scores_[shards[i]] = expand(judged[0], self.inspected_)
                    self.kept_[shards[i]] = expand(judged[1], self.inspected_, False)
                bar.update(len(shards[i]))
                yield selections

        with progress(len(features), "shards") as bar:
            ((leaders, first),) = learn([0], None)
            tree = _Tree(leaders, size, plan.fan_in, self._components)
            tree.add(first)
            for _, selection in learn(range(1, len(shards)), leaders.patches):
                tree.add(selection)
        selection = tree.root()
        self.discriminator_, self.coreset_radius_ = None, selection.radius
        return selection

    def _distance_ratios(self, features, plan, memory, support):
        """As of the function, from features that are read once more."""
        witnesses = np.empty_like(memory)
        images = np.unique(support.places[:, 0])
        for block in _blocks(images, plan.n_shards, len(features)):
            rows = np.flatnonzero(np.isin(support.places[:, 0], block))
            image = np.searchsorted(block, support.places[rows, 0])
            flat_shape = (len(block), -1, memory.shape[1])
            witnesses[rows] = _read(self, features[block]).reshape(flat_shape)[
                image, support.places[rows, 1]
            ]
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

    def __init__(self, leaders, size, fan_in, components):
        self._leaders, self._size, self._components = leaders, size, components
        self._start = np.arange(len(leaders.patches))
        self._fan_in, self._levels = fan_in, []

    def add(self, selection, level=0):
        """Take one more selection, from as many selections of shards as its level allows."""
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(selection)
        if len(self._levels[level]) == self._fan_in:
            joined, points = self._join(self._levels[level])
            rows, radius, from_leaders = _condense(
                points, self._size, self._start, np.arange(len(points))
            )
            condensed = joined.take(
                rows[len(self._start) :],
                joined.radius + radius,
                max(joined.from_leaders, from_leaders),
            )
            del joined, points
            self.add(condensed, level + 1)

    def root(self):
        """Select the memory bank from all that there are."""
        held = [selection for level in self._levels for selection in level]
        self._levels.clear()
        joined, points = self._join(held)
        rows, radius = greedy_coreset(points, self._size, self._start)
        bound = max(radius, min(joined.from_leaders, joined.radius + radius))
        return joined.take(rows, bound, joined.from_leaders)

    def _join(self, selections):
        """One of the leaders and of selections, which are removed from their list; its points."""
        patches, source, radii, from_leaders = zip(self._leaders, *selections, strict=True)
        selections.clear()
        patches = np.concatenate(patches)
        joined = _Selection(patches, np.concatenate(source), max(radii), max(from_leaders))
        return joined, project_rows(patches, self._components)


def _read(detector, features):
    """Inspected patches, extracted now if the features are lazy."""
    return check_patches(detector, features, reset=False, may_skip=True)


def _condense(points, size, start, rows):
    """Select what stands for points: greedily, and those that are farthest from the leaders.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    size : int
        Of the memory bank.
    start : int or ndarray
        Rows of the leaders, or of the first of them, which are selected then.
    rows : ndarray of shape (m,)
        Rows that take part.

    Returns
    -------
    selected : ndarray
        Rows, first those of the leaders.
    radius, from_leaders : float
        As in `_Selection`.
    """
    half = _half(size)
    picks, radius = greedy_coreset(points, 2 * half, start, rows)
    leaders = points[picks[: half if np.ndim(start) == 0 else len(start)]]
    rows = rows[~np.isin(rows, picks)]
    search = ExactNeighbors().fit(leaders)
    distances = np.empty(len(rows))
    for first in range(0, len(rows), _BLOCK):
        block = slice(first, first + _BLOCK)
        distances[block] = search.kneighbors(points[rows[block]])[0][:, 0]
    order = np.argsort(-distances, kind="stable")
    left = distances[order[2 * half :]]
    return np.r_[picks, rows[order[: 2 * half]]], radius, left[0] if len(left) else 0.0


def _half(size):
    """Number of leaders."""
    return max(1, size // 2)


def _learn_shard(task):
    """Learn from the patches of some images.

    Returns
    -------
    leaders, selection : _Selection
        The leaders that were given are not repeated.
    judged : tuple or None
        Noise scores, and which patches are kept; None if all are.
    """
    detector, features, images, (size, seed, leaders) = task
    random_state = np.random.RandomState(seed)
    patches = _read(detector, features)
    with detector._execution():
        points = project(patches, detector._components)
        scores, kept = detector._score_noise(points, random_state)
        survivors = np.flatnonzero(kept)
        points, patches = (array.reshape(-1, array.shape[-1]) for array in (points, patches))
        n_given = 0
        if leaders is None:
            start = farthest_on_average(points, random_state, survivors)
        else:
            n_given = len(leaders)
            start = np.arange(n_given)
            points = np.concatenate([project_rows(leaders, detector._components), points])
            survivors = np.r_[start, survivors + n_given]
            if detector._components is None:
                # The features themselves, of which one copy is enough.
                patches = points[n_given:]
        rows, *bounds = _condense(points, size, start, survivors)
    rows = rows[n_given:] - n_given
    source = places(rows, detector.inspected_)
    source[:, 0] = images[source[:, 0]]
    n_led = 0 if n_given else _half(size)
    selections = [
        _Selection(patches[rows[part]], source[part], *bounds)
        for part in (slice(n_led), slice(n_led, None))
    ]
    return selections, None if detector.discriminator_ is None else (scores, kept)


def _score_shard(task):
    """Scores of training images, and their worst patches; see `_score_training`."""
    detector, features, _, excluded = task
    patches = _read(detector, features)
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
