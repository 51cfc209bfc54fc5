# SPDX-License-Identifier: BSD-3-Clause
"""Fitted neighbour searches as JSON and arrays, and back."""

import re
import warnings
from importlib import metadata
from numbers import Integral

import numpy as np

from ..distances.exact import ExactNeighbors
from ..distances.graph import PyNNDescentNeighbors
from ..distances.scaling import LowerBounds
from ..runtime.text import shown
from .container import entries

__all__ = ["check_axes", "pack_search", "unpack_search"]

# skpatch 0.1.0.dev0 stored the graph itself, as t nodes of a tree in a space of a axes, and
# e links. It is built again from the same parameters.
_OLD_GRAPH = {
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
_VERSION = re.compile(r"[0-9a-z.+]{1,40}")
_OLD_STATE = ("pynndescent", "n_neighbors", "leaf_size", "min_distance", "trusted_distance")


def pack_search(search):
    """State of a fitted ExactNeighbors or PyNNDescentNeighbors as JSON, and its arrays.

    The memory bank and the reaches are left out, and so is the graph.
    """
    has_graph = isinstance(search, PyNNDescentNeighbors) and search.index_ is not None
    bounds = search.exact_.bounds_ if isinstance(search, PyNNDescentNeighbors) else search.bounds_
    graph = {"pynndescent": metadata.version("pynndescent")} if has_graph else None
    arrays = {f"bounds.{name}": array for name, array in bounds.arrays().items()}
    return {"reduced": bounds.reduced, "graph": graph}, arrays


def unpack_search(search, state, arrays, bank, reaches):
    """Fit a search again as that which :func:`pack_search` took `state` and `arrays` from.

    Parameters
    ----------
    search : ExactNeighbors or PyNNDescentNeighbors
        With the parameters of that one.
    state : dict
    arrays : StoredArrays
    bank : ndarray of shape (m, d), float32
    reaches : ndarray of shape (m,), float64
    """
    if not isinstance(search, ExactNeighbors | PyNNDescentNeighbors):
        raise ValueError("its neighbour search is none")
    reduced, graph = entries(state, "reduced", "graph")
    bounds = _take_bounds(arrays, reduced)
    if graph is not None:
        _check_graph(search, graph, arrays)
    search.fit(bank, reaches=reaches, bounds=bounds)


def _take_bounds(arrays, reduced):
    shift = arrays.take("bounds.shift", "f4", "1d")
    factor = arrays.take("bounds.factor", "f4", "11", np.finfo(np.float32).tiny)
    axes = check_axes(arrays.take("bounds.axes", "f4", "dk")) if reduced else None
    return LowerBounds.from_arrays(shift, factor, axes)


def check_axes(axes):
    """Principal axes (d, k), if they are orthonormal: bounds hold for such only."""
    # Products of larger numbers could overflow.
    is_unit = np.abs(axes).max(initial=0) < 2
    if not is_unit or not np.allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-3):
        raise ValueError("its principal axes are not orthonormal")
    return axes


def _check_graph(search, graph, arrays):
    """Say if the graph that is built will be another than that of the saved model."""
    if not isinstance(search, PyNNDescentNeighbors):
        raise ValueError("its neighbour search has no graph")
    names = _OLD_STATE if isinstance(graph, dict) and len(graph) > 1 else ("pynndescent",)
    version, *of_old_graph = entries(graph, *names)
    if of_old_graph:
        for name, kind in _OLD_GRAPH.items():
            arrays.take(f"graph.{name}", *kind)
    if not isinstance(search.random_state, Integral):
        # Old files lack the seed where it was a generator; any other graph is as good.
        search.set_params(random_state=0)
    installed = metadata.version("pynndescent")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ValueError("its version of pynndescent is none")
    if version != installed:
        warnings.warn(
            f"The search graph was built by pynndescent {shown(version)}, and {installed} is "
            "installed: scores can differ a little.",
            stacklevel=5,
        )
