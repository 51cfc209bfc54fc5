# SPDX-License-Identifier: BSD-3-Clause
"""Exact nearest-neighbour search in a memory bank."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from ..runtime.devices import accelerator
from ..runtime.parameters import check_is_fitted
from ..runtime.threads import run_blocks
from .gpu import kneighbors_on
from .rows import check_reaches, check_rows, check_search
from .scaling import LowerBounds, inner_products

__all__ = ["ExactNeighbors"]

# Floats of one block's matrix product, 4 MB per thread: it should stay in the cache.
_PRODUCT_SIZE = 2**20
# Half of the largest squared norm of scaled rows, with room to spare.
_LEAST_HALF = 1e-6


class ExactNeighbors(BaseEstimator):
    """Exact nearest neighbours by matrix products.

    A float32 product of a few principal coordinates bounds all distances from below. The few that
    the bounds leave in question are computed in float64, so the result equals that of a plain
    loop.

    Parameters
    ----------
    device : str, default="cpu"
        Torch device of the search; "auto" takes CUDA if there is a GPU. On a GPU distances are
        float32, so results agree with the CPU's within rounding error. The detector sets its own.

    Attributes
    ----------
    bank_ : ndarray of shape (n, d), float32
        The memory bank.
    reaches_ : ndarray of shape (n,), float32
        Least distance at which each row of the bank is found.
    bounds_ : LowerBounds
        Coordinates whose distances bound those of the rows from below.

    Examples
    --------
    >>> import numpy as np
    >>> from skpatch import ExactNeighbors
    >>> bank = np.array([[0.0, 0.0], [3.0, 4.0]], dtype=np.float32)
    >>> distances, rows = ExactNeighbors().fit(bank).kneighbors(bank + 0.0, 2)
    >>> distances
    array([[0., 5.],
           [0., 5.]])
    >>> rows
    array([[0, 1],
           [1, 0]])
    """

    _derived = ("_coordinates", "_largest_half")

    def __init__(self, *, device: str = "cpu") -> None:
        self.device = device

    def fit(
        self,
        X: ArrayLike,
        y: None = None,
        *,
        reaches: ArrayLike | None = None,
        bounds: LowerBounds | None = None,
    ) -> "ExactNeighbors":
        """Take the memory bank.

        Parameters
        ----------
        X : array-like of shape (n, d)
            The memory bank.
        y : None
            Ignored.
        reaches : array-like of shape (n,), optional
            Least distance of each row: nearer queries count as this far away, as in LOF's
            reachability distance (Breunig et al., 2000, definition 5). Zero by default.
        bounds : LowerBounds, optional
            The `bounds_` of an earlier fit to the same rows, which are found by default.

        Returns
        -------
        self
        """
        self.bank_ = check_rows(X)
        # float32, as the bank: in float64 they would add a tenth to a bank of few features.
        self.reaches_ = np.zeros(len(self.bank_), np.float32)
        if reaches is not None:
            self.reaches_[:] = check_reaches(reaches, len(self.bank_))
        self.bounds_ = LowerBounds(self.bank_) if bounds is None else bounds
        self._prepare()
        if bounds is not None and self._has_another_scale():
            raise ValueError("the scale of the bounds is not that of the rows")
        return self

    def _prepare(self):
        self._coordinates = self.bounds_.apply_to_rows(self.bank_, np.arange(len(self.bank_)))
        self._largest_half = self._coordinates[1].max()

    def _has_another_scale(self):
        # Scaled rows are about 1 in size; the squares of tiny ones would be 0.
        return self._largest_half < _LEAST_HALF and (self.bank_ != self.bank_[0]).any()

    def __getstate__(self):
        # What follows from the bank would up to double the size of a saved model.
        state = super().__getstate__()
        return {k: v for k, v in state.items() if k not in self._derived}

    def __setstate__(self, state):
        super().__setstate__(state)
        if "bank_" in state:
            self._prepare()

    def kneighbors(
        self,
        X: NDArray[np.float32],
        n_neighbors: int = 1,
        excluded: tuple[NDArray, NDArray] | None = None,
        description: str | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Find the nearest rows of the bank.

        Parameters
        ----------
        X : ndarray of shape (m, d), float32
        n_neighbors : int
        excluded : tuple of (query_group, bank_group), optional
            Two integer arrays (m,) and (n,); a query is not matched with rows of its own group.
        description : str, optional
            Name of the progress bar.

        Returns
        -------
        distances : ndarray of shape (m, n_neighbors), float64
            Euclidean distances, ascending; inf where no row is left.
        indices : ndarray of shape (m, n_neighbors), int64
            Rows of the bank; -1 where no row is left.
        """
        check_is_fitted(self, "bank_")
        X = check_search(self.bank_, X, n_neighbors, excluded)
        gpu = accelerator(self.device)
        if gpu is not None:
            reaches = self.reaches_ if self.reaches_.any() else None
            return kneighbors_on(gpu, self.bank_, X, n_neighbors, excluded, description, reaches)
        distances = np.full((len(X), n_neighbors), np.inf)
        indices = np.full((len(X), n_neighbors), -1)

        def search(start, stop):
            query_groups = None if excluded is None else excluded[0][start:stop]
            self.improve(
                self.prepare(X[start:stop]),
                slice(None),
                distances[start:stop],
                indices[start:stop],
                None if excluded is None else (query_groups, excluded[1]),
            )

        run_blocks(search, len(X), max(1, _PRODUCT_SIZE // len(self.bank_)), description)
        return np.sqrt(distances, out=distances), indices

    def prepare(self, X: NDArray[np.float32]) -> tuple[NDArray, ...]:
        """Queries (m, d) with their coordinates (m, k) and half of those' squared norms (m,)."""
        queries = np.ascontiguousarray(X, np.float32)
        return queries, *self.bounds_.apply(queries)

    def improve(
        self,
        prepared: tuple[NDArray, ...],
        part: slice,
        distances: NDArray[np.float64],
        indices: NDArray[np.int64],
        excluded: tuple[NDArray, NDArray] | None = None,
    ) -> None:
        """Improve nearest neighbours by those in a part of the bank, on the calling thread.

        Parameters
        ----------
        prepared : tuple of ndarray
            As of :meth:`prepare`.
        part : slice
            Rows of the bank.
        distances : ndarray of shape (m, n_neighbors), float64, changed in place
            Squared distances found so far, inf where there is none.
        indices : ndarray of shape (m, n_neighbors), int64, changed in place
            Their rows of the bank, -1 where there is none.
        excluded : tuple of (query_group, bank_group), optional
            As for :meth:`kneighbors`.
        """
        from .kernels import exclude, nearest_rows

        queries, coordinates, halves = prepared
        bank_coordinates, bank_halves = (array[part] for array in self._coordinates)
        products = inner_products(coordinates, bank_coordinates)
        if excluded is not None:
            exclude(products, excluded[0], excluded[1][part])
        nearest_rows(
            products,
            queries,
            self.bank_[part],
            np.square(self.reaches_[part], dtype=np.float64),
            part.start or 0,
            bank_halves,
            halves,
            self.bounds_.tolerance(halves, self._largest_half),
            self.bounds_.unit,
            distances,
            indices,
        )
