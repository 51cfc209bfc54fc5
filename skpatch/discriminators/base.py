# SPDX-License-Identifier: BSD-3-Clause
"""What a noise discriminator is: the interface by which a detector calls any of them."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from ..bank.bank import MemoryBank
from ..bank.usual import UsualPatches
from ..features.patches import check_patches, require_images
from ..runtime.parameters import fit_context
from .finding import NoiseFinding

__all__ = [
    "KeepAll",
    "NoiseDiscriminator",
    "Selection",
    "TrainingPatches",
    "Verdict",
    "keep_all",
]


@dataclass(frozen=True, eq=False)
class TrainingPatches:
    """What a discriminator is given before the selection of the memory bank.

    Attributes
    ----------
    patches : ndarray of shape (n, h, w, k), float32
        The inspected patches of the training images in the projection in which noise is scored,
        (n, 1, p, k) if not all patches of the grid are inspected.
    trial_bank : callable
        From an array (n, h, w), bool, of the patches that take part, to the
        ``MemoryBank`` that is selected from them, in features; nothing else is kept out of it.
    features : ndarray of shape (n, h, w, d), float32
        The same patches as features, as a memory bank is given them.
    is_trusted : ndarray of shape (n,), bool
        Images that the user declared normal; the detector keeps all their patches in any case.
    images : ndarray of shape (n,), int64
        Numbers of the images.
    inspected : ndarray of shape (H, W), bool
        The patches of the whole grid that are inspected.
    evidence : object
        What the discriminator has collected and concluded; None without any image.
    """

    patches: NDArray[np.float32]
    features: NDArray[np.float32]
    trial_bank: Callable[[NDArray[np.bool_]], MemoryBank]
    is_trusted: NDArray[np.bool_]
    images: NDArray[np.int64]
    inspected: NDArray[np.bool_]
    evidence: Any


@dataclass(frozen=True, eq=False)
class Selection:
    """What a discriminator is given after it: the patches selected for the memory bank.

    Attributes
    ----------
    points : ndarray or Rows of shape (c, k), float32
        The patches in the projection; Rows are an array when they are indexed.
    patches : ndarray or Rows of shape (c, d), float32
        Their features.
    source : ndarray of shape (c, 3), int64
        Training image, row and column of each.
    rows : ndarray of shape (c,), int64
        Number of each among the inspected patches of its image.
    screened : ndarray of shape (n, p), float64
        What the discriminator scored all inspected patches of the training images before.
    ratios : ndarray of shape (c,), float64, or None
        In an update, those of the last verdict, of new patches their median; None in a fit.
    features_at : callable or None
        From an integer array (c, 2) of images and the numbers of patches in them to their
        features (c, d), Rows or array; None in an update, when they are no longer known.
    declared : ndarray of shape (n,), bool, or None
        Images that the user declared normal; None for none. Whatever the verdict on them and their
        patches, the detector takes them for normal.
    """

    points: Any
    patches: Any
    source: NDArray[np.int64]
    rows: NDArray[np.int64]
    screened: NDArray[np.float64]
    ratios: NDArray[np.float64] | None = None
    features_at: Callable[[NDArray[np.int64]], Any] | None = None
    declared: NDArray[np.bool_] | None = None

    @property
    def n_images(self):
        """Number of training images."""
        return len(self.screened)

    @property
    def scores(self):
        """What the discriminator scored the patches before, (c,)."""
        return self.screened[self.source[:, 0], self.rows]


class Verdict(NamedTuple):
    """What a discriminator finds of a :class:`Selection`.

    Attributes
    ----------
    is_noise : ndarray of shape (c,), bool
        Patches that are left out of the memory bank.
    weights : ndarray of shape (c,), float64
        What distances to each patch are multiplied with, at least 0.
    is_trusted : ndarray of shape (n,), bool
        Training images that look normal.
    noise_ratio : float
        Share of the training images, in [0, 1), that should not be normal: as many of the lowest
        scores do not count for the threshold, but the highest does.
    reaches : ndarray of shape (c,), float64, or None
        Least distance at which each patch counts; None for 0, and for searches without them.
    ratios : ndarray of shape (c,), float64, or None
        A number of each patch that updates need again.
    is_accused : ndarray of shape (n, p), bool, or None
        Inspected patches of all training images that are taken for noise and yet not left out, as
        those that count from a distance on; None for none.
    finding : NoiseFinding or None
        What can be told of the noise, in words.
    """

    is_noise: NDArray[np.bool_]
    weights: NDArray[np.float64]
    is_trusted: NDArray[np.bool_]
    noise_ratio: float = 0.0
    reaches: NDArray[np.float64] | None = None
    ratios: NDArray[np.float64] | None = None
    is_accused: NDArray[np.bool_] | None = None
    finding: NoiseFinding | None = None

    def overruled(self, images: NDArray[np.int64], declared: NDArray[np.bool_]) -> "Verdict":
        """Take declared images (n,) for normal, of those (c,) that the patches are of."""
        is_normal, reaches = declared[images], self.reaches
        return self._replace(
            is_noise=self.is_noise & ~is_normal,
            weights=np.where(is_normal, 1.0, self.weights),
            reaches=None if reaches is None else np.where(is_normal, 0.0, reaches),
            is_trusted=self.is_trusted | declared,
        )


class NoiseDiscriminator(BaseEstimator, metaclass=ABCMeta):
    """Base class of noise discriminators.

    A detector asks twice. *Before* the memory bank is selected, :meth:`screen` says which training
    patches may take part; a subclass implements :meth:`score_patches`, and the checks around it
    are done here. *After* the selection, :meth:`judge` says which of the selected patches are noise
    all the same, what the others count, and which images can be trusted; by default none is noise,
    and patches count as much as they were scored. What both need of the training images is
    collected by :meth:`collect` first, and kept for updates and in saved models.

    Denoising is transductive, it judges the very patches it is fitted on, so the result of
    :meth:`fit` is an attribute. The other methods leave a discriminator as it is.

    Attributes
    ----------
    outlier_scores_ : ndarray of shape (n, h, w), float64
        Outlier score of each training patch. Higher is noisier; about 1 for a typical patch, so
        that it can serve as a weight.
    default_threshold : float
        Class attribute: the share of the patches that ``noise_threshold="auto"`` drops.
    worst_patches : int or float
        Class attribute: the number or share of an image's worst patches that are averaged to its
        score by default, which is at least 0.85 times the worst of them.
    recognizes_training_images : bool
        Class attribute: whether training images are recognised when they are scored, and compared
        with the patches of the others only.

    See Also
    --------
    LOFDiscriminator : The paper's best single discriminator.
    SupportDiscriminator : The default, which judges after the selection.

    Examples
    --------
    The distance to the median patch of the same position, in units of its own median:

    >>> import numpy as np
    >>> from skpatch.discriminators import NoiseDiscriminator
    >>> class MedianDiscriminator(NoiseDiscriminator):
    ...     def score_patches(self, patches):
    ...         gaps = np.linalg.norm(patches - np.median(patches, axis=0), axis=-1)
    ...         return gaps / np.median(gaps)
    >>> patches = np.random.RandomState(0).rand(20, 2, 2, 5).astype(np.float32)
    >>> patches[3, 0, 1] += 5
    >>> scores = MedianDiscriminator().fit(patches).outlier_scores_
    >>> [int(i) for i in np.unravel_index(scores.argmax(), scores.shape)]
    [3, 0, 1]
    """

    _parameter_constraints: dict = {}

    default_threshold = 0.15
    worst_patches: int | float = 1
    recognizes_training_images = False

    @abstractmethod
    def score_patches(self, patches: NDArray[np.float32]) -> NDArray:
        """Score all patches.

        Parameters
        ----------
        patches : ndarray of shape (n, h, w, d), float32
            Validated patch features of at least two images.

        Returns
        -------
        ndarray of shape (n, h, w)
            Higher is noisier, about 1 for a typical patch.
        """

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: None = None) -> "NoiseDiscriminator":
        """Score the training patches.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features of n images.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            With fewer than two images: a patch is judged by those of other images.
        """
        patches, grid = check_patches(X, validate=partial(validate_data, self, reset=True))
        require_images(patches, 2, f"{type(self).__name__} compares images, so it needs")
        scores = np.asarray(self.score_patches(patches), np.float64)
        if scores.shape != patches.shape[:3] or not np.isfinite(scores).all():
            raise ValueError(
                f"{type(self).__name__}.score_patches must return one finite number for each "
                f"patch, shape {patches.shape[:3]}; got shape {scores.shape} with "
                f"{np.count_nonzero(~np.isfinite(scores))} values that are not finite."
            )
        self.grid_shape_, self.outlier_scores_ = grid.shape, scores
        return self

    def screen(
        self, training: TrainingPatches, threshold: float | None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Say which patches may take part in the selection of the memory bank.

        Parameters
        ----------
        training : TrainingPatches
        threshold : float or None
            The share of the patches to drop; None is for the discriminator to decide.

        Returns
        -------
        scores : ndarray of shape (n, h, w), float64
            Outlier score of each patch.
        is_kept : ndarray of shape (n, h, w), bool
        """
        scores = self.fit(training.patches).outlier_scores_
        share = self.default_threshold if threshold is None else threshold
        return scores, scores <= np.quantile(scores, 1 - share)

    def witnesses(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Choose the training images that :meth:`collect` is to be given.

        Parameters
        ----------
        images : ndarray of shape (n,), int64
            Numbers of the training images, ascending.

        Returns
        -------
        ndarray of shape (j,), int64
            Some of them, ascending; by default none.
        """
        return images[:0]

    def collect(
        self,
        evidence: Any,
        patches: NDArray[np.float32],
        images: NDArray[np.int64],
    ) -> Any:
        """Take what :meth:`screen` and :meth:`judge` need from training images.

        Called several times where not all images are in memory at once, and again in updates.

        Parameters
        ----------
        evidence : object
            What was collected before; None at first. It stays as it is.
        patches : ndarray of shape (j, h, w, k), float32
            Patches of images in the projection, of others than the witnesses too.
        images : ndarray of shape (j,), int64
            Their numbers, ascending.

        Returns
        -------
        object
            By default None.
        """
        return None

    def conclude(self, evidence: Any, inspected: NDArray[np.bool_]) -> Any:
        """Draw conclusions once all is collected, before :meth:`screen`.

        Parameters
        ----------
        evidence : object
            What :meth:`collect` returned; None without any image.
        inspected : ndarray of shape (H, W), bool
            The patches of the grid that are inspected.

        Returns
        -------
        object
            The evidence that the other methods are given; by default the same.
        """
        return evidence

    def judge(self, evidence: Any, selection: Selection, threshold: float | None) -> Verdict:
        """Say which of the patches selected for the memory bank are noise, and what others count.

        Parameters
        ----------
        evidence : object
            What :meth:`collect` returned; None without any image.
        selection : Selection
        threshold : float or None
            As for :meth:`screen`.

        Returns
        -------
        Verdict
            By default no patch is noise, and each counts as its score.
        """
        return Verdict(
            is_noise=np.zeros(len(selection.source), bool),
            # A negative weight would call the most distant patch the most normal one.
            weights=np.maximum(selection.scores, 0),
            is_trusted=np.ones(selection.n_images, bool),
        )

    def usual(
        self, evidence: Any, is_normal: NDArray[np.bool_], inspected: NDArray[np.bool_]
    ) -> UsualPatches | None:
        """Say what is usual at each place, by which scores of patches are weighted.

        Parameters
        ----------
        evidence : object
            What :meth:`collect` returned; None without any image.
        is_normal : ndarray of shape (n, p), bool
            Inspected patches of all training images that are no noise, of images that are trusted.
        inspected : ndarray of shape (H, W), bool
            The patches of the grid that are inspected.

        Returns
        -------
        UsualPatches or None
            By default None: scores depend on the nearest memory patches alone.
        """
        return None

    def dismiss(self, evidence: Any, images: NDArray[np.int64]) -> Any:
        """Leave training images, given by their numbers, out of what was collected.

        Raises
        ------
        ValueError
            If too little is left to judge by.
        """
        return evidence

    def evidence_bytes(self, n_images: int, n_patches: int, n_features: int) -> int:
        """Bytes of the evidence of images of that many patches in a projection; by default 0."""
        return 0


class KeepAll(NoiseDiscriminator):
    """No patch is noise: plain PatchCore."""

    def score_patches(self, patches):
        """Score all patches 1."""
        return np.ones(patches.shape[:3])

    def screen(self, training, threshold):
        """Keep all patches."""
        return keep_all(training)


def keep_all(training):
    """What :meth:`NoiseDiscriminator.screen` returns where no patch is dropped, nor scored."""
    shape = training.patches.shape[:3]
    return np.ones(shape), np.ones(shape, bool)
