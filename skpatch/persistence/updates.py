# SPDX-License-Identifier: BSD-3-Clause
"""What a fitted detector keeps for partial_fit and forget, as JSON and arrays, and back."""

import numpy as np

from ..bank.candidates import Candidates
from ..discriminators.support import Jury
from ..distances.rows import check_magnitude
from .container import entries

__all__ = ["pack_updates", "unpack_updates"]

# They are normally distributed with a deviation of at most 1. Larger ones could overflow.
_LARGEST_COMPONENT = 100
# Sizes as in persistence; u dropped patches, q worst patches of each image.
_ARRAYS = {
    "forgotten_images_": ("?", "n"),
    "_ratios": ("f8", "m"),
    "_worst_rows": ("i8", "nq"),
    "_worst_patches": ("f4", "nqd"),
}
_DROPPED = {"patches": ("f4", "ud"), "source": ("i8", "u3"), "ratios": ("f8", "u")}
# j images of g patches with x coordinates along axes in a space of p dimensions.
_JURY = {
    "images": ("i8", "j"),
    "coordinates": ("f2", "jgx"),
    "shift": ("f4", "1p"),
    "factor": ("f4", "11", np.finfo(np.float32).tiny),
}


def pack_updates(detector):
    """JSON and arrays."""
    arrays = {name: getattr(detector, name) for name in _ARRAYS}
    dropped = detector._dropped._asdict().items()
    arrays.update((f"dropped.{name}", array) for name, array in dropped)
    state = {"projects": detector._components is not None, "jury": None}
    if state["projects"]:
        arrays["components"] = detector._components
    jury = detector._jury
    if jury is not None:
        state["jury"] = {"reduced": jury.axes is not None}
        arrays.update((f"jury.{name}", array) for name, array in jury.arrays().items())
    return state, arrays


def unpack_updates(detector, state, arrays):
    """Give a detector the state that :func:`pack_updates` took from another.

    Parameters
    ----------
    detector : SoftPatchDetector
    state : dict
    arrays : StoredArrays
        Knows the sizes n, h, w, m and d.
    """
    projects, jury = entries(state, "projects", "jury")
    learned = {name: arrays.take(name, *kind) for name, kind in _ARRAYS.items()}
    dropped = {name: arrays.take(f"dropped.{name}", *kind) for name, kind in _DROPPED.items()}
    sizes = arrays.sizes
    n_patches = detector._n_patches
    arrays.check_below("dropped.source", dropped["source"], [sizes["n"], sizes["h"], sizes["w"]])
    arrays.check_below("_worst_rows", learned["_worst_rows"], n_patches)
    check_magnitude(learned["_worst_patches"], "its _worst_patches")
    # Of the memory patches, and of those that may become memory patches again.
    candidates = np.concatenate([detector.memory_source_, dropped["source"]])
    if np.isnan(detector.noise_scores_[tuple(candidates.T)]).any():
        raise ValueError("its array 'noise_scores_' lacks those of memory patches")
    check_magnitude(dropped["patches"], "its dropped.patches")
    components = arrays.take("components", "f4", "dp") if projects else None
    if projects and np.abs(components).max(initial=0) > _LARGEST_COMPONENT:
        raise ValueError("its array 'components' has numbers that no model has")
    sizes.setdefault("p", sizes["d"])
    sizes["g"] = n_patches
    vars(detector).update(
        learned,
        _dropped=Candidates(**dropped),
        _components=components,
        _jury=None if jury is None else _unpack_jury(arrays, *entries(jury, "reduced")),
    )


def _unpack_jury(arrays, reduced):
    if not reduced:
        arrays.sizes["x"] = arrays.sizes["p"]
    kinds = {**_JURY, "axes": ("f4", "px")} if reduced else _JURY
    jury = {name: arrays.take(f"jury.{name}", *kind) for name, kind in kinds.items()}
    arrays.check_below("jury.images", jury["images"], arrays.sizes["n"])
    return Jury.from_arrays(**jury)
