# SPDX-License-Identifier: BSD-3-Clause
"""What a fitted detector keeps for partial_fit and forget, as JSON and arrays, and back."""

import numpy as np

from ..bank.candidates import Candidates
from ..discriminators.finding import EVIDENCE, NoiseFinding
from ..discriminators.jury import Jury
from ..distances.projection import project_rows
from ..distances.rows import check_magnitude
from ..likeness.given import GivenImages
from ..likeness.recognition import TrainingImages
from .container import check_distance, entries
from .searches import check_axes

__all__ = ["pack_updates", "unpack_updates"]

# They are normally distributed with a deviation of at most 1. Larger ones could overflow.
_LARGEST_COMPONENT = 100
# Most memory patches are about 1 in size where the jury's distances are bounded; of so much larger
# ones all would be in question. Some of them tell.
_LARGEST_SCALED, _SOME = 100, 256
# Sizes as in detectors.py; u dropped patches, q worst patches of each image, N images with copies.
_ARRAYS = {
    "_ratios": ("f8", "m"),
    "_worst_rows": ("i8", "nq"),
    "_worst_patches": ("f4", "nqd"),
}
_CANDIDATES = {"patches": ("f4", "ud"), "source": ("i8", "u3"), "ratios": ("f8", "u")}


def pack_updates(state):
    """JSON and arrays of a FittedState."""
    arrays = {
        "forgotten_images_": state.given.forgotten,
        "declared_normal_": state.given.declared,
        "_identity": state.given.identity,
        "accused": state.accused,
        "_ratios": state.ratios,
        "_worst_rows": state.training.worst_rows,
        "_worst_patches": state.training.worst_patches,
        "_typical": state.training.typical,
    }
    for kind, candidates in [("dropped", state.dropped), ("screened", state.screened)]:
        fields = {} if candidates is None else candidates._asdict()
        arrays.update((f"{kind}.{name}", array) for name, array in fields.items())
    packed = {
        "projects": state.components is not None,
        "jury": None,
        "copy_gap": state.copy_gap,
        "finding": _pack_finding(state.finding),
    }
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
    # Files of 0.1.0.dev0 may have no copies, no screened patches and no finding.
    projects, jury, gap, finding = entries(packed, "projects", "jury", copy_gap=0.0, finding=None)
    ratios, worst_rows, worst_patches = (arrays.take(name, *kind) for name, kind in _ARRAYS.items())
    accused, is_known = np.zeros_like(learned["kept_"]), "accused" in arrays
    if is_known:
        accused = arrays.take("accused", "?", "nhw")
    dropped = _take_candidates(arrays, "dropped", "u")
    screened = None
    if "screened.source" in arrays:
        screened = _take_candidates(arrays, "screened", "s")
    sizes = arrays.sizes
    arrays.check_below("_worst_rows", worst_rows, grid.n_patches)
    if sizes["q"] == 0:
        raise ValueError("its array '_worst_rows' is empty")
    check_magnitude(worst_patches, "its _worst_patches")
    # Of the memory patches, and of those that may become memory patches again.
    sources = [
        learned["memory_source_"],
        *(some.source for some in (dropped, screened) if some is not None),
    ]
    candidates = np.concatenate(sources)
    if np.isnan(learned["noise_scores_"][tuple(candidates.T)]).any():
        raise ValueError("its array 'noise_scores_' lacks those of memory patches")
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
    evidence = None
    if jury is not None:
        bank = learned["memory_bank_"]
        some = project_rows(bank[:: -(len(bank) // -_SOME)], components)
        evidence = _unpack_jury(arrays, some, *entries(jury, "reduced"))
    return {
        "given": _take_given(arrays),
        "copy_gap": check_distance(gap, "copy_gap"),
        "kept": learned["kept_"] | accused,
        "accused": accused,
        "finding": _unpack_finding(finding),
        "ratios": ratios,
        "training": TrainingImages(scores, worst_rows, worst_patches, typical),
        "dropped": dropped,
        "screened": screened,
        "components": components,
        # In files of 0.1.0.dev0 patches may be scored by another measure, so nothing can be judged.
        "evidence": evidence if is_known else None,
    }


def _pack_finding(finding):
    """JSON of a NoiseFinding or None; it has no NaN."""
    if finding is None:
        return None
    return {name: None if value != value else value for name, value in finding._asdict().items()}


def _unpack_finding(packed):
    if packed is None:
        return None
    evidence, reason, *numbers = entries(
        packed, "evidence", "reason", "noise_ratio", "low", "high", "support", "deviations"
    )
    numbers = [np.nan if number is None else float(number) for number in numbers]
    if evidence not in EVIDENCE or not isinstance(reason, str):
        raise ValueError("its finding is none that skpatch makes")
    return NoiseFinding(evidence, *numbers, reason)


def _take_candidates(arrays, kind, size):
    """Candidates, as many as a letter says."""
    fields = {
        name: arrays.take(f"{kind}.{name}", dtype, axes.replace("u", size))
        for name, (dtype, axes) in _CANDIDATES.items()
    }
    candidates, sizes = Candidates(**fields), arrays.sizes
    arrays.check_below(f"{kind}.source", candidates.source, [sizes["n"], sizes["h"], sizes["w"]])
    check_magnitude(candidates.patches, f"its {kind}.patches")
    return candidates


def _take_given(arrays):
    n_distinct = arrays.sizes["n"]
    identity = np.arange(n_distinct)
    if "_identity" in arrays:
        identity = arrays.take("_identity", "i8", "N")
        arrays.check_below("_identity", identity, n_distinct)
    arrays.sizes.setdefault("N", n_distinct)
    forgotten, declared = arrays.take("forgotten_images_", "?", "N"), np.zeros(len(identity), bool)
    if "declared_normal_" in arrays:
        declared = arrays.take("declared_normal_", "?", "N")
    given = GivenImages(identity, forgotten, np.zeros(len(identity), bool))
    if len(given.numbers) < n_distinct:
        raise ValueError("its array '_identity' lacks images")
    return given.declaring(np.flatnonzero(declared & ~forgotten))


def _unpack_jury(arrays, patches, reduced):
    def take(name, *kind):
        return arrays.take(f"jury.{name}", *kind)

    jury = Jury.unpack(reduced, take, arrays.sizes)
    arrays.check_below("jury.images", jury.images, arrays.sizes["n"])
    if (np.diff(jury.images) <= 0).any():
        raise ValueError("its array 'jury.images' does not ascend")
    if jury.axes is not None:
        check_axes(jury.axes)
    if jury.usual_size(patches) > _LARGEST_SCALED:
        raise ValueError("its arrays 'jury.shift' and 'jury.factor' are not those of its patches")
    return jury
