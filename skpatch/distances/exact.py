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
from .tree import Points, Tree

__all__ = ["ExactNeighbors"]

# Floats of one matrix product, 4 MB per thread: it should stay in the cache.
_PRODUCT_SIZE = 2**20
# Queries of a block.
_BLOCK = 256
# Coordinates up to which looking into leaves of a tree is faster than products with all rows: maps
# of light guides with 32 take 12 ms instead of 17, but of solar cells with 50 they take 220 instead
# of 108. Fewer are filled up with zeros, so that whole registers are multiplied.
_FEW_COORDINATES = 32
# Half of the largest squared norm of scaled rows, with room to spare.
_LEAST_HALF = 1e-6


class ExactNeighbors(BaseEstimator):
    """Exact nearest neighbours by lower bounds.

    Float32 products of a few principal coordinates bound distances from below: those to the rows
    in some leaves of a k-d tree, or to all rows where there are many coordinates. The few that the
    bounds leave in question are computed in float64, so the result equals that of a plain loop.

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

    _derived = ("_points", "_tree", "_squared_reaches", "_largest_half")

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
        coordinates, halves = self.bounds_.apply_to_rows(self.bank_, np.arange(len(self.bank_)))
        self._largest_half = halves.max()
        self._tree = Tree.of(coordinates)
        order = self._tree.order
        no_groups = np.zeros(len(order), np.int64)
        self._points = Points(self.bank_, _filled(coordinates[order]), halves[order], no_groups)
        self._squared_reaches = np.square(self.reaches_, dtype=np.float64)

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
        return self._search(X, n_neighbors, excluded, description)

    def near(
        self,
        X: NDArray[np.float32],
        n_neighbors: int = 1,
        excluded: tuple[NDArray, NDArray] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """As :meth:`kneighbors` on the CPU, but rows of one leaf of the tree: near, soon found."""
        return self._search(X, n_neighbors, excluded, enough=np.inf)

    def _search(self, X, n_neighbors, excluded, description=None, enough=-1.0):
        distances = np.full((len(X), n_neighbors), np.inf)
        indices = np.full((len(X), n_neighbors), -1)

        def search(start, stop):
            self.improve(
                self.prepare(X[start:stop], None if excluded is None else excluded[0][start:stop]),
                distances[start:stop],
                indices[start:stop],
                None if excluded is None else excluded[1],
                enough,
            )

        run_blocks(search, len(X), _BLOCK, description)
        return np.sqrt(distances, out=distances), indices

    def prepare(self, X: NDArray[np.float32], groups: NDArray | None = None) -> Points:
        """Queries (m, d), and what the search needs of them; of no group, or of groups (m,)."""
        queries = np.ascontiguousarray(X, np.float32)
        coordinates, halves = self.bounds_.apply(queries)
        if groups is None:
            groups = np.full(len(queries), -1)
        return Points(queries, _filled(coordinates), halves, groups.astype(np.int64))

    def improve(
        self,
        queries: Points,
        distances: NDArray[np.float64],
        indices: NDArray[np.int64],
        groups: NDArray | None = None,
        enough: float | NDArray[np.float64] = -1.0,
    ) -> None:
        """Improve nearest neighbours, on the calling thread.

        Parameters
        ----------
        queries : Points
            As of :meth:`prepare`.
        distances : ndarray of shape (m, n_neighbors), float64, changed in place
            Squared distances found so far, inf where there is none.
        indices : ndarray of shape (m, n_neighbors), int64, changed in place
            Their rows of the bank, -1 where there is none.
        groups : ndarray of shape (n,), optional
            Those of the bank's rows, of which a query is not matched with its own.
        enough : float or ndarray of shape (m,), default=-1
            Squared distance of the farthest neighbour at which a query's search may end. With inf
            it ends in the first leaf of the tree that has neighbours enough.
        """
        from .kernels import search_tree

        is_narrow = self._points.coordinates.shape[1] <= _FEW_COORDINATES
        bank = self._points
        if groups is not None:
            bank = bank._replace(groups=groups.astype(np.int64))
        search_tree(
            queries,
            bank,
            self._squared_reaches,
            self._tree,
            self.bounds_.tolerance(queries.halves, self._largest_half),
            self.bounds_.unit,
            np.full(len(distances), enough if is_narrow else np.inf),
            distances,
            indices,
        )
        left = np.flatnonzero(distances[:, -1] > enough)
        if len(left) and not is_narrow:
            found = distances[left], indices[left]
            self.compare_with_all(queries.take(left), *found, groups)
            distances[left], indices[left] = found

    def share(
        self,
        queries: Points,
        width: int,
        distances: NDArray[np.float64],
        indices: NDArray[np.int64],
    ) -> None:
        """Improve nearest neighbours by those of the queries beside each, in rows of a grid.

        Parameters are as for :meth:`improve`, and the `width` of the grid.
        """
        from .kernels import share_neighbors

        bank, reaches = self._points.rows, self._squared_reaches
        share_neighbors(queries.rows, bank, reaches, width, distances, indices)

    def compare_with(
        self,
        candidates: NDArray[np.int64],
        queries: Points,
        distances: NDArray[np.float64],
        indices: NDArray[np.int64],
        groups: NDArray | None = None,
    ) -> None:
        """As :meth:`improve`, by some rows (m, c) of the bank for each query, -1 after the last."""
        from .kernels import nearest_candidates

        bank = self._points
        nearest_candidates(
            candidates,
            np.zeros(candidates.shape, np.float32),
            queries.rows,
            bank.rows,
            self._squared_reaches,
            queries.groups,
            bank.groups if groups is None else groups.astype(np.int64),
            distances,
            indices,
        )

    def compare_with_all(
        self,
        queries: Points,
        distances: NDArray[np.float64],
        indices: NDArray[np.int64],
        groups: NDArray | None = None,
    ) -> None:
        """As :meth:`improve`, by products with all rows: faster for queries far from all of them.

        No box of a tree can be ruled out for those.
        """
        from .kernels import exclude, nearest_rows

        bank = self._points
        step = max(1, _PRODUCT_SIZE // len(queries.rows))
        for start in range(0, len(bank.rows), step):
            part = slice(start, start + step)
            order = self._tree.order[part]
            products = inner_products(queries.coordinates, bank.coordinates[part])
            if groups is not None:
                exclude(products, queries.groups, groups[order].astype(np.int64))
            nearest_rows(
                products,
                queries.rows,
                bank.rows,
                self._squared_reaches,
                order,
                0,
                bank.halves[part],
                queries.halves,
                self.bounds_.tolerance(queries.halves, self._largest_half),
                self.bounds_.unit,
                distances,
                indices,
            )


def _filled(coordinates):
    """Few coordinates (n, k), filled up with zeros."""
    n, k = coordinates.shape
    if k >= _FEW_COORDINATES:
        return coordinates
    filled = np.zeros((n, _FEW_COORDINATES), np.float32)
    filled[:, :k] = coordinates
    return filled
