# SPDX-License-Identifier: BSD-3-Clause
"""Input checks of the metrics."""

import numpy as np

from ..runtime.tensors import without_tensors

__all__ = ["check_image_scores", "check_pixels"]


def check_image_scores(y_true, scores):
    """Return labels (n,), bool, and scores (n,), float64."""
    y_true, scores = np.asarray(without_tensors(y_true)), without_tensors(scores)
    if np.iscomplexobj(scores):
        raise ValueError("scores holds complex numbers; expected real ones.")
    scores = np.asarray(scores, dtype=np.float64)
    for name, values in (("y_true", y_true), ("scores", scores)):
        if values.ndim != 1:
            raise ValueError(f"{name} has shape {values.shape}; expected (n_images,).")
    if len(y_true) != len(scores):
        raise ValueError(f"y_true has {len(y_true)} labels, but scores has {len(scores)} values.")
    if len(y_true) == 0:
        raise ValueError("y_true and scores are empty; at least one image of each class is needed.")
    if y_true.dtype.kind not in "biuf" or not np.isin(y_true, (0, 1)).all():
        found = np.unique(y_true.astype(str))[:5]
        raise ValueError(
            f"y_true must hold 1 (defective) and 0 (normal), got {', '.join(found)}. For the "
            "output of predict, pass `y == -1`."
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"scores[{np.argmin(np.isfinite(scores))}] is NaN or infinite.")
    y_true = y_true.astype(bool)
    if y_true.all() or not y_true.any():
        kind = "defective" if y_true.all() else "normal"
        raise ValueError(f"y_true holds only {kind} images; at least one of each class is needed.")
    return y_true, scores


def check_pixels(masks, maps):
    """Return one (mask, map) of shape (height, width) each per image; the masks are bool."""
    for name, values in (("masks", masks), ("maps", maps)):
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise TypeError(
                f"{name} must be a list of arrays (height, width) or one array (n_images, "
                f"height, width), got {type(values).__name__}."
            )
    if len(masks) != len(maps):
        raise ValueError(f"There are {len(masks)} masks, but {len(maps)} maps.")
    if len(maps) == 0:
        raise ValueError("masks and maps are empty; at least one image is needed.")
    return [_check_image_pixels(*pair, i) for i, pair in enumerate(zip(masks, maps, strict=True))]


def _check_image_pixels(mask, map_, index):
    map_ = np.asarray(without_tensors(map_))
    if map_.ndim != 2 or map_.dtype.kind not in "biuf":
        raise ValueError(
            f"maps[{index}] has shape {map_.shape} and type {map_.dtype}; expected numbers of "
            "shape (height, width)."
        )
    if np.isinf(map_).any():
        raise ValueError(f"maps[{index}] has infinite values; use NaN for pixels not inspected.")
    if map_.dtype == np.float16:
        # Sorts twenty times faster.
        map_ = map_.astype(np.float32)
    return _check_mask(mask, map_.shape, index), map_


def _check_mask(mask, shape, index):
    if mask is None:
        return np.zeros(shape, bool)
    mask = np.asarray(without_tensors(mask))
    if mask.dtype.kind not in "biuf":
        raise TypeError(
            f"masks[{index}] is {mask.dtype}, not an array of numbers; read files with "
            "skpatch.datasets.read_mask."
        )
    if mask.shape != shape:
        raise ValueError(
            f"masks[{index}] has shape {mask.shape}, but maps[{index}] has shape {shape}."
        )
    if np.isnan(mask).any():
        raise ValueError(f"masks[{index}] has NaN values; mark pixels not inspected in the map.")
    return mask if mask.dtype == bool else mask != 0
