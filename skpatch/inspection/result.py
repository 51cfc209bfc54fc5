# SPDX-License-Identifier: BSD-3-Clause
"""What a model says of images: scores, places and pictures, all in units of its threshold."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline

from ..bank.bank import average_worst
from ..detector.calibration import conformal_pvalues
from ..features.lazy import score_in_parts
from ..features.view import visible_region
from ..images.collection import Images, check_images
from ..likeness.unlike import are_unlike
from ..runtime.parameters import check_is_fitted
from ..runtime.threads import execution
from .heat import overlay
from .maps import image_maps
from .page import write_report
from .regions import find_outline, find_regions
from .table import as_frame, make_table
from .words import ANOMALOUS, summary

if TYPE_CHECKING:
    import pandas
    from PIL import Image

__all__ = ["Inspection", "check_threshold"]

_REPORT = {
    "title": "Inspected images",
    "meaning": "Each image is compared with everything that the model has learned as normal.",
}


class Inspection:
    """Scores, p-values, regions and pictures of images that a fitted pipeline has scored.

    Scores are in units of the model's threshold, and high means anomalous: above 1 an image is
    anomalous. It is recommended to use :meth:`PatchPipeline.inspect` or :meth:`from_estimator`.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline of a :class:`PatchFeatureExtractor` and a :class:`SoftPatchDetector`.
    images : sequence of images
        As for :meth:`PatchFeatureExtractor.transform`.
    distances : ndarray of shape (n, h, w), float64
        Anomaly score of each patch, in feature units; NaN for those that are not inspected.
    scores : ndarray of shape (n,), float64
        Anomaly scores of the images, in the same unit; NaN where there is none.
    pvalues : ndarray of shape (n,), float64
        Their p-values.
    names : sequence of str, optional
        Names of the images: by default their paths, or "image 0" and so on.
    **report : object
        What :meth:`to_html` says beyond that: its title, for instance.

    Attributes
    ----------
    model : Pipeline
    images : sequence of images
        As given, decoded when they are needed.
    names : list of str
    scores : ndarray of shape (n,), float64
        Score of each image, 1 = threshold, high = anomalous; NaN where there is none.
    pvalues : ndarray of shape (n,), float64
        Conformal p-value of each image, low = anomalous.
    n_normal : int
        Number of training images that p-values compare with: the smallest is about 1 / `n_normal`.
    is_anomalous : ndarray of shape (n,), bool
        Whether the score is above 1.
    patch_scores : ndarray of shape (n, h, w), float64
        Score of each patch, 1 = threshold; NaN for those that are not inspected.
    is_unlike : ndarray of shape (n,), bool
        Whether three quarters of the image are farther from everything that the model has learned
        than training images are: another product or camera, for instance.
    ranking : ndarray of shape (n,), int64
        Indices of the images, the most suspicious first.
    threshold : float
        The distance, in feature units, that is 1 here. It stays what it was if the
        `contamination` of the model changes.

    Raises
    ------
    ValueError
        If lengths differ, the patches are not on the model's grid, or the threshold is not a
        positive distance.

    See Also
    --------
    skpatch.audit.NoiseAudit : The same of the training images, each scored without itself.

    Examples
    --------
    >>> from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
    >>> from skpatch.datasets import make_contaminated_images
    >>> data = make_contaminated_images(n_normal=38, n_defective=6, image_size=64, random_state=0)
    >>> model = make_pipeline(
    ...     PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0)
    ... )
    >>> inspection = model.fit(data.images[:40]).inspect(data.images[40:])
    >>> inspection
    Inspection: 1 of 4 images are anomalous (score above 1). The threshold is ....
    >>> inspection.scores.round(1)
    array([0.5, 0.6, 3.6, 0.5])
    >>> inspection.is_anomalous
    array([False, False,  True, False])
    >>> data.labels[40:]
    array([0, 0, 1, 0])
    """

    def __init__(
        self,
        model: Pipeline,
        images: Images,
        distances: NDArray[np.float64],
        scores: NDArray[np.float64],
        pvalues: NDArray[np.float64],
        names: Sequence[str] | None = None,
        **report: Any,
    ) -> None:
        detector = model.steps[-1][1]
        self.model = model
        self.images = check_images(images).read_by(model.steps[0][1])
        if len(self.images) != len(distances):
            raise ValueError(f"There are {len(images)} images, but scores of {len(distances)}.")
        if names is not None:
            self.names = _check_names(names, self.images)
        self.threshold = check_threshold(detector)
        self.scores = scores / self.threshold
        self.pvalues = pvalues
        self.n_normal = len(detector.calibration_scores_)
        self.is_anomalous = self.scores > 1
        self.is_unlike = are_unlike(distances, detector.inspected_, detector.unlike_limit_)
        # Not of the quotients, two of which may be the same number.
        self.ranking = np.argsort(-scores, kind="stable")
        self._distances = distances
        self._report = {**_REPORT, **report}

    def __repr__(self) -> str:
        """How many images are anomalous, and what the scores are measured in."""
        counted = summary(len(self.scores), np.count_nonzero(self.is_anomalous), ANOMALOUS)
        return f"Inspection: {counted} The threshold is {self.threshold:.4g}."

    @classmethod
    def from_estimator(
        cls, model: Pipeline, images: Images, names: Sequence[str] | None = None
    ) -> "Inspection":
        """Score new images.

        Parameters
        ----------
        model, images, names
            As for the class.

        Returns
        -------
        Inspection
        """
        check_is_fitted(model.steps[-1][1])
        names = _check_names(names, images)
        patch_scores = score_in_parts(model, "predict_map", images)
        return cls.from_patch_scores(model, images, patch_scores, names)

    @classmethod
    def from_patch_scores(
        cls,
        model: Pipeline,
        images: Images,
        patch_scores: ArrayLike,
        names: Sequence[str] | None = None,
    ) -> "Inspection":
        """Take new images whose patches are scored already.

        Parameters
        ----------
        model, images, names
            As for the class.
        patch_scores : array-like of shape (n, h, w)
            What :meth:`SoftPatchDetector.predict_map` gave for the images, in feature units.

        Returns
        -------
        Inspection
        """
        detector = model.steps[-1][1]
        check_is_fitted(detector)
        patch_scores = np.asarray(patch_scores)
        if patch_scores.shape[1:] != tuple(detector.grid_shape_):
            raise ValueError(
                f"patch_scores has shape {patch_scores.shape}, but the model has a grid of "
                f"{detector.grid_shape_} patches for each image."
            )
        scores = average_worst(patch_scores, detector.n_worst_patches_, detector.peak_share_)
        pvalues = conformal_pvalues(detector.calibration_scores_, -scores)
        return cls(model, images, patch_scores, scores, pvalues, names)

    # Both only when they are asked for: a data set may have to decode an image to name it.
    @cached_property
    def names(self) -> list[str]:
        """Names of the images."""
        return [self.images.name(index) for index in range(len(self.images))]

    @cached_property
    def patch_scores(self) -> NDArray[np.float64]:
        """Score of each patch, 1 = threshold."""
        return self._distances / self.threshold

    def maps(
        self, indices: ArrayLike | None = None, sigma: float = 4.0
    ) -> list[NDArray[np.float32]]:
        """Anomaly maps of images, at their own sizes.

        Parameters
        ----------
        indices : int or array-like of shape (k,), int, optional
            The images, for instance ``inspection.ranking[:10]``; all by default.
        sigma : float, default=4.0
            Standard deviation of the smoothing in pixels of the network's input.

        Returns
        -------
        list of ndarray of shape (H, W), float32
            1 = threshold; NaN where nothing is inspected. Smoothing lowers the worst places.
        """
        chosen = np.arange(len(self.images)) if indices is None else indices
        chosen = np.atleast_1d(np.asarray(chosen, int))
        images = [self.images[index] for index in chosen]
        maps = image_maps(self.model.steps[0][1], self._distances[chosen], images, sigma)
        return [found / self.threshold for found in maps]

    def regions(self, index: int) -> list[dict[str, Any]]:
        """Groups of adjacent patches above the threshold, diagonal neighbours included.

        An anomalous image has at least one, and a normal one may have some: the score of an image
        is the mean of several patches.

        Parameters
        ----------
        index : int

        Returns
        -------
        list of dict
            "box" [left, top, right, bottom] and "area" in pixels of the image, and "score" of its
            worst patch, 1 = threshold; the worst region first.
        """
        region = visible_region(self.images.size(index), self.model.steps[0][1])
        return find_regions(self._patches(index), region)

    def outline(self, index: int) -> NDArray[np.float64]:
        """Lines around the regions of an image, to draw them over it.

        Parameters
        ----------
        index : int

        Returns
        -------
        ndarray of shape (k, 4)
            Horizontal and vertical lines from x, y to x, y in pixels, counted from the upper left
            corner of the image; they follow the edges of the patches.
        """
        region = visible_region(self.images.size(index), self.model.steps[0][1])
        return find_outline(self._patches(index), region)

    def overlay(self, index: int) -> "Image.Image":
        """Photograph under its heat map, with outlined regions, as in a report.

        Parameters
        ----------
        index : int

        Returns
        -------
        PIL.Image.Image
            Of the size of the image, RGB.
        """
        pixels = self.images.load(index)
        region = visible_region(pixels.shape[:2], self.model.steps[0][1])
        return overlay(pixels, self._patches(index), region)

    def matches(self, index: int) -> NDArray[np.int64]:
        """Where in the training images the patches most like those of an image are.

        The features of the image are extracted for it. An image whose defect was not found can be
        compared with the patches that it was scored by.

        Parameters
        ----------
        index : int

        Returns
        -------
        ndarray of shape (h, w, 3), int64
            Training image, row and column of the memory patch that each patch is nearest to; -1
            for patches that are not inspected.
        """
        features = self.model[:-1].transform([self.images[index]])
        return self.model.steps[-1][1].match(features)[0]

    def to_dict(self) -> dict[str, Any]:
        """Columns of a table with an entry for each image, in their order.

        Returns
        -------
        dict of str to list or ndarray of length n
            - image : name;
            - score : in units of the threshold, high = anomalous;
            - p_value : as the attribute;
            - label : "anomalous" or "normal"; of training images "suspicious" or "not suspicious",
              and "no score" for forgotten ones;
            - rank : place in the ranking, 1 for the most suspicious image;
            - n_regions, regions : number of regions, and what :meth:`regions` says of them;
            - noise_patches : patches of a training image that were kept out of the memory bank,
              None for other images;
            - decision : "defect" for forgotten training images, "normal" for those that were
              declared so, else "".

            Only if an image has something to say there: unlike, "yes" or "no" as `is_unlike`;
            group, numbers from 1 on of suspicious training images that look alike; copy_of, the
            name of the training image that one is a copy of.
        """
        return make_table(self, self._report.get("audit"))

    def to_frame(self) -> "pandas.DataFrame":
        """Table with a row for each image, in their order.

        Returns
        -------
        pandas.DataFrame
            The columns of :meth:`to_dict`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return as_frame(self.to_dict, "Inspection.to_frame")

    def to_html(
        self,
        path: str | os.PathLike,
        names: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        image_size: int | None = None,
    ) -> None:
        """Write an HTML report: the ranking with scores, p-values and heat maps.

        One file that opens in any browser without a connection. Small copies of the images are
        in it.

        Parameters
        ----------
        path : path
            The .html file to write. It is replaced only once the report is complete.
        names : sequence of str, optional
            Names to show. By default `names`, as paths from the folder that holds all images.
        notes : sequence of str, default=()
            What else to say above the images, such as warnings that were given.
        image_size : int, optional
            Longest side in pixels of the copies in the report. By default 320, and of more than
            1,000 images 160.

        Raises
        ------
        ValueError, OSError
            If the file cannot be written, an image cannot be read, or there are too few or too
            many names.
        """
        names = _check_names(names, self.images)
        with execution(None, self.model.steps[-1][1].verbose):
            write_report(path, self, names, notes, image_size, **self._report)

    def _patches(self, index):
        """Scores (h, w) of the patches of one image."""
        return self._distances[index] / self.threshold


def check_threshold(detector):
    """Distance that is the unit of scores; raise unless it is positive."""
    threshold = -detector.offset_
    if not threshold > 0:
        raise ValueError(
            f"The threshold of the model is {abs(threshold):g}, so no score can be given in units "
            "of it. It is learned from the training images: are they all the same, or too few?"
        )
    return threshold


def _check_names(names, images):
    """Names as a list of texts, one for each image; None stays."""
    if names is None:
        return None
    if len(names) != len(images):
        raise ValueError(f"names has {len(names)} names, but there are {len(images)} images.")
    return [str(name) for name in names]
