# SPDX-License-Identifier: BSD-3-Clause
"""Which training images and patches are noise, and why."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ..detector.calibration import training_pvalues
from ..detector.estimator import fitted_state
from ..features.lazy import LazyFeatures, lazy_features, map_parts
from ..images.collection import Images
from ..runtime.parameters import check_is_fitted
from ..runtime.telling import told_once
from ..runtime.threads import execution
from .glance import as_html, as_text
from .groups import group_images
from .maps import image_maps
from .result import Inspection
from .table import as_frame

if TYPE_CHECKING:
    import pandas

__all__ = ["NoiseAudit"]

_MEANING = "Each image is compared with what all other images have shown to be normal."


class NoiseAudit:
    """Evidence of noise among the training images of a fitted pipeline.

    Every training image is scored without itself: by the memory patches of the other images. So a
    defect that ended up in the memory bank does not hide. Made by :meth:`from_estimator`.

    Attributes
    ----------
    ranking : ndarray of shape (n,), int64
        Indices of the training images, the most suspicious first.
    scores : ndarray of shape (n,), float64
        Score of each training image without itself, high = normal; NaN where no memory patch of
        another image is left, and for forgotten images.
    pvalues : ndarray of shape (n,), float64
        Conformal p-value of each image among those that pass for normal, low = suspicious; NaN
        where there is no score.
    is_suspicious : ndarray of shape (n,), bool
        Whether the model would call the image an outlier; never of one that was declared normal.
    groups : ndarray of shape (n,), int64
        Groups of suspicious images that resemble each other more than any other images, numbered
        from that of the most suspicious image on; -1 for none. Whether a group is a normal variant
        or the same defect only the user can tell: see :meth:`skpatch.PatchPipeline.trust`.
    patch_scores : ndarray of shape (n, h, w), float64
        Anomaly score of each patch without its own image, high = anomalous; NaN for patches that
        are not inspected.
    removed : ndarray of shape (n, h, w), bool
        Patches that were kept out of the memory bank as noise.
    n_removed : ndarray of shape (n,), int64
        Number of these patches in each image.
    trusted : ndarray of shape (n,), bool
        Images whose patches could support others; see ``trusted_images_`` of the detector.
    declared_normal : ndarray of shape (n,), bool
        Images that the user declared normal, and their copies.
    decisions : list of str
        What was decided on each image: "defect" for forgotten ones, "normal" for those declared
        normal, else "".
    copy_of : ndarray of shape (n,), int64
        Number of the image that each is a copy of, -1 for none. Copies count once, and have one
        score.
    finding : NoiseFinding or None
        What can be told of the noise, with the reason in words.
    inspection : Inspection
        Scores and maps in units of the threshold, regions and pictures of the training images,
        each scored without itself.

    Examples
    --------
    >>> from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
    >>> from skpatch.audit import NoiseAudit
    >>> from skpatch.datasets import make_contaminated_images
    >>> data = make_contaminated_images(n_normal=27, n_defective=3, image_size=64, random_state=0)
    >>> model = make_pipeline(
    ...     PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0)
    ... )
    >>> audit = NoiseAudit.from_estimator(model.fit(data.images), data.images)
    >>> data.labels[audit.ranking[:3]]
    array([1, 1, 1])
    """

    def __init__(
        self, model: Pipeline, images: Images, features: NDArray[np.float32] | LazyFeatures
    ) -> None:
        detector = model.steps[-1][1]
        with execution(None, detector.verbose), told_once():
            self.patch_scores = map_parts(
                detector.predict_training_map, features, "leave one image out"
            )
        self.scores = detector.training_scores_
        self.pvalues = training_pvalues(detector.calibration_scores_, self.scores)
        is_left = ~detector.forgotten_images_[:, np.newaxis, np.newaxis]
        self.removed = ~detector.kept_ & detector.inspected_ & is_left
        self.n_removed = self.removed.sum(axis=(1, 2))
        self.trusted = detector.trusted_images_
        self.finding = detector.noise_finding_
        self.declared_normal = detector.declared_normal_
        self.decisions = np.select(
            [detector.forgotten_images_, detector.declared_normal_], ["defect", "normal"], ""
        ).tolist()
        self.copy_of = detector.copy_of_
        self.inspection = Inspection(
            model,
            images,
            self.patch_scores,
            -self.scores,
            self.pvalues,
            title="Audit of the training images",
            meaning=_MEANING,
            audit=self,
        )
        self.ranking = self.inspection.ranking
        self.is_suspicious = self.inspection.is_anomalous & ~self.declared_normal
        suspicious = self.ranking[self.is_suspicious[self.ranking]]
        self.groups = group_images(fitted_state(detector), suspicious, detector.device)

    def __repr__(self) -> str:
        """How many images are suspicious, and the worst of them."""
        return as_text(self)

    def _repr_html_(self) -> str:
        """The same as a table of a notebook."""
        return as_html(self)

    @classmethod
    def from_estimator(cls, model: Pipeline, images: Images) -> "NoiseAudit":
        """Audit the training images of a pipeline.

        Parameters
        ----------
        model : Pipeline
            A fitted pipeline of a :class:`~skpatch.PatchFeatureExtractor` and a
            :class:`~skpatch.SoftPatchDetector`.
        images : sequence of images
            The training images, in their order, forgotten ones included; their features are
            extracted once more.

        Returns
        -------
        NoiseAudit

        Raises
        ------
        ValueError
            If these are not the images that the model was fitted on, or the threshold of the
            model is not a positive distance.
        """
        detector = model.steps[-1][1]
        check_is_fitted(detector)
        n_images = len(detector.kept_)
        if len(images) != n_images:
            raise ValueError(
                f"images has {len(images)} images, but the model was fitted on {n_images}; an "
                "audit needs the training images, all of them and in their order."
            )
        return cls(model, images, lazy_features(model, images))

    def maps(
        self, indices: Sequence[int] | NDArray[np.integer], sigma: float = 4.0
    ) -> list[NDArray[np.float32]]:
        """Noise maps of training images, at their own sizes.

        Parameters
        ----------
        indices : sequence of int
            The images, for instance ``audit.ranking[:10]``.
        sigma : float, default=4.0
            Standard deviation of the smoothing in pixels of the network's input.

        Returns
        -------
        list of ndarray of shape (H, W), float32
            High = anomalous, in the unit of :meth:`skpatch.PatchPipeline.predict_map`.
        """
        extractor = self.inspection.model.steps[0][1]
        images = [self.inspection.images[index] for index in indices]
        return image_maps(extractor, self.patch_scores[list(indices)], images, sigma)

    def to_dict(self) -> dict[str, Any]:
        """Columns of a table with an entry for each training image, in their order.

        Returns
        -------
        dict of str to list or ndarray of length n
            Those of :meth:`skpatch.Inspection.to_dict`: scores are in units of the threshold there,
            high = anomalous.
        """
        return self.inspection.to_dict()

    def to_frame(self) -> "pandas.DataFrame":
        """Table with a row for each training image, numbered like them.

        Returns
        -------
        pandas.DataFrame
            The columns of :meth:`to_dict`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return as_frame(self.to_dict, "NoiseAudit.to_frame")

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
            Names of the training images, in their order. By default their paths from the folder
            that holds all of them.
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
        self.inspection.to_html(path, names, notes, image_size)
