# SPDX-License-Identifier: BSD-3-Clause
"""Fitted neighbour searches as JSON and arrays, and back."""

import inspect
import warnings

import numpy as np

from ..distances.neighbors import ExactNeighbors, check_reaches
from ..distances.scaling import LowerBounds
from .container import entries

__all__ = ["pack_search", "unpack_search"]

# The search tree of a graph: t nodes, in a space of a axes.
_GRAPH = {
    "points": ("f4", "ma"),
    "order": ("i4", "m"),
    "starts": ("i4", "s"),
    "targets": ("i4", "e"),
    "hyperplanes": ("f4", "ta"),
    "offsets": ("f4", "t"),
    "children": ("i4", "t2"),
    "leaves": ("i4", "m"),
    "rng": ("i8", "3"),
}


def pack_search(search):
    """State of a fitted ExactNeighbors or PyNNDescentNeighbors as JSON, and its arrays.

    The memory bank and the reaches are left out.
    """
    exact = search if isinstance(search, ExactNeighbors) else search._exact
    arrays = {f"bounds.{name}": array for name, array in exact._bounds.arrays().items()}
    state = {"reduced": exact._bounds.reduced, "graph": None}
    if getattr(search, "index_", None) is not None:
        state["graph"], graph = _pack_graph(search)
        arrays.update((f"graph.{name}", array) for name, array in graph.items())
    return state, arrays


def _pack_graph(search):
    import pynndescent

    index = search.index_
    tree = index._search_forest[0]
    graph = {
        "points": index._raw_data,
        "order": index._vertex_order,
        "starts": index._search_graph.indptr,
        "targets": index._search_graph.indices,
        "hyperplanes": tree.hyperplanes,
        "offsets": tree.offsets,
        "children": tree.children,
        "leaves": tree.indices,
        "rng": index.search_rng_state,
    }
    state = {
        "pynndescent": pynndescent.__version__,
        "n_neighbors": index.n_neighbors,
        "leaf_size": int(tree.leaf_size),
        "min_distance": float(index._min_distance),
        "trusted_distance": search.trusted_distance_,
    }
    return state, {name: np.asarray(graph[name], dtype) for name, (dtype, _) in _GRAPH.items()}


def unpack_search(search, state, arrays, bank, reaches):
    """Give an unfitted search the fitted state that :func:`pack_search` took from another.

    Parameters
    ----------
    search : ExactNeighbors or PyNNDescentNeighbors
    state : dict
    arrays : StoredArrays
    bank : ndarray of shape (m, d), float32
    reaches : ndarray of shape (m,), float64
    """
    exact = search if isinstance(search, ExactNeighbors) else ExactNeighbors()
    least_factor = np.finfo(np.float32).tiny
    bounds = [
        arrays.take("bounds.shift", "f4", "1d"),
        arrays.take("bounds.factor", "f4", "11", least_factor),
    ]
    reduced, graph = entries(state, "reduced", "graph")
    if reduced:
        bounds.append(_take_axes(arrays))
    exact.__setstate__(
        {
            "bank_": bank,
            "reaches_": check_reaches(reaches, len(bank)).astype(np.float32),
            "_bounds": LowerBounds.from_arrays(*bounds),
        }
    )
    # The scaled memory patches are about 1 in size; the squares of tiny ones would be 0.
    if exact._largest_half < 1e-6 and (bank != bank[0]).any():
        raise ValueError("the scale of its neighbour search is not that of its memory patches")
    if search is exact:
        return
    search._exact, search.bank_ = exact, bank
    search.index_, search.trusted_distance_ = None, 0.0
    if graph is not None:
        _unpack_graph(search, graph, arrays, reaches)


def _take_axes(arrays):
    """Principal axes; bounds hold for orthonormal ones only."""
    axes = arrays.take("bounds.axes", "f4", "dk")
    # Products of larger numbers could overflow.
    is_unit = np.abs(axes).max() < 2
    if not is_unit or not np.allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-3):
        raise ValueError("its principal axes are not orthonormal")
    return axes


def _unpack_graph(search, state, arrays, reaches):
    import pynndescent

    version, *numbers, trusted_distance = entries(
        state, "pynndescent", "n_neighbors", "leaf_size", "min_distance", "trusted_distance"
    )
    arrays.sizes["a"] = search._exact._bounds.leading(search.bank_[:1], search._axes).shape[1]
    graph = {name: arrays.take(f"graph.{name}", *kind) for name, kind in _GRAPH.items()}
    _check_graph(len(search.bank_), **graph)
    if version != pynndescent.__version__:
        warnings.warn(
            f"The search graph was built by pynndescent {version}, and "
            f"{pynndescent.__version__} is installed: it is built anew, which takes a minute, and "
            "scores can differ a little.",
            stacklevel=5,
        )
        search.fit(search.bank_, reaches=reaches)
        return
    search.index_ = _make_index(graph, *numbers)
    search.trusted_distance_ = float(trusted_distance)


def _check_graph(n_rows, points, order, starts, targets, children, leaves, **_):
    """Raise unless a search stays within the arrays and ends: pynndescent does not check."""
    rows = np.arange(n_rows)
    nodes = np.arange(len(children))[:, np.newaxis]
    is_inner = (children > 0).all(axis=1)
    bounds = -children[~is_inner]
    valid = (
        all(np.array_equal(np.sort(array), rows) for array in (order, leaves))
        and len(starts) == n_rows + 1
        and starts[0] == 0
        and starts[-1] == len(targets)
        and (np.diff(starts) >= 0).all()
        and (targets >= 0).all()
        and (targets < n_rows).all()
        and len(children) > 0
        and (nodes < children)[is_inner].all()
        and (children < len(children)).all()
        and (bounds[:, 0] >= 0).all()
        and (bounds[:, 0] <= bounds[:, 1]).all()
        and (bounds[:, 1] <= n_rows).all()
    )
    if not valid:
        raise ValueError("its search graph is inconsistent")


def _make_index(graph, n_neighbors, leaf_size, min_distance):
    """Make a prepared pynndescent index, as unpickling does, without what only building needs."""
    from pynndescent import NNDescent
    from pynndescent.rp_trees import FlatTree
    from scipy.sparse import csr_array

    n_rows = len(graph["points"])
    links = np.ones(len(graph["targets"]), np.uint8), graph["targets"], graph["starts"]
    tree = FlatTree(
        graph["hyperplanes"],
        graph["offsets"],
        graph["children"],
        graph["leaves"],
        int(leaf_size),
    )
    parameters = list(inspect.signature(NNDescent).parameters.values())[1:]
    index = NNDescent.__new__(NNDescent)
    index.__setstate__(
        {
            **{parameter.name: parameter.default for parameter in parameters},
            "n_neighbors": int(n_neighbors),
            "n_jobs": 1,
            "compressed": True,
            "dim": graph["points"].shape[1],
            "_input_dtype": np.float32,
            "_dist_args": (),
            "_distance_correction": None,
            "_is_sparse": False,
            "_normalized_data": False,
            "_angular_trees": False,
            "_bit_trees": False,
            "_compile_search": False,
            "_raw_data": graph["points"],
            "_vertex_order": graph["order"],
            "_visited": np.zeros(n_rows // 8 + 1, np.uint8),
            "_min_distance": np.float32(min_distance),
            "_search_graph": csr_array(links, shape=(n_rows, n_rows)),
            "_search_forest": (tree,),
            "search_rng_state": graph["rng"],
        }
    )
    return index
