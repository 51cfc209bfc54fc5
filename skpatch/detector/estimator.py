# SPDX-License-Identifier: BSD-3-Clause
"""SoftPatchDetector: a memory bank of patches that survive the noise discriminator."""

import warnings
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import has_fit_parameter

from ..bank.candidates import Candidates, Rows
from ..bank.coreset import farthest_on_average, greedy_coreset
from ..discriminators import make_discriminator
from ..discriminators.support import Jury, distance_ratios, measure_support
from ..distances.neighbors import make_neighbors
from ..distances.projection import draw_components, project
from ..features.patches import check_patches, expand, places, require_images
from ..runtime.devices import check_device
from ..runtime.parameters import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    fit_context,
    positive_integer,
)
from ..runtime.threads import execution
from .shards import ShardedFitMixin

__all__ = ["SoftPatchDetector"]

# What noise_threshold="auto" means for the discriminators of the paper.
_PAPER_THRESHOLD = 0.15


class SoftPatchDetector(ShardedFitMixin, BaseEstimator):
    """Detect anomalous images by their patches, after training on images that are not all good.

    A greedy coreset of the training patches becomes the memory bank; noise is kept out of it, and
    what remains does not count alike. A new patch is scored by its distance to the nearest memory
    patch, an image by its worst patches. There are two ways to know the noise:

    - By default ("support"), after the coreset: a memory patch that no trustworthy other image
      has anything like is noise. How much is dropped follows from the training images themselves,
      and objects may lie anywhere in the image.
    - As SoftPatch does, before the coreset: a discriminator scores every training patch among those
      at its grid position, a given share is dropped, and distances are multiplied by the scores.

    Parameters
    ----------
    discriminator : {"support", "lof", "gaussian", "nearest"}, NoiseDiscriminator, outlier \
            detector or None, default="support"
        What tells noise. Any scikit-learn outlier detector is fitted at each grid position;
        None drops nothing and gives plain PatchCore. The paper's is "lof".
    noise_threshold : "auto" or float in [0, 1), default="auto"
        Share to drop, of the training patches or, with "support", of the memory patches. "auto" is
        decided from the training images with "support", and is the paper's 0.15 for the others.
    soft_weights : bool, default=True
        With "support": whether a memory patch counts as at least as far away as the nearest
        patch of another trusted image is from it, so that a defect that was not dropped does not
        make its own image look normal. Otherwise: whether a distance is multiplied by the noise
        score of the memory patch it is measured to, as in the paper.
    coreset_size : float in (0, 1] or int, default=0.1
        Size of the memory bank: a share of *all* training patches, as in the paper, or a number.
        It cannot be larger than what the discriminator leaves; "support" drops patches from it.
    projection_dim : int or None, default=128
        Dimension of the random projection in which noise is scored and the coreset is selected.
        Features of less than twice as many dimensions are taken as they are, since a projection
        would cost as much memory as they do and save little; None never projects.
    n_neighbors : int, default=1
        Number of memory patches whose weighted distances are averaged.
    worst_patches : "auto", int or float in (0, 1), default="auto"
        Number or share of an image's patches whose scores, the largest, are averaged to its score.
        "auto" is 0.6 % with "support", 5 of 28 x 28 and at least one; otherwise the worst patch
        alone, as in the paper.
    metric : {"euclidean", "sqeuclidean"}, default="euclidean"
        The distance, as in the paper, or its square, as in the reference implementation.
    neighbors : {"auto", "exact", "pynndescent"} or object, default="auto"
        Nearest-neighbour search: :class:`ExactNeighbors`, :class:`PyNNDescentNeighbors` or an
        object like them. "auto" is exact up to a bank of 200,000 patches.
    contamination : "auto" or float in (0, 0.5], default="auto"
        Sets `offset_`, the score below which an image is an outlier, from `calibration_scores_`. A
        float is the share of new normal images that may be called outliers by mistake. With
        "auto" outliers score more than three robust standard deviations (1.4826 times the median
        absolute deviation) below the median, or are among the lowest 5 %. It may be changed after
        fit.
    device : str, default="cpu"
        Torch device of the coreset and the exact search. "auto" takes CUDA if there is a GPU, else
        the CPU. On a GPU distances are float32, so results agree with the CPU's within rounding
        error.
    memory_limit : int, str or None, default=None
        Memory that fit may take in a process, beyond libraries, network and images: bytes, or text
        such as "2G". Training images that need more are learned from in random shards, which
        joblib's backend in use spreads over its workers. A paper's discriminator then compares
        images within a shard, and the coreset is selected from the coresets of the shards.
    n_jobs : int or None, default=None
        Number of threads. None is as many as torch uses, -1 all cores.
    random_state : int, RandomState instance or None, default=None
        Seed of the projection, of the first pick of the coreset and of what a discriminator or a
        neighbour search leaves unseeded.
    verbose : bool, default=False
        Whether to show progress bars.

    Attributes
    ----------
    memory_bank_ : ndarray of shape (m, d), float32
        Features of the memory patches, in the order of their selection.
    memory_weights_ : ndarray of shape (m,), float64
        Soft weight of each memory patch; ones with "support" or without `soft_weights`.
    memory_reaches_ : ndarray of shape (m,), float64
        Least distance at which each memory patch counts; zeros unless with "support" and
        `soft_weights`.
    memory_source_ : ndarray of shape (m, 3), int64
        Image, row and column each memory patch was taken from.
    noise_scores_ : ndarray of shape (n, h, w), float64
        Outlier score of each training patch; ones without discriminator. "support" judges the
        selected patches only, by their support distance relative to the limit for noise, 1; the
        others are NaN, like patches that are not inspected.
    kept_ : ndarray of shape (n, h, w), bool
        Training patches that were not dropped; False for those that are not inspected.
    inspected_ : ndarray of shape (h, w), bool
        Patches that are inspected: those that were not NaN in the training images.
    trusted_images_ : ndarray of shape (n,), bool
        Training images that look normal enough for their patches to support others; all of them
        unless with "support". False for forgotten ones.
    forgotten_images_ : ndarray of shape (n,), bool
        Training images that `forget` took out.
    discriminator_ : NoiseDiscriminator or None
        The fitted discriminator, of the last call of `partial_fit`; None with "support" and where
        shards had one each.
    neighbors_ : object
        The fitted neighbour search.
    coreset_radius_ : float
        Largest distance, in the projection, of a kept patch to its nearest memory patch; an upper
        bound of it after shards or `partial_fit`.
    training_scores_ : ndarray of shape (n,), float64
        Score of each training image against the bank without that image's own patches; NaN if
        nothing is left, and for forgotten images. An image of a single patch that is a memory
        patch keeps it, unless the bank holds more than half of the kept patches.
    calibration_scores_ : ndarray of shape (at most n,), float64
        The `training_scores_` of as many images as should be normal, ascending.
    offset_ : float
        ``decision_function = score_samples - offset_``.
    grid_shape_ : tuple (h, w)
        Grid of patches of an image.
    n_features_in_ : int
        Number of features d of a patch.

    See Also
    --------
    skpatch.PatchFeatureExtractor : Turns images into patch features.
    skpatch.make_pipeline : Joins the two.

    Notes
    -----
    Results do not depend on `n_jobs`. A training image that contributed to the memory bank has
    patches at distance 0. With "support" it is recognised when it is scored, by its features, and
    compared with the patches of the others only, as for `training_scores_`; otherwise
    `score_samples` flatters it, as the methods of the papers do.

    References
    ----------
    X. Jiang et al., "SoftPatch: Unsupervised Anomaly Detection with Noisy Data", NeurIPS 2022.

    K. Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), CVPR 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skpatch import SoftPatchDetector
    >>> features = np.random.RandomState(0).normal(size=(40, 4, 4, 8)).astype(np.float32)
    >>> features[:4, 1, 1] += 6  # four training images have a defect
    >>> detector = SoftPatchDetector(random_state=0).fit(features)
    >>> bool(detector.kept_[:4, 1, 1].any())
    False
    >>> test = np.random.RandomState(1).normal(size=(2, 4, 4, 8)).astype(np.float32)
    >>> test[1, 1, 1] += 6
    >>> detector.predict(test)
    array([ 1, -1])
    """

    _parameter_constraints = {
        "discriminator": [
            StrOptions({"support", "nearest", "gaussian", "lof"}),
            HasMethods(["fit", "get_params"]),
            None,
        ],
        "noise_threshold": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "soft_weights": ["boolean"],
        "coreset_size": [Interval(RealNotInt, 0, 1, closed="right"), positive_integer()],
        "projection_dim": [positive_integer(), None],
        "n_neighbors": [positive_integer()],
        "worst_patches": [
            StrOptions({"auto"}),
            Interval(RealNotInt, 0, 1, closed="neither"),
            positive_integer(),
        ],
        "metric": [StrOptions({"euclidean", "sqeuclidean"})],
        "neighbors": [
            StrOptions({"auto", "exact", "pynndescent"}),
            HasMethods(["fit", "kneighbors"]),
        ],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "device": [str],
        "memory_limit": [None, positive_integer(), str],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        discriminator: str | BaseEstimator | None = "support",
        noise_threshold: str | float = "auto",
        soft_weights: bool = True,
        coreset_size: float | int = 0.1,
        projection_dim: int | None = 128,
        n_neighbors: int = 1,
        worst_patches: str | float | int = "auto",
        metric: str = "euclidean",
        neighbors: str | BaseEstimator = "auto",
        contamination: str | float = "auto",
        device: str = "cpu",
        memory_limit: int | str | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.discriminator = discriminator
        self.noise_threshold = noise_threshold
        self.soft_weights = soft_weights
        self.coreset_size = coreset_size
        self.projection_dim = projection_dim
        self.n_neighbors = n_neighbors
        self.worst_patches = worst_patches
        self.metric = metric
        self.neighbors = neighbors
        self.contamination = contamination
        self.device = device
        self.memory_limit = memory_limit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: None = None) -> "SoftPatchDetector":
        """Build the memory bank.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features of the training images; a two-dimensional array has one patch an image.
            A patch that is NaN in all images, and all features, is not inspected.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For fewer than two images, other NaN or infinite features, a wrong number of
            dimensions, or a parameter out of its range.
        """
        is_limited = self.memory_limit is not None
        if is_limited:
            # They may not fit in memory, and one image is enough to know what they are.
            patches = X if hasattr(X, "shape") else np.asarray(X)
            check_patches(self, patches[:1], reset=True, may_skip=True)
        else:
            patches = check_patches(self, X, reset=True, may_skip=True)
        require_images(patches, 2, "an image is compared with the others, so fit needs")
        random_state = check_random_state(self.random_state)
        self.forgotten_images_ = np.zeros(len(patches), bool)
        self._components = draw_components(self.n_features_in_, self.projection_dim, random_state)
        plan = self._plan(len(patches))
        with self._execution():
            if plan.n_shards > 1:
                self._fit_in_shards(patches, plan, random_state)
            else:
                if is_limited:
                    patches = check_patches(self, patches, reset=False, may_skip=True)
                self._fit_at_once(patches, random_state)
        return self

    def _fit_at_once(self, patches, random_state):
        """Learn everything from patches (n, h, w, d)."""
        projected = project(patches, self._components)
        noise_scores, kept = self._score_noise(projected, random_state)
        self.noise_scores_ = expand(noise_scores, self.inspected_)
        self.kept_ = expand(kept, self.inspected_, False)
        survivors = np.flatnonzero(kept)
        points = projected.reshape(-1, projected.shape[-1])
        start = farthest_on_average(points, random_state, survivors)
        rows = self._select(points, survivors, start)
        self._jury = coordinates = None
        if self.discriminator == "support":
            self._jury = Jury(points[rows])
            self._jury.add(projected, np.arange(len(patches)))
            coordinates = self._jury.project(Rows(points, rows))
        del projected, points
        source = places(rows, self.inspected_)
        support = self._drop_unsupported(coordinates, source)
        del coordinates
        flat = patches.reshape(-1, patches.shape[-1])
        memory, ratios = Rows(flat, rows), np.ones(len(rows))
        if support is not None:
            witnesses = Rows(flat, support.places @ [self._n_patches, 1])
            ratios = distance_ratios(memory, witnesses, support.distances)
        self._memorize(Candidates(memory, source, ratios), support, random_state)
        self._calibrate(patches)

    def _execution(self):
        """Threads, progress bars and device of this detector, for a with statement."""
        if self.device != "cpu":
            check_device(self.device)
        return execution(self.n_jobs, self.verbose, self.device)

    def _score_noise(self, projected, random_state):
        """Outlier scores (n, h, w) and which patches are kept (n, h, w), before the coreset."""
        self.discriminator_ = None
        if self.discriminator in (None, "support"):
            return np.ones(projected.shape[:3]), np.ones(projected.shape[:3], bool)
        self.discriminator_ = make_discriminator(
            self.discriminator, random_state=random_state, n_jobs=self.n_jobs
        ).fit(projected)
        scores = self.discriminator_.outlier_scores_
        share = _PAPER_THRESHOLD if self.noise_threshold == "auto" else self.noise_threshold
        return scores, scores <= np.quantile(scores, 1 - share)

    def _bank_size(self, n_images):
        """Number of memory patches that `coreset_size` asks for."""
        if isinstance(self.coreset_size, Integral):
            return self.coreset_size
        return max(1, int(self.coreset_size * n_images * self._n_patches))

    def _select(self, points, survivors, start):
        """Rows of the candidates among points (p, k), of which the `survivors` take part."""
        size = self._bank_size(np.count_nonzero(~self.forgotten_images_))
        if size > len(survivors) and self.coreset_size != 1.0:
            warnings.warn(
                f"coreset_size={self.coreset_size} asks for {size} memory patches, but "
                f"{len(survivors)} are left after noise_threshold={self.noise_threshold}; "
                "all of them are used.",
                stacklevel=3,
            )
        picks, self.coreset_radius_ = greedy_coreset(points, size, start, survivors)
        return picks

    def _drop_unsupported(self, coordinates, source):
        """Learn which images are trusted and which candidates are noise.

        From the jury's coordinates (c, k) of the candidates. Returns their :class:`Support`, None
        without "support".
        """
        self.trusted_images_ = ~self.forgotten_images_
        self._noise_ratio = 0.0
        if self.discriminator != "support":
            return None
        support = measure_support(coordinates, source[:, 0], self._jury, len(self.kept_))
        self.trusted_images_ &= support.is_trusted
        self._noise_ratio = support.noise_ratio
        limit = support.limit
        if self.noise_threshold != "auto":
            limit = np.quantile(support.distances, 1 - self.noise_threshold)
        places = tuple(source.T)
        self.noise_scores_[:] = np.nan
        self.noise_scores_[places] = support.distances / max(limit, np.finfo(np.float32).tiny)
        self.kept_[:] = ~self.forgotten_images_[:, np.newaxis, np.newaxis] & self.inspected_
        self.kept_[places] = support.distances <= limit
        return support

    def _memorize(self, candidates, support, random_state):
        """Learn the memory bank from the candidates and build its neighbour search."""
        kept = self.kept_[tuple(candidates.source.T)]
        self._dropped = candidates.take(~kept)
        self.memory_bank_, self.memory_source_, self._ratios = candidates.take(kept)
        self.memory_weights_ = np.ones(len(self.memory_bank_))
        self.memory_reaches_ = np.zeros(len(self.memory_bank_))
        search = make_neighbors(self.neighbors, len(self.memory_bank_), random_state)
        if support is not None and self.soft_weights:
            if not has_fit_parameter(search, "reaches"):
                raise ValueError(
                    f"neighbors={search!r} has no parameter `reaches` of fit, which "
                    'soft_weights=True needs with discriminator="support"; pass '
                    "soft_weights=False, or add it."
                )
            self.memory_reaches_ = self._ratios * support.distances[kept]
            self.neighbors_ = search.fit(self.memory_bank_, reaches=self.memory_reaches_)
            return
        if self.soft_weights:
            # A negative weight would call the most distant patch the most normal one.
            scores = self.noise_scores_[tuple(self.memory_source_.T)]
            self.memory_weights_ = np.maximum(scores, 0)
        self.neighbors_ = search.fit(self.memory_bank_)
