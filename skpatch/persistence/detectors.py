# SPDX-License-Identifier: BSD-3-Clause
"""Fitted detectors as JSON and arrays, and back."""

import numpy as np

from ..bank.bank import MemoryBank
from ..bank.usual import counted_patches
from ..detector.estimator import SoftPatchDetector, fitted_state, restore
from ..detector.state import FittedState, Settings
from ..distances.rows import check_magnitude
from ..features.patches import PatchGrid
from .container import check_distance, entries
from .parameters import pack_parameters, pack_value, unpack_parameters, unpack_value
from .searches import pack_search, unpack_search
from .updates import pack_updates, unpack_updates

__all__ = ["pack_detector", "unpack_detector"]

# m memory patches of d features, n training images of h x w patches, c of them for calibration.
# After the shape: the least number, whether some may be NaN, and the largest. Maps are float32, and
# hold the products of weights and distances.
_ARRAYS = {
    "memory_bank_": ("f4", "md"),
    "memory_weights_": ("f8", "m", 0, False, 1e20),
    "memory_reaches_": ("f8", "m", 0),
    "memory_source_": ("i8", "m3"),
    "noise_scores_": ("f8", "nhw", None, True),
    "kept_": ("?", "nhw"),
    "inspected_": ("?", "hw"),
    "trusted_images_": ("?", "n"),
    "training_scores_": ("f8", "n", None, True),
    "calibration_scores_": ("f8", "c"),
}


def pack_detector(detector):
    """JSON and arrays of a fitted detector."""
    fitted = fitted_state(detector)
    _check_unchanged(detector, fitted)
    learned = fitted.learned()
    arrays = {name: np.asarray(learned[name], dtype) for name, (dtype, *_) in _ARRAYS.items()}
    search = pack_value(detector.neighbors_, "neighbors_")
    searching, search_arrays = pack_search(detector.neighbors_)
    updates, update_arrays = pack_updates(fitted)
    names = getattr(detector, "feature_names_in_", None)
    packed = {
        "params": pack_parameters(detector),
        "coreset_radius_": float(detector.coreset_radius_),
        "peak_share_": fitted.bank.rule.peak_share,
        "knows_usual": fitted.bank.usual is not None,
        "feature_names_in_": None if names is None else list(names),
        "neighbors_": search,
        "search": searching,
        "updates": updates,
    }
    return packed, {**arrays, **search_arrays, **update_arrays}


def _check_unchanged(detector, fitted):
    """Raise if a loaded detector, which knows its parameters only, would score otherwise."""
    settings = Settings.of(detector)
    rule = settings.scoring_rule(fitted.grid.n_patches)
    recognizes = settings.noise_model().recognizes_training_images
    rule = rule._replace(peak_share=fitted.bank.rule.peak_share)
    if (rule, recognizes) != (fitted.bank.rule, fitted.recognizes):
        raise ValueError(
            "discriminator, n_neighbors, metric or worst_patches was changed after the fit, and "
            "does not describe it any more; set it back, or fit again before saving."
        )


def unpack_detector(packed, arrays):
    """Detector that :func:`pack_detector` took JSON and arrays, a StoredArrays, from."""
    # In files of 0.1.0.dev0 images score the mean of their worst patches and nothing else.
    params, radius, names, search, searching, updates, peak_share, knows_usual = entries(
        packed,
        *("params", "coreset_radius_", "feature_names_in_", "neighbors_", "search", "updates"),
        peak_share_=0.0,
        knows_usual=False,
    )
    detector = unpack_parameters(SoftPatchDetector, params)
    settings = Settings.of(detector)
    learned = _take_learned(arrays)
    n_features = arrays.sizes["d"]
    names = _check_names(names, n_features)
    grid = PatchGrid(learned["inspected_"].shape, learned["inspected_"])
    known = unpack_updates(updates, arrays, grid, learned)
    search = unpack_value(search)
    # Last, since it may build a graph, which takes a minute.
    unpack_search(search, searching, arrays, learned["memory_bank_"], learned["memory_reaches_"])
    state = FittedState(
        grid=grid,
        bank=MemoryBank(
            patches=learned["memory_bank_"],
            source=learned["memory_source_"],
            weights=learned["memory_weights_"],
            reaches=learned["memory_reaches_"],
            search=search,
            rule=settings.scoring_rule(grid.n_patches)._replace(
                peak_share=_check_share(peak_share)
            ),
            usual=_usual(knows_usual, known, learned["trusted_images_"], grid),
        ),
        coreset_radius=check_distance(radius, "coreset_radius_"),
        discriminator=None,
        recognizes=settings.noise_model().recognizes_training_images,
        noise_scores=learned["noise_scores_"],
        trusted=learned["trusted_images_"],
        calibration_scores=learned["calibration_scores_"],
        **known,
    )
    restore(detector, state, n_features, names)
    return detector


def _take_learned(arrays):
    """Arrays of a detector by name, as far as they make sense on their own."""
    learned = {name: arrays.take(name, *kind) for name, kind in _ARRAYS.items()}
    sizes = arrays.sizes
    shape = sizes["n"], sizes["h"], sizes["w"]
    if 0 in (*shape, sizes["m"], sizes["d"]) or not learned["inspected_"].any():
        raise ValueError("it has no memory patches")
    check_magnitude(learned["memory_bank_"], "its memory_bank_")
    if (np.diff(learned["calibration_scores_"]) < 0).any():
        raise ValueError("its scores do not ascend")
    arrays.check_below("memory_source_", learned["memory_source_"], shape)
    return learned


def _usual(is_known, known, trusted, grid):
    """What is usual at each place, if it is known, by the fields of FittedState for updates."""
    if not isinstance(is_known, bool):
        raise ValueError("its knows_usual is neither true nor false")
    if not is_known:
        return None
    if known["evidence"] is None:
        raise ValueError("it lacks the images that say what is usual at each place")
    is_normal = counted_patches(known["kept"], known["accused"], trusted, grid.inspected)
    return known["evidence"].usual(is_normal, grid.inspected).after(known["components"])


def _check_share(value):
    """Share of the worst patch's score that images score at least."""
    if not 0 <= float(value) <= 1:
        raise ValueError("its peak_share_ is not between 0 and 1")
    return float(value)


def _check_names(names, n_features):
    """Names of features as an array; None if there are none."""
    if names is None:
        return None
    if len(names) != n_features or not all(isinstance(name, str) for name in names):
        raise ValueError("its names of features are not one for each")
    return np.array(names, dtype=object)
