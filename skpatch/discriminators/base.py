# SPDX-License-Identifier: BSD-3-Clause
"""Base class of the noise discriminators."""

from abc import ABCMeta, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from ..features.patches import check_patches, require_images
from ..runtime.parameters import fit_context

__all__ = ["NoiseDiscriminator"]


class NoiseDiscriminator(BaseEstimator, metaclass=ABCMeta):
    """Base class of noise discriminators.

    A subclass implements :meth:`score_patches`; the checks around it are done here. Denoising is
    transductive, it judges the very patches it is fitted on, so the result is an attribute.

    Attributes
    ----------
    outlier_scores_ : ndarray of shape (n, h, w), float64
        Outlier score of each training patch. Higher is noisier; about 1 for a typical patch, so
        that it can serve as a weight.

    See Also
    --------
    LOFDiscriminator : The paper's best single discriminator.

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
        patches = check_patches(self, X, reset=True)
        require_images(patches, 2, f"{type(self).__name__} compares images, so it needs")
        scores = np.asarray(self.score_patches(patches), np.float64)
        if scores.shape != patches.shape[:3] or not np.isfinite(scores).all():
            raise ValueError(
                f"{type(self).__name__}.score_patches must return one finite number for each "
                f"patch, shape {patches.shape[:3]}; got shape {scores.shape} with "
                f"{np.count_nonzero(~np.isfinite(scores))} values that are not finite."
            )
        self.outlier_scores_ = scores
        return self
