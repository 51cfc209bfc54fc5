# SPDX-License-Identifier: BSD-3-Clause
"""What a fitted memory bank can do: score patches and images, and say what the scores mean."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin

from ._calibration import conformal_pvalues, score_threshold
from ._image_scores import worst_patches
from ._neighbors import ExactNeighbors
from ._parallel import accelerator
from ._validation import check_is_fitted, check_patches

__all__ = ["MemoryBankMixin"]

# Patches of an image below which looking for the worst one first does not pay.
_LEAST_GRID = 32


class MemoryBankMixin(OutlierMixin):
    """Scores from the memory bank, the neighbour search and the calibration of a subclass."""

    @property
    def offset_(self):
        """Score below which an image is an outlier; follows `contamination` at any time."""
        check_is_fitted(self, "calibration_scores_")
        return score_threshold(self.calibration_scores_, self.contamination)

    def _check(self, X):
        """Patches (n, h, w, d) to score, checked against those of the training."""
        check_is_fitted(self)
        return check_patches(self, X, reset=False)

    def _own_patches(self):
        """Numbers (n, h, w) of the training images and (m,) of the memory patches' images.

        Patches are not compared with memory patches of the same number, so a training image is
        scored without itself.
        """
        own = np.empty(self.kept_.shape, np.int64)
        own[:] = np.arange(len(own))[:, np.newaxis, np.newaxis]
        is_sparse = len(self.memory_bank_) <= self.kept_.sum() / 2
        if is_sparse and own[0].size == 1:
            # An image of one patch: without it another one would be in the bank for its region,
            # so the distance to the remaining ones says nothing about a new image.
            own[tuple(self.memory_source_.T)] = -1
        return own, self.memory_source_[:, 0]

    def _score_images(self, patches, excluded=None, description="scoring", n_worst=1):
        """Largest patch score of each image (n,); inf where no memory patch is left to compare.

        Also the rows (n, n_worst) among an image's patches of those with the largest scores or, if
        not all had to be computed, with the largest bounds. `excluded` is an integer array
        (n, h, w) and one for the memory patches; patches are not compared with memory patches of
        the same number.
        """
        n_images, height, width, n_features = patches.shape
        complete = height * width < _LEAST_GRID or accelerator() is not None
        if complete or not isinstance(self.neighbors_, ExactNeighbors):
            scores = self._score_patches(patches, excluded, description).reshape(n_images, -1)
            return scores.max(axis=1), np.argsort(-scores, axis=1, kind="stable")[:, :n_worst]
        if excluded is not None:
            excluded = excluded[0].reshape(n_images, -1), excluded[1]
        return worst_patches(
            self.neighbors_,
            patches.reshape(n_images, -1, n_features),
            min(self.n_neighbors, len(self.memory_bank_)),
            self._weigh,
            self.memory_weights_,
            n_worst,
            excluded,
            description,
        )

    def _score_patches(self, patches, excluded=None, description="scoring"):
        """Anomaly scores (n, h, w) of patches; as for :meth:`_score_images`."""
        distances, indices = self.neighbors_.kneighbors(
            patches.reshape(-1, patches.shape[-1]),
            min(self.n_neighbors, len(self.memory_bank_)),
            None if excluded is None else (excluded[0].ravel(), excluded[1]),
            description,
        )
        return self._weigh(distances, self.memory_weights_[indices]).reshape(patches.shape[:3])

    def _weigh(self, distances, weights):
        """Scores (m,) from distances (m, k), inf for a missing neighbour, and their weights."""
        found = np.isfinite(distances)
        if self.metric == "sqeuclidean":
            distances = np.square(distances)
        weighted = np.where(found, weights * distances, 0)
        scores = weighted.sum(axis=1) / np.maximum(found.sum(axis=1), 1)
        scores[~found[:, 0]] = np.inf
        return scores

    def predict_map(self, X: ArrayLike) -> NDArray[np.float64]:
        """Anomaly score of each patch.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features, on the grid of the training images.

        Returns
        -------
        ndarray of shape (n, h, w), float64
            Weighted distance to the nearest memory patch, in feature units; high = anomalous.
        """
        patches = self._check(X)
        with self._execution():
            return self._score_patches(patches)

    def match(self, X: ArrayLike) -> NDArray[np.int64]:
        """Find the memory patch that each patch is scored by.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features, on the grid of the training images.

        Returns
        -------
        ndarray of shape (n, h, w, 3), int64
            Training image, row and column of the nearest memory patch.
        """
        patches = self._check(X)
        with self._execution():
            _, rows = self.neighbors_.kneighbors(patches.reshape(-1, patches.shape[-1]), 1)
        return self.memory_source_[rows[:, 0]].reshape(*patches.shape[:3], 3)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Score images; high = normal.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features, on the grid of the training images.

        Returns
        -------
        ndarray of shape (n,), float64
            Minus the largest patch score of each image.
        """
        patches = self._check(X)
        with self._execution():
            return -self._score_images(patches)[0]

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
