# SPDX-License-Identifier: BSD-3-Clause
"""Reports to look at in a browser: ranked images with their heat maps in one file."""

import os
from collections.abc import Sequence

from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from .images.collection import Images
from .inspection.result import Inspection
from .runtime.files import check_output

__all__ = ["score_report"]


def score_report(
    path: str | os.PathLike,
    model: Pipeline,
    images: Images,
    *,
    patch_scores: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    image_size: int | None = None,
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
    image_size : int, optional
        Longest side in pixels of the copies in the report. By default 320, and of more than
        1,000 images 160.

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
    check_output(path, ".html", "path")
    if patch_scores is None:
        inspection = Inspection.from_estimator(model, images, names)
    else:
        inspection = Inspection.from_patch_scores(model, images, patch_scores, names)
    inspection.to_html(path, names, image_size=image_size)
