# SPDX-License-Identifier: BSD-3-Clause
"""What a fitted detector keeps for partial_fit and forget, as JSON and arrays, and back."""

import numpy as np

from ..bank.candidates import Candidates
from ..discriminators.jury import Jury
from ..distances.rows import check_magnitude
from ..likeness.given import GivenImages
from ..likeness.recognition import TrainingImages
from .container import check_distance, entries

__all__ = ["pack_updates", "unpack_updates"]

# They are normally distributed with a deviation of at most 1. Larger ones could overflow.
_LARGEST_COMPONENT = 100
# Sizes as in detectors.py; u dropped patches, q worst patches of each image, N images with copies.
_ARRAYS = {
    "_ratios": ("f8", "m"),
    "_worst_rows": ("i8", "nq"),
    "_worst_patches": ("f4", "nqd"),
}
_DROPPED = {"patches": ("f4", "ud"), "source": ("i8", "u3"), "ratios": ("f8", "u")}


def pack_updates(state):
    """JSON and arrays of a FittedState."""
    arrays = {
        "forgotten_images_": state.given.forgotten,
        "_identity": state.given.identity,
        "_ratios": state.ratios,
        "_worst_rows": state.training.worst_rows,
        "_worst_patches": state.training.worst_patches,
        "_typical": state.training.typical,
    }
    arrays.update((f"dropped.{name}", array) for name, array in state.dropped._asdict().items())
    packed = {"projects": state.components is not None, "jury": None, "copy_gap": state.copy_gap}
    if packed["projects"]:
        arrays["components"] = state.components
    # Only skpatch's own can be saved; those of other discriminators are lost with them.
    if isinstance(state.evidence, Jury):
        packed["jury"], evidence = state.evidence.pack()
        arrays.update((f"jury.{name}", array) for name, array in evidence.items())
    return packed, arrays


def unpack_updates(packed, arrays, grid, learned):
    """Fields of FittedState that :func:`pack_updates` took from another.

    Parameters
    ----------
    packed : dict
    arrays : StoredArrays
        Knows the sizes n, h, w, m and d.
    grid : PatchGrid
    learned : dict
        Arrays of the detector that are known already.
    """
    # Files of before have no copies.
    projects, jury, gap = entries(packed, "projects", "jury", copy_gap=0.0)
    ratios, worst_rows, worst_patches = (arrays.take(name, *kind) for name, kind in _ARRAYS.items())
    dropped = Candidates(
        *(arrays.take(f"dropped.{name}", *kind) for name, kind in _DROPPED.items())
    )
    sizes = arrays.sizes
    arrays.check_below("dropped.source", dropped.source, [sizes["n"], sizes["h"], sizes["w"]])
    arrays.check_below("_worst_rows", worst_rows, grid.n_patches)
    check_magnitude(worst_patches, "its _worst_patches")
    # Of the memory patches, and of those that may become memory patches again.
    candidates = np.concatenate([learned["memory_source_"], dropped.source])
    if np.isnan(learned["noise_scores_"][tuple(candidates.T)]).any():
        raise ValueError("its array 'noise_scores_' lacks those of memory patches")
    check_magnitude(dropped.patches, "its dropped.patches")
    components = arrays.take("components", "f4", "dp") if projects else None
    if projects and np.abs(components).max(initial=0) > _LARGEST_COMPONENT:
        raise ValueError("its array 'components' has numbers that no model has")
    sizes.setdefault("p", sizes["d"])
    sizes["g"] = grid.n_patches
    # Files of before know no typical scores.
    typical = np.full(sizes["n"], np.nan)
    if "_typical" in arrays:
        typical = arrays.take("_typical", "f8", "n", 0, may_be_nan=True)
    scores = learned["training_scores_"]
    return {
        "given": _take_given(arrays),
        "copy_gap": check_distance(gap, "copy_gap"),
        "ratios": ratios,
        "training": TrainingImages(scores, worst_rows, worst_patches, typical),
        "dropped": dropped,
        "components": components,
        "evidence": None if jury is None else _unpack_jury(arrays, *entries(jury, "reduced")),
    }


def _take_given(arrays):
    n_distinct = arrays.sizes["n"]
    identity = np.arange(n_distinct)
    if "_identity" in arrays:
        identity = arrays.take("_identity", "i8", "N")
        arrays.check_below("_identity", identity, n_distinct)
    arrays.sizes.setdefault("N", n_distinct)
    given = GivenImages(identity, arrays.take("forgotten_images_", "?", "N"))
    if len(given.numbers) < n_distinct:
        raise ValueError("its array '_identity' lacks images")
    return given


def _unpack_jury(arrays, reduced):
    def take(name, *kind):
        return arrays.take(f"jury.{name}", *kind)

    jury = Jury.unpack(reduced, take, arrays.sizes)
    arrays.check_below("jury.images", jury.images, arrays.sizes["n"])
    return jury
