# SPDX-License-Identifier: BSD-3-Clause
"""Noise discriminators: how unusual a training patch is among those at its grid position."""

import warnings

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, clone, is_outlier_detector

from ..distances.scaling import Scaling, inner_products
from ..runtime.parameters import StrOptions, positive_integer
from ..runtime.products import require_torch
from ..runtime.threads import run_blocks
from .base import NoiseDiscriminator

__all__ = [
    "GaussianDiscriminator",
    "LOFDiscriminator",
    "NearestDiscriminator",
    "PositionwiseDiscriminator",
    "outlier_factors",
    "rank_scores",
]


def _positions(patches):
    """View of the patches as (n, positions, d)."""
    return patches.reshape(len(patches), -1, patches.shape[-1])


def _score_by_neighbors(patches, n_neighbors, score, description):
    """Score patches by the nearest other images at their grid position.

    Parameters
    ----------
    patches : ndarray of shape (n, h, w, d), float32
    n_neighbors : int
    score : callable
        From distances (p, n, n_neighbors), Euclidean and ascending, and indices of images
        (p, n, n_neighbors) at p positions to scores (p, n).
    description : str
        Name of the progress bar.

    Returns
    -------
    ndarray of shape (n, h, w), float64
    """
    from ..distances.kernels import nearest_in_groups

    positions = _positions(patches)
    n, n_positions, _ = positions.shape
    scores = np.empty((n_positions, n))

    def search(start, stop):
        points = np.ascontiguousarray(positions[:, start:stop].swapaxes(0, 1))
        scaling = Scaling(points)
        scaled, halves = scaling.apply(points)
        distances = np.full((stop - start, n, n_neighbors), np.inf)
        indices = np.full((stop - start, n, n_neighbors), -1)
        nearest_in_groups(
            inner_products(scaled, scaled),
            points,
            halves,
            scaling.tolerance(halves, halves.max(axis=1, keepdims=True)),
            scaling.unit,
            distances,
            indices,
        )
        scores[start:stop] = score(np.sqrt(distances, out=distances), indices)

    # Few positions at once: the products of 1,000 images and more take megabytes for each.
    run_blocks(search, n_positions, max(1, min(8, n_positions // 8, 2**20 // n**2)), description)
    return scores.T.reshape(patches.shape[:3])


class NearestDiscriminator(NoiseDiscriminator):
    """Distance to the nearest other image's patch at the same position, plus 1.

    Attributes
    ----------
    outlier_scores_ : ndarray of shape (n, h, w), float64
        Outlier score of each training patch, at least 1.

    References
    ----------
    X. Jiang et al., "SoftPatch: Unsupervised Anomaly Detection with Noisy Data", NeurIPS 2022,
    section 3.2 (nearest neighbour).
    """

    def score_patches(self, patches: NDArray[np.float32]) -> NDArray:
        """Score all patches (n, h, w, d) by their nearest neighbour; see the base class."""
        return _score_by_neighbors(
            patches, 1, lambda distances, _: distances[..., 0] + 1, "nearest"
        )


class LOFDiscriminator(NoiseDiscriminator):
    """Local outlier factor among the patches at the same position.

    The values are those of :class:`sklearn.neighbors.LocalOutlierFactor`, fitted at each position
    on the patches of all images.

    Parameters
    ----------
    n_neighbors : int, default=6
        Number of neighbours; the default is the paper's. Reduced, with a warning, to the number
        of other images.

    Attributes
    ----------
    outlier_scores_ : ndarray of shape (n, h, w), float64
        Local outlier factor of each training patch, about 1 where the patch lies as densely as
        its neighbours.
    n_neighbors_ : int
        Number of neighbours used.

    References
    ----------
    M. Breunig et al., "LOF: identifying density-based local outliers", SIGMOD 2000.

    X. Jiang et al., "SoftPatch: Unsupervised Anomaly Detection with Noisy Data", NeurIPS 2022,
    section 3.2 (LOF).
    """

    _parameter_constraints = {"n_neighbors": [positive_integer()]}

    def __init__(self, *, n_neighbors: int = 6) -> None:
        self.n_neighbors = n_neighbors

    def score_patches(self, patches: NDArray[np.float32]) -> NDArray:
        """Score all patches (n, h, w, d) by their local outlier factor; see the base class."""
        n = len(patches)
        if self.n_neighbors > n - 1:
            warnings.warn(
                f"n_neighbors={self.n_neighbors} is more than the {n - 1} other images; "
                f"{n - 1} are used.",
                stacklevel=2,
            )
        self.n_neighbors_ = min(self.n_neighbors, n - 1)
        return _score_by_neighbors(
            patches, self.n_neighbors_, _factors_of_all, "local outlier factor"
        )


def _factors_of_all(distances, indices):
    """Local outlier factors (positions, n) from neighbours (positions, n, k)."""
    scores = np.empty(distances.shape[:2])
    for position, found in enumerate(zip(distances, indices, strict=True)):
        scores[position] = outlier_factors(*found, *found)
    return scores


def outlier_factors(known_distances, known_indices, distances, indices):
    """Local outlier factors (n,) of points among others.

    Equations 5 to 7 of Breunig et al.; the 1e-10 is scikit-learn's, and keeps the density of
    more than k copies of a point finite.

    Parameters
    ----------
    known_distances, known_indices : ndarray of shape (r, k)
        Neighbours of the others among themselves.
    distances, indices : ndarray of shape (n, k)
        Neighbours of the points among the others.
    """
    neighbor_reach = known_distances[:, -1]

    def density(distances, indices):
        return 1 / (np.maximum(distances, neighbor_reach[indices]).mean(axis=1) + 1e-10)

    known = density(known_distances, known_indices)
    return known[indices].mean(axis=1) / density(distances, indices)


class GaussianDiscriminator(NoiseDiscriminator):
    """Mahalanobis distance to the mean patch of the same position, plus 1.

    Parameters
    ----------
    covariance : {"paper", "ledoit_wolf", "oas"}, default="paper"
        Estimate of each position's covariance: the sample covariance + 0.01 I, as in the paper;
        or a shrunk one (:func:`sklearn.covariance.ledoit_wolf`, :func:`sklearn.covariance.oas`),
        which does not depend on the scale of the features.

    Attributes
    ----------
    outlier_scores_ : ndarray of shape (n, h, w), float64
        Outlier score of each training patch, at least 1.

    References
    ----------
    X. Jiang et al., "SoftPatch: Unsupervised Anomaly Detection with Noisy Data", NeurIPS 2022,
    section 3.2 (multi-variate Gaussian).
    """

    _parameter_constraints = {"covariance": [StrOptions({"paper", "ledoit_wolf", "oas"})]}

    def __init__(self, *, covariance: str = "paper") -> None:
        self.covariance = covariance

    def score_patches(self, patches: NDArray[np.float32]) -> NDArray:
        """Score all patches (n, h, w, d) by Mahalanobis distance; see the base class."""
        require_torch("GaussianDiscriminator")
        import torch

        positions = _positions(patches)
        n, n_positions, _ = positions.shape
        distances = np.empty((n_positions, n))

        def measure(start, stop):
            block = positions[:, start:stop].swapaxes(0, 1).astype(np.float64)
            block -= block.mean(axis=1, keepdims=True)
            block = torch.from_numpy(block)
            factor = torch.linalg.cholesky(self._covariances(block))
            white = torch.linalg.solve_triangular(factor, block.mT, upper=False)
            distances[start:stop] = torch.linalg.vector_norm(white, dim=1).numpy()

        run_blocks(measure, n_positions, 8, "gaussian")
        return distances.T.reshape(patches.shape[:3]) + 1

    def _covariances(self, centred):
        """Covariance estimates (positions, d, d) of centred points (positions, n, d)."""
        import torch

        if self.covariance == "paper":
            estimates, ridge = torch.bmm(centred.mT, centred) / (centred.shape[1] - 1), 0.01
        else:
            # With it come scikit-learn's linear models, which nothing else needs.
            from sklearn import covariance

            estimate = getattr(covariance, self.covariance)
            shrunk = [estimate(points.numpy(), assume_centered=True)[0] for points in centred]
            # Features that never vary have no covariance to shrink towards; their distance is 0.
            estimates, ridge = torch.from_numpy(np.stack(shrunk)), np.finfo(np.float64).tiny
        # Less would be lost in the rounding errors of features that are large, or hardly vary.
        n_features = centred.shape[2]
        traces = estimates.diagonal(dim1=1, dim2=2).sum(dim=1)
        ridges = (10 * n_features * np.finfo(np.float64).eps * traces).clamp(min=ridge)
        return estimates + ridges[:, None, None] * torch.eye(n_features, dtype=centred.dtype)


def rank_scores(scores):
    """Ranks of all patches (n, h, w), scaled to the interval (0, 2) with mean 1."""
    return 2 * rankdata(scores).reshape(scores.shape) / (scores.size + 1)


class PositionwiseDiscriminator(NoiseDiscriminator):
    """Any scikit-learn outlier detector, fitted at each grid position on its own.

    Detectors score in units of their own, of either sign, so the scores are turned into ranks.

    Parameters
    ----------
    estimator : outlier detector
        For instance :class:`sklearn.ensemble.IsolationForest`. It is cloned for each position.
    n_jobs : int or None, default=None
        Number of processes over the positions, in joblib's meaning.

    Attributes
    ----------
    outlier_scores_ : ndarray of shape (n, h, w), float64
        Rank of each training patch among all, scaled to the interval (0, 2) with mean 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.covariance import EllipticEnvelope
    >>> from skpatch.discriminators import PositionwiseDiscriminator
    >>> patches = np.random.RandomState(0).rand(30, 2, 2, 3).astype(np.float32)
    >>> patches[7, 1, 1] += 3
    >>> estimator = EllipticEnvelope(random_state=0)
    >>> noise = PositionwiseDiscriminator(estimator=estimator).fit(patches)
    >>> [int(i) for i in np.unravel_index(noise.outlier_scores_.argmax(), (30, 2, 2))]
    [7, 1, 1]
    """

    def __init__(self, *, estimator: BaseEstimator, n_jobs: int | None = None) -> None:
        self.estimator = estimator
        self.n_jobs = n_jobs

    def score_patches(self, patches: NDArray[np.float32]) -> NDArray:
        """Score all patches (n, h, w, d) with the estimator; see the base class."""
        if not (isinstance(self.estimator, BaseEstimator) and is_outlier_detector(self.estimator)):
            raise TypeError(
                f"estimator={self.estimator!r} is not a scikit-learn outlier detector "
                "(such as sklearn.ensemble.IsolationForest())."
            )
        positions = _positions(patches)
        scores = Parallel(n_jobs=self.n_jobs, batch_size=8)(
            delayed(_detector_scores)(self.estimator, np.ascontiguousarray(positions[:, position]))
            for position in range(positions.shape[1])
        )
        return rank_scores(np.stack(scores, axis=1).reshape(patches.shape[:3]))


def _detector_scores(estimator, points):
    """Outlier scores (n,) of points (n, d), high = outlier."""
    fitted = clone(estimator).fit(points)
    if hasattr(fitted, "negative_outlier_factor_"):
        return -fitted.negative_outlier_factor_
    if hasattr(fitted, "score_samples"):
        return -fitted.score_samples(points)
    return -fitted.decision_function(points)
