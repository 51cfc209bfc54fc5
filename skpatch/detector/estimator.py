# SPDX-License-Identifier: BSD-3-Clause
"""SoftPatchDetector: a memory bank of patches that survive the noise discriminator."""

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from ..bank.training_scores import is_typical_beyond
from ..discriminators.base import NoiseDiscriminator
from ..discriminators.finding import NoiseFinding
from ..discriminators.resolving import DISCRIMINATORS
from ..distances.projection import draw_components
from ..features.patches import check_patches, require_images
from ..likeness.given import check_image_numbers
from ..likeness.unlike import are_unlike, tell_unlike
from ..metrics.labelled import Calibration, check_labels, measured
from ..runtime.devices import check_device
from ..runtime.parameters import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    check_is_fitted,
    fit_context,
    positive_integer,
    validate_parameter,
)
from ..runtime.tensors import without_tensors
from ..runtime.threads import execution
from .calibration import (
    conformal_pvalues,
    score_threshold,
    warn_of_few,
    warn_of_promise,
)
from .learning import Fit, learn_at_once
from .shards import learn_in_shards, plan_shards
from .state import FittedState, Settings
from .updating import forget, grow, trust

__all__ = ["SoftPatchDetector", "fitted_state", "restore"]


class SoftPatchDetector(OutlierMixin, BaseEstimator):
    """Detect anomalous images by their patches, after training on images that are not all good.

    A greedy coreset of the training patches becomes the memory bank; noise is kept out of it, and
    what remains does not count alike. A new patch is scored by its distance to the nearest memory
    patch, an image by its worst patches. There are two ways to know the noise:

    - By default ("support", :class:`~skpatch.SupportDiscriminator`), patches that are unusual at
      their place are accused, and taken for noise if the accused vouch for each other. They are
      kept out of the bank where the evidence is strong, and memory patches count only from the
      distance on at which good patches vouch for them. Without evidence of noise the memory bank
      is PatchCore's. Where images are aligned, patches that are unusual for their place count for
      more.
    - As SoftPatch does, before the coreset: a discriminator scores every training patch among those
      at its grid position, a given share is dropped, and distances are multiplied by the scores.

    Both are plugs of one interface, :class:`~skpatch.NoiseDiscriminator`.

    Parameters
    ----------
    discriminator : {"support", "lof", "gaussian", "nearest", "fusion"}, NoiseDiscriminator, \
            outlier detector or None, default="support"
        What tells noise. Any scikit-learn outlier detector is fitted at each grid position;
        None drops nothing and gives plain PatchCore. The paper's is "lof", that of SoftPatch+
        "fusion".
    noise_threshold : "auto" or float in [0, 1), default="auto"
        Share to drop, of the training patches or, with "support", of the memory patches. "auto" is
        for the discriminator to decide: the paper's 0.15, while "support" finds out from the
        training images whether and how much is noise.
    soft_weights : bool, default=True
        Whether patches count as the discriminator says. "support": memory patches as at least as
        far away as the nearest good patch of another image is from each, so that a defect does not
        make its own image look normal; and where at least 40 images are aligned, scores of patches
        are multiplied by the root of their distance, in standard deviations, from what is usual at
        their place. The paper's: distances are multiplied by the noise score of the memory patch
        they are measured to.
    coreset_size : "auto", float in (0, 1] or int, default="auto"
        Size of the memory bank: a share of *all* training patches, as in the paper, or a number.
        "auto" is the paper's tenth, but at most 20,000 patches, which the time of scoring an image
        is proportional to. It cannot be larger than what the discriminator leaves.
    projection_dim : int or None, default=128
        Dimension of the random projection in which noise is scored and the coreset is selected.
        Features of less than twice as many dimensions are taken as they are, since a projection
        would cost as much memory as they do and save little; None never projects.
    n_neighbors : int, default=1
        Number of memory patches whose weighted distances are averaged.
    worst_patches : "auto", int or float in (0, 1), default="auto"
        Number or share of an image's patches whose scores, the largest, are averaged to its score.
        "auto" is for the discriminator to decide: 0.6 % with "support", 5 of 28 x 28 and at least
        one; the worst patch alone, as in the paper, with the others. With "auto" an image also
        scores at least 0.85 times its worst patch, so that small defects show in large grids.
    metric : {"euclidean", "sqeuclidean", "cosine"}, default="euclidean"
        The distance, as in the paper, or its square, as in the reference implementation. "cosine"
        is one minus the cosine of two patches, as AnomalyDINO has it for vision transformers: all
        of the fit sees patches of unit length, and scores are half of their squared distances.
    neighbors : {"auto", "exact", "pynndescent"} or object, default="auto"
        Nearest-neighbour search: :class:`ExactNeighbors`, :class:`PyNNDescentNeighbors` or an
        object like them. "auto" is exact up to a bank of 200,000 patches.
    contamination : "auto" or float in (0, 0.5], default="auto"
        Sets `offset_`, the score below which an image is an outlier, from `calibration_scores_`. A
        float is the share of new normal images that may be called outliers by mistake; n images
        cannot promise less than 1 / (n + 1). "auto" is 0.05, or as many as score more than three
        robust standard deviations (1.4826 times the median absolute deviation) below the median,
        60 / n of fewer than 20 images. It may be changed after fit.
    device : str, default="cpu"
        Torch device of the coreset and the exact search. "auto" takes CUDA if there is a GPU, else
        the CPU. On a GPU distances are float32, so results agree with the CPU's within rounding
        error.
    memory_limit : int, str or None, default=None
        Memory that fit may take in a process, beyond libraries, network and images: bytes, or text
        such as "2G" or "500 MiB", in powers of 1,024. Training images that need more are learned
        from in random shards, which joblib's backend in use spreads over its workers. A paper's
        discriminator then compares images within a shard, and the coreset is selected from the
        coresets of the shards.
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
        Outlier score of each training patch, about 1 for a typical one; ones without
        discriminator, NaN for patches that are not inspected.
    kept_ : ndarray of shape (n, h, w), bool
        Training patches that were neither dropped nor, by "support", taken for noise; False for
        those that are not inspected.
    noise_finding_ : NoiseFinding or None
        What can be told of the noise among the training images, with the reason in words; None
        unless with "support". See :class:`~skpatch.discriminators.NoiseFinding`.
    noise_ratio_ : float
        Share of the training images that look defective, that of `noise_finding_`; NaN where it
        cannot be told.
    inspected_ : ndarray of shape (h, w), bool
        Patches that are inspected: those that were not NaN in the training images.
    trusted_images_ : ndarray of shape (n,), bool
        Training images that look normal enough for their patches to support others; all of them
        unless with "support". False for forgotten ones.
    forgotten_images_ : ndarray of shape (n,), bool
        Training images that `forget` took out.
    declared_normal_ : ndarray of shape (n,), bool
        Training images that the user declared normal, in `fit` or by `trust`, and their copies.
        False for forgotten ones.
    copy_of_ : ndarray of shape (n,), int64
        Number of the image that each training image is a copy of, -1 for none: the same file, saved
        again, or a frame that hardly differs. Copies count once, and have the score of their
        image. They are not looked for in shards, nor among images of less than four patches.
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
        The `training_scores_` of as many images as should be normal, and scores of
        :meth:`calibrate`; ascending.
    offset_ : float
        ``decision_function = score_samples - offset_``.
    unlike_limit_ : float
        An image of which three quarters of the patches score higher is unlike everything learned,
        and warned of: another product or camera, for instance. Inf for grids of less than 400
        patches.
    n_worst_patches_ : int
        Number of an image's worst patches whose scores are averaged to its score.
    peak_share_ : float
        Share of its worst patch's score that an image scores at least.
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
    Of a fitted detector, `contamination`, `device`, `n_jobs` and `verbose` may be changed at any
    time; other parameters take effect in the next `fit` or `partial_fit`. A fit or an update that
    fails leaves the model as it was.

    Results do not depend on `n_jobs`. A training image that contributed to the memory bank has
    patches at distance 0. With "support" it is recognised when it is scored, by its features, and
    compared with the patches of the others only, as for `training_scores_`; otherwise
    `score_samples` flatters it, as the methods of the papers do.

    References
    ----------
    X. Jiang et al., "SoftPatch: Unsupervised Anomaly Detection with Noisy Data", NeurIPS 2022.

    K. Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), CVPR 2022.

    T. Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
    Localization", 2021: distances from what is usual at a place.

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
            StrOptions(set(DISCRIMINATORS)),
            HasMethods(["fit", "get_params"]),
            None,
        ],
        "noise_threshold": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "soft_weights": ["boolean"],
        "coreset_size": [
            StrOptions({"auto"}),
            Interval(RealNotInt, 0, 1, closed="right"),
            positive_integer(),
        ],
        "projection_dim": [positive_integer(), None],
        "n_neighbors": [positive_integer()],
        "worst_patches": [
            StrOptions({"auto"}),
            Interval(RealNotInt, 0, 1, closed="neither"),
            positive_integer(),
        ],
        "metric": [StrOptions({"euclidean", "sqeuclidean", "cosine"})],
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

    memory_bank_: NDArray[np.float32]
    memory_weights_: NDArray[np.float64]
    memory_reaches_: NDArray[np.float64]
    memory_source_: NDArray[np.int64]
    noise_scores_: NDArray[np.float64]
    kept_: NDArray[np.bool_]
    inspected_: NDArray[np.bool_]
    trusted_images_: NDArray[np.bool_]
    forgotten_images_: NDArray[np.bool_]
    declared_normal_: NDArray[np.bool_]
    copy_of_: NDArray[np.int64]
    discriminator_: NoiseDiscriminator | None
    neighbors_: Any
    coreset_radius_: float
    training_scores_: NDArray[np.float64]
    calibration_scores_: NDArray[np.float64]
    unlike_limit_: float
    n_worst_patches_: int
    peak_share_: float
    grid_shape_: tuple[int, int]
    n_features_in_: int
    noise_finding_: NoiseFinding | None
    noise_ratio_: float
    _state: FittedState

    def __init__(
        self,
        *,
        discriminator: str | BaseEstimator | None = "support",
        noise_threshold: str | float = "auto",
        soft_weights: bool = True,
        coreset_size: str | float | int = "auto",
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
    def fit(
        self, X: ArrayLike, y: None = None, *, trusted: ArrayLike | None = None
    ) -> "SoftPatchDetector":
        """Build the memory bank.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d), (n, d) or (n, v, h, w, d)
            Patch features of the training images; a two-dimensional array has one patch an image.
            A patch that is NaN in all images, and all features, is not inspected. Of v views of
            each image, as of :meth:`PatchFeatureExtractor.transform_training`, the first is the
            image itself. Patches of the others may be memory patches, as its own.
        y : None
            Ignored.
        trusted : array-like of shape (k,), int, optional
            Numbers of images that are known to be normal, as of :meth:`trust`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For fewer than two images, other NaN or infinite features, a wrong number of
            dimensions, a parameter out of its range, or if there is no such image to trust.
        """
        with _unchanged_on_error(self), self._execution():
            self._take(self._learn(X, () if trusted is None else trusted))
        self._state.given.warn_of_copies()
        warn_of_few(len(self._state.given.numbers), self.calibration_scores_, self.offset_)
        return self

    def _learn(self, X, trusted):
        """State after a fit to the features."""
        is_limited = self.memory_limit is not None
        X = without_tensors(X)
        views, X = (X, X[:, 0]) if _has_views(X) else (None, X)
        # They may not fit in memory, and one image is enough to know what they are.
        patches = X if hasattr(X, "shape") or not is_limited else np.asarray(X)
        validate = partial(validate_data, self, reset=True)
        known, grid = check_patches(
            patches[:1] if is_limited else patches,
            validate=validate,
            may_skip=True,
            unit=self.metric == "cosine",
        )
        patches = patches if is_limited else known
        require_images(patches, 2, "an image is compared with the others, so fit needs")
        trusted = check_image_numbers(trusted, len(patches), "trusted")
        random_state = check_random_state(self.random_state)
        components = draw_components(self.n_features_in_, self.projection_dim, random_state)
        fit = Fit(grid, components, Settings.of(self))
        n_views = 1 if views is None else views.shape[1]
        plan = plan_shards(n_views * len(patches), self.n_features_in_, fit)
        if n_views > 1 and plan.n_shards > 1:
            raise ValueError(
                f"memory_limit={self.memory_limit!r} is too small for {n_views} views of "
                f"{len(patches)} images, which are learned from at once. Raise it, or leave "
                "augment of the extractor out."
            )
        if plan.n_shards > 1:
            return learn_in_shards(patches, plan, fit, random_state, trusted)
        if is_limited:
            patches = self._check(patches, grid)
        if views is not None:
            flat = self._check(views.reshape(-1, *views.shape[2:]), grid)
            views = flat.reshape(*views.shape[:2], *flat.shape[1:])
        return learn_at_once(patches, fit, random_state, trusted, views)

    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: ArrayLike, y: None = None) -> "SoftPatchDetector":
        """Add training images; the first call is a fit.

        The memory bank is selected again, from the patches selected before and all those of the
        new images, and grows with a `coreset_size` that is a share. Images are numbered on. A
        discriminator of the paper compares new images among themselves only, so they should be
        added by the dozen.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features of more images, on the grid of the training images.
        y : None
            Ignored.

        Returns
        -------
        self

        Notes
        -----
        The result is close to that of a fit on all images, not the same. Selecting from a
        selection leaves no patch farther from the bank than the sum of both radii, which is what
        `coreset_radius_` then says. Of each earlier image only the worst patches are scored
        again, eight more than its score is the mean of, so it may come out too normal.
        """
        if not hasattr(self, "_state"):
            return self.fit(X)
        patches = self._check(X)
        with self._execution():
            n_before = self._state.given.n_images
            self._take(grow(self._state, patches, Settings.of(self), self.random_state))
        self._state.given.warn_of_copies(n_before)
        return self

    def forget(self, images: ArrayLike) -> "SoftPatchDetector":
        """Take training images out, for instance those that were rejected after an audit.

        Their patches leave the memory bank and support no others, unless a copy of them is left.
        The remaining images keep their
        numbers, and their patches do not fill the gaps.

        Parameters
        ----------
        images : array-like of shape (k,), int
            Numbers of the images, in the order in which they were given to fit and partial_fit.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such image, or too few would be left to compare with each other.
        """
        return self._update(forget, images)

    def trust(self, images: ArrayLike) -> "SoftPatchDetector":
        """Declare training images normal, for instance a rare variant that an audit found.

        Whether a few images that resemble each other are a normal variant or the same defect is
        not in the images. None of their patches is noise from now on: those that were dropped come
        back, count in full, and support others, and their scores always help to set the threshold.
        It holds of their copies too, and until all of them are forgotten.

        Parameters
        ----------
        images : array-like of shape (k,), int
            Numbers of the images, in the order in which they were given to fit and partial_fit.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such image, if it was forgotten, or if patches of it that were dropped
            before the memory bank was selected are not known any more: after a fit in shards, or of
            a model that an older version saved.

        Notes
        -----
        What a discriminator of the paper drops, before the selection, is kept for this as far as
        the memory bank lacks it, up to 0.15 times its size. ``fit(X, trusted=...)`` has no such
        limit. Images of the training are scored again by the patches that were their worst before.

        Examples
        --------
        >>> import numpy as np
        >>> from skpatch import SoftPatchDetector
        >>> features = np.random.RandomState(0).normal(size=(60, 4, 4, 8)).astype(np.float32)
        >>> features[:6, 1, 1] += 8  # a rare variant, or a defect
        >>> detector = SoftPatchDetector(random_state=0).fit(features)
        >>> bool(detector.kept_[:6, 1, 1].all())
        False
        >>> bool(detector.trust(range(6)).kept_[:6, 1, 1].all())
        True
        """
        return self._update(trust, images)

    def _update(self, change, images):
        """Forget or trust training images."""
        check_is_fitted(self)
        numbers = check_image_numbers(images, self._state.given.n_images)
        with self._execution():
            self._take(change(self._state, numbers, Settings.of(self), self.random_state))
        return self

    def _take(self, state):
        """Become what was learned; until then the model is the old one."""
        vars(self).update(_state=state, **state.attributes())

    def _execution(self):
        """Threads and progress bars of this detector, for a with statement."""
        check_device(self.device)
        return execution(self.n_jobs, self.verbose)

    def _check(self, X, grid=None):
        """Patches (n, h, w, d) to score, checked against those of the training."""
        metric = self.metric
        if grid is None:
            check_is_fitted(self)
            grid, metric = self._state.grid, self._state.bank.rule.metric
        X = X[:, 0] if _has_views(X) else X
        validate = partial(validate_data, self, reset=False)
        unit = metric == "cosine"
        return check_patches(X, grid, validate=validate, may_skip=True, unit=unit)[0]

    def _bank(self):
        """The memory bank, searched on the device that is set now."""
        return self._state.bank.on(self.device)

    def __repr__(self, **options):
        """Parameters as in scikit-learn, and what was found of the noise as a comment."""
        finding = getattr(self, "noise_finding_", None)
        parameters = super().__repr__(**options)
        return parameters if finding is None else f"{parameters}  # {finding.reason}"

    @property
    def offset_(self) -> float:
        """Score below which an image is an outlier; follows `contamination` at any time."""
        check_is_fitted(self, "calibration_scores_")
        # It may have been set since the fit.
        validate_parameter(self, "contamination")
        return score_threshold(self.calibration_scores_, self.contamination)

    def predict_map(self, X: ArrayLike) -> NDArray[np.float64]:
        """Anomaly score of each patch.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features, on the grid of the training images.

        Returns
        -------
        ndarray of shape (n, h, w), float64
            Weighted distance to the nearest memory patch, in feature units, see `soft_weights`;
            high = anomalous. NaN for patches that are not inspected.
        """
        patches = self._check(X)
        with self._execution():
            scores = self._bank().score_patches(patches, self._state.recognize(patches))
        scores = self._state.grid.expand(scores)
        tell_unlike(are_unlike(scores, self.inspected_, self.unlike_limit_))
        return scores

    def predict_training_map(self, X: ArrayLike, first: int = 0) -> NDArray[np.float64]:
        """Anomaly score of each patch of training images, without their own memory patches.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features of consecutive training images.
        first : int, default=0
            Number of the first of them, in the order in which they were given to fit and
            partial_fit.

        Returns
        -------
        ndarray of shape (n, h, w), float64
            As of :meth:`predict_map`; inf where no memory patch of another image is left.

        Raises
        ------
        ValueError
            If these are not the images that the detector was fitted on.
        """
        patches = self._check(X)
        numbers = np.arange(first, first + len(patches))
        state = self._state
        check_image_numbers(numbers, state.given.n_images)
        distinct = state.given.identity[numbers]
        different = numbers[~state.training.are(patches, distinct, state.copy_gap)]
        if len(different):
            raise ValueError(
                f"Image {different[0]} is not the one that the model was trained on. An audit "
                "needs the training images, in their order."
            )
        with self._execution():
            scores = self._bank().score_patches(patches, state.own_images(distinct))
        return state.grid.expand(scores)

    def match(self, X: ArrayLike) -> NDArray[np.int64]:
        """Find the memory patch that each patch is scored by.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features, on the grid of the training images.

        Returns
        -------
        ndarray of shape (n, h, w, 3), int64
            Training image, row and column of the nearest memory patch; -1 for patches that are not
            inspected.
        """
        patches = self._check(X)
        with self._execution():
            _, rows = self._bank().nearest(patches, own=self._state.recognize(patches))
        found = self.memory_source_[rows[:, 0]].reshape(*patches.shape[:3], 3)
        return self._state.grid.expand(found, -1)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Score images; high = normal.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features, on the grid of the training images.

        Returns
        -------
        ndarray of shape (n,), float64
            Minus the mean of the largest patch scores of each image, as `worst_patches` says.
        """
        patches = self._check(X)
        with self._execution():
            bank, own = self._bank(), self._state.recognize(patches)
            scores = -bank.score_images(patches, own)[0]
            if np.isfinite(self.unlike_limit_):
                tell_unlike(is_typical_beyond(bank, patches, own, self.unlike_limit_))
        return scores

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Score images relative to the threshold; negative = outlier.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features, on the grid of the training images.

        Returns
        -------
        ndarray of shape (n,), float64
            ``score_samples(X) - offset_``.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Label images as normal or outlier.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features, on the grid of the training images.

        Returns
        -------
        ndarray of shape (n,), int
            +1 for normal images, -1 for outliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1).astype(np.int64)

    def predict_pvalue(self, X: ArrayLike) -> NDArray[np.float64]:
        """Conformal p-values of images: how unusual they are among normal ones.

        Of new normal images, the share with a p-value of at most p is about p, so calling those
        outliers gives that share of false alarms. The training images that pass for normal,
        each scored without itself, stand for the normal ones; the smallest p-value is therefore
        1 / (number of them + 1).

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features, on the grid of the training images.

        Returns
        -------
        ndarray of shape (n,), float64
            Between 0 (not included) and 1; low = anomalous.

        References
        ----------
        R. Laxhammar and G. Falkman, "Conformal prediction for distribution-independent anomaly
        detection in streaming vessel data", 2010.
        """
        return conformal_pvalues(self.calibration_scores_, self.score_samples(X))

    def threshold_for(self, false_alarms: float = 0.01) -> float:
        """Threshold, as `offset_`, that calls at most a share of new normal images outliers.

        Parameters
        ----------
        false_alarms : float in (0, 1), default=0.01

        Returns
        -------
        float

        Warns
        -----
        UserWarning
            If n calibration scores are too few: they cannot promise less than 1 / (n + 1).
        """
        check_is_fitted(self)
        if not isinstance(false_alarms, Real) or not 0 < false_alarms < 1:
            raise ValueError(f"false_alarms must be a share between 0 and 1, not {false_alarms!r}.")
        warn_of_promise(self.calibration_scores_, false_alarms)
        return score_threshold(self.calibration_scores_, false_alarms)

    def calibrate(self, X: ArrayLike, y: ArrayLike) -> Calibration:
        """Set the threshold by labelled images too, and measure it on them.

        Scores of normal images join `calibration_scores_`, once each; `offset_` and p-values
        follow. Defective ones do not move it, but tell how many are missed: choose `contamination`
        by that. Updates of the model need it again.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features of images that were not trained on.
        y : array-like of shape (n,)
            0 for normal images, 1 for defective ones.

        Returns
        -------
        Calibration
            The threshold, its false alarms and what it misses, with intervals.

        Raises
        ------
        ValueError
            For other labels, without a normal image, or if an image was trained on.

        Warns
        -----
        UserWarning
            If there are too few scores to promise a share of `contamination`.
        """
        patches = self._check(X)
        is_defective = check_labels(y, len(patches))
        known = self._state.training.recognize(patches, self._state.copy_gap)
        if (known >= 0).any():
            raise ValueError(
                f"Image {np.flatnonzero(known >= 0)[0]} is one that the model was trained on. "
                "Calibrate with others; trust() declares training images normal."
            )
        scores = self.score_samples(X)
        before, normal = self._state.calibration_scores, scores[~is_defective]
        joined = np.append(before, normal[~np.isin(normal, before)])
        self._take(replace(self._state, calibration_scores=np.sort(joined)))
        if self.contamination != "auto":
            warn_of_promise(self.calibration_scores_, self.contamination)
        return measured(self.offset_, scores, is_defective)


def _has_views(X):
    """Whether features are of several views of each image, of which the first is itself."""
    shape = getattr(X, "shape", ())
    return len(shape) == 5 and shape[1] > 0


@contextmanager
def _unchanged_on_error(detector):
    """Leave a detector as it was if it cannot be fitted."""
    before = vars(detector).copy()
    try:
        yield
    except BaseException:
        vars(detector).clear()
        vars(detector).update(before)
        raise


def fitted_state(detector) -> FittedState:
    """What a detector has learned."""
    check_is_fitted(detector)
    return detector._state


def restore(detector, state, n_features, feature_names=None):
    """Give a detector a state that it, or another one, had learned.

    Parameters
    ----------
    detector : SoftPatchDetector
    state : FittedState
    n_features : int
    feature_names : ndarray of shape (n_features,), object, optional
    """
    detector._take(state)
    detector.n_features_in_ = n_features
    if feature_names is not None:
        detector.feature_names_in_ = feature_names
