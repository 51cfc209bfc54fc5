# SPDX-License-Identifier: BSD-3-Clause
"""The search that a detector is asked for, and the device that it runs on."""

import numpy as np
from sklearn.base import clone

from .exact import ExactNeighbors
from .graph import PyNNDescentNeighbors

__all__ = ["make_neighbors", "on_device"]

# Above it "auto" builds a graph. Building costs about a minute, mostly compilation, and every
# query of an exact search is a pass over the bank.
_LARGE_BANK = 200_000
_SEARCHES = {"exact": ExactNeighbors, "pynndescent": PyNNDescentNeighbors}


def make_neighbors(neighbors, bank_size, random_state):
    """Resolve the `neighbors` parameter of the detector to an unfitted search object."""
    if neighbors == "auto":
        neighbors = "exact" if bank_size <= _LARGE_BANK else "pynndescent"
    if isinstance(neighbors, str):
        if neighbors not in _SEARCHES:
            known = ", ".join(map(repr, ["auto", *_SEARCHES]))
            raise ValueError(
                f"neighbors={neighbors!r} is unknown. Known are {known}, or an object."
            )
        search = _SEARCHES[neighbors]()
    elif hasattr(neighbors, "fit") and hasattr(neighbors, "kneighbors"):
        search = clone(neighbors)
    else:
        raise ValueError(
            f"neighbors={neighbors!r} must be a name or an object with fit and kneighbors, "
            "such as skpatch.PyNNDescentNeighbors(epsilon=0.2)."
        )
    _set_seed(search, random_state)
    return search


def _set_seed(search, random_state):
    """Make the seed of a search a number, so that a saved model can build the same one again."""
    given = search.get_params().get("random_state", 0)
    if given is None or isinstance(given, np.random.RandomState):
        source = random_state if given is None else given
        search.set_params(random_state=source.randint(np.iinfo(np.int32).max))


def on_device(search, device):
    """The same fitted search on a device, if it has a choice; nothing is copied."""
    if getattr(search, "device", device) == device:
        return search
    moved = object.__new__(type(search))
    vars(moved).update(vars(search), device=device)
    return moved
