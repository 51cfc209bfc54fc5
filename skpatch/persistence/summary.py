# SPDX-License-Identifier: BSD-3-Clause
"""What a saved model is and was made from, read from its file without building it."""

import os
from typing import Any, NamedTuple

import numpy as np

from ..detector.calibration import score_threshold
from ..likeness.given import GivenImages
from .container import check_scales, read_container

__all__ = ["ModelSummary", "summarize"]


class ModelSummary(NamedTuple):
    """Facts about a saved model; of a detector alone those of the network and the names are None.

    Attributes
    ----------
    n_bytes : int
    versions : dict of str to str
    network : dict or None
        Parameters of the extractor, with `image_size_`, `n_scales_`, `intensity_range_`, and
        whether the network `is_in_file`.
    params : dict
        Parameters of the detector.
    grid : tuple (h, w)
    n_patches : int
        Patches in the memory bank.
    folder : str or None
        Of the training images, as it was called then.
    names : list of str or None
    left_out : list of str
        Images that the command line left out as defects.
    forgotten, declared : ndarray of shape (n,), bool
        Training images that were forgotten, and declared normal.
    n_copies : int
        Of those that are left.
    suspicious : ndarray of shape (n_suspicious,), int64
        Numbers of the suspicious ones among them, the most suspicious first.
    noise_share : float
        Share of the patches that are taken for noise.
    finding : dict or None
        What can be told of the noise: `evidence`, `noise_ratio` and the `reason` in words.
    threshold : float
        A distance between features.
    """

    n_bytes: int
    versions: dict[str, str]
    network: dict[str, Any] | None
    params: dict[str, Any]
    grid: tuple[int, int]
    n_patches: int
    folder: str | None
    names: list[str] | None
    left_out: list[str]
    forgotten: np.ndarray
    declared: np.ndarray
    n_copies: int
    suspicious: np.ndarray
    noise_share: float
    finding: dict[str, Any] | None
    threshold: float


def summarize(path):
    """Read a ModelSummary from a file of :func:`skpatch.save`.

    Nothing in it runs, but texts and numbers of a file that somebody has changed may be any, or
    lacking, which is an error of any kind here.
    """
    content, arrays = read_container(path)
    packed = content["model"]
    is_pipeline = content["class"] == "PatchPipeline"
    detector = packed["detector"] if is_pipeline else packed
    inspected = arrays.take("inspected_", "?", "hw")
    kept = arrays.take("kept_", "?", "nhw")
    identity = np.arange(len(kept))
    if "_identity" in arrays:
        identity = arrays.take("_identity", "i8", "N")
        arrays.check_below("_identity", identity, len(kept))
    forgotten = arrays.take("forgotten_images_", "?", "N")
    declared = np.zeros(len(identity), bool)
    if "declared_normal_" in arrays:
        declared = arrays.take("declared_normal_", "?", "N")
    given = GivenImages(identity, forgotten, declared)
    calibration = arrays.take("calibration_scores_", "f8", "c")
    params = detector["params"]
    offset = score_threshold(calibration, params["contamination"])
    scores = arrays.take("training_scores_", "f8", "n", None, True)[identity]
    suspicious = np.flatnonzero((scores < offset) & ~declared & ~forgotten)
    network = None
    if is_pipeline:
        extractor = packed["extractor"]
        fitted = {name: extractor[name] for name in ("image_size_", "intensity_range_")}
        fitted["n_scales_"] = extractor.get("n_scales_", 1)
        check_scales(fitted["n_scales_"], fitted["image_size_"])
        network = {**extractor["params"], **fitted, "is_in_file": "network" in extractor}
    return ModelSummary(
        n_bytes=os.path.getsize(path),
        versions=content["versions"],
        network=network,
        params=params,
        grid=inspected.shape,
        n_patches=len(arrays.take("memory_source_", "i8", "m3")),
        folder=packed.get("image_folder"),
        names=packed.get("image_names"),
        left_out=packed.get("left_out_names", []),
        forgotten=forgotten,
        declared=declared,
        n_copies=int((given.copy_of[~forgotten] >= 0).sum()),
        suspicious=suspicious[np.argsort(scores[suspicious], kind="stable")],
        noise_share=1 - float(kept[~given.is_gone][:, inspected].mean()),
        finding=detector["updates"]["finding"],
        threshold=-float(offset),
    )
