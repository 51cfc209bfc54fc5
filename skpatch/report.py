# SPDX-License-Identifier: BSD-3-Clause
"""Reports to look at in a browser: ranked images with their heat maps in one file."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from .bank.memory import average_worst
from .detector.calibration import conformal_pvalues
from .features.lazy import score_in_parts
from .images.collection import Images
from .inspection.page import check_report, write_report
from .runtime.parameters import check_is_fitted
from .runtime.threads import execution

__all__ = ["score_report"]

_MEANING = (
    "The score of an image is that of its most unusual place: how much it differs from everything "
    "that the model has learned as normal."
)


def score_report(
    path: str | os.PathLike,
    model: Pipeline,
    images: Images,
    *,
    patch_scores: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Write an HTML report of new images: ranking, scores, p-values and heat maps.

    One file that opens in any browser without a connection. For the training images
    :meth:`NoiseAudit.to_html <skpatch.audit.NoiseAudit.to_html>` is right, since it scores each of
    them without itself.

    Parameters
    ----------
    path : path
        The .html file to write. It is replaced only once the report is complete.
    model : Pipeline
        A fitted pipeline of a :class:`~skpatch.PatchFeatureExtractor` and a
        :class:`~skpatch.SoftPatchDetector`.
    images : sequence of images
        As for :meth:`skpatch.PatchFeatureExtractor.transform`. Small copies of them go into the
        report.
    patch_scores : array-like of shape (n, h, w), optional
        What :meth:`skpatch.SoftPatchDetector.predict_map` gave for these images, if it is known;
        it is computed otherwise.
    names : sequence of str, optional
        Names to show. By default paths from the folder that holds all of the images.

    Raises
    ------
    ValueError, OSError
        If the file cannot be written, an image cannot be read, lengths differ or the threshold of
        the model is not a positive distance.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
    >>> from skpatch.datasets import make_contaminated_images
    >>> from skpatch.report import score_report
    >>> data = make_contaminated_images(n_normal=18, n_defective=2, image_size=64, random_state=0)
    >>> model = make_pipeline(
    ...     PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0)
    ... )
    >>> model = model.fit(data.images)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = Path(folder) / "report.html"
    ...     score_report(report, model, data.images[:5])
    ...     print(report.read_text(encoding="utf-8")[:15])
    <!doctype html>
    """
    detector = model.steps[-1][1]
    check_is_fitted(detector)
    names = check_report(path, images, names)
    if patch_scores is None:
        patch_scores = score_in_parts(model, "predict_map", images)
    patch_scores = np.asarray(patch_scores)
    if patch_scores.shape[1:] != tuple(detector.grid_shape_):
        raise ValueError(
            f"patch_scores has shape {patch_scores.shape}, but the model has a grid of "
            f"{detector.grid_shape_} patches for each image."
        )
    scores = -average_worst(patch_scores, detector.n_worst_patches_)
    with execution(None, detector.verbose):
        write_report(
            path,
            model,
            images,
            patch_scores=patch_scores,
            scores=scores,
            pvalues=conformal_pvalues(detector.calibration_scores_, scores),
            offset=detector.offset_,
            names=names,
            title="Inspected images",
            meaning=_MEANING,
        )
