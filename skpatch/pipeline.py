# SPDX-License-Identifier: BSD-3-Clause
"""A scikit-learn pipeline that also gives anomaly maps at each image's own size."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from joblib import Memory
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.pipeline import make_pipeline as sklearn_make_pipeline
from sklearn.utils import get_tags

from .features.lazy import LazyFeatures, iterate_patch_maps, score_in_parts
from .images.collection import Images, check_images
from .images.names import find_by_name, training_folder, training_names
from .images.stamps import stamp_images
from .inspection.audit import NoiseAudit
from .inspection.maps import image_maps
from .inspection.result import Inspection
from .metrics.labelled import Calibration
from .runtime.parameters import check_is_fitted
from .runtime.sharing import warn_of_others
from .runtime.telling import told_once

__all__ = ["PatchPipeline", "make_pipeline"]


class PatchPipeline(Pipeline):
    """Pipeline from images to anomaly scores and maps.

    A :class:`sklearn.pipeline.Pipeline` whose first step is a :class:`PatchFeatureExtractor` and
    whose last is a :class:`SoftPatchDetector`, with :meth:`predict_map`, :meth:`iter_maps`,
    :meth:`predict_pvalue`, :meth:`threshold_for`, :meth:`calibrate`, :meth:`inspect`,
    :meth:`audit`, :meth:`partial_fit`, :meth:`forget`, :meth:`trust` and :meth:`to_onnx` added.

    Scoring holds the features of few images at a time. So does `fit`, where they would exceed the
    detector's `memory_limit`: it extracts them twice then, unless the extractor has an `output`.

    A pipeline of scikit-learn's own `make_pipeline` scores alike, but has no `predict_map`, nor
    what else is added. ``PatchPipeline(pipeline.steps)`` of a fitted one has, without another fit.

    Attributes
    ----------
    image_names_ : list of str
        Names of the training images: their paths, of absolute ones from the folder that holds all
        those of a fit or an update; "image 0" and so on of others.
    image_folder_ : str or None
        That folder, at the time of the fit; None if their paths were not all absolute.
    left_out_names_ : list of str
        Names of images that the command line left out of the fit as defects.

    See Also
    --------
    skpatch.make_pipeline : Names the steps by themselves.
    """

    image_names_: list[str]
    image_folder_: str | None
    left_out_names_: list[str]

    def fit(
        self, X: Images, y: None = None, *, trusted: ArrayLike | None = None, **params: Any
    ) -> "PatchPipeline":
        """Learn from images.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`PatchFeatureExtractor.fit`.
        y : None
            Ignored.
        trusted : array-like of shape (k,), int or str, optional
            Images that are known to be normal, as for :meth:`trust`.
        **params
            As for :class:`sklearn.pipeline.Pipeline`.

        Returns
        -------
        self
        """
        names = training_names(X)
        with told_once(names):
            self._learn(self._stamped(X), y, **self._with_trusted(names, trusted, params))
        self._remember(X, names)
        return self

    def fit_predict(
        self, X: Images, y: None = None, *, trusted: ArrayLike | None = None, **params: Any
    ) -> NDArray[np.int64]:
        """Learn from images, and predict them; see :meth:`fit` and :meth:`predict`.

        Parameters
        ----------
        X, y, trusted, **params
            As for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n,), int64
            +1 for normal images, -1 for outliers.
        """
        names = training_names(X)
        params = self._with_trusted(names, trusted, params)
        with told_once(names):
            predicted = super().fit_predict(self._stamped(X), y, **params)
        self._remember(X, names)
        return predicted

    def _remember(self, X, names):
        """Keep what the images of a fit are called."""
        self.image_names_, self.image_folder_ = names, training_folder(X)
        self.left_out_names_ = []

    def _with_trusted(self, names, trusted, params):
        """Parameters of a fit, with the numbers of trusted images for the detector."""
        if trusted is None:
            return params
        is_routed = get_config()["enable_metadata_routing"]
        parameter = "trusted" if is_routed else f"{self.steps[-1][0]}__trusted"
        return {**params, parameter: find_by_name(trusted, names)}

    def _stamped(self, X):
        """Images for a fit, of which a cache notices that files have changed."""
        if self.memory is None:
            return X
        location = getattr(self.memory, "location", self.memory)
        if isinstance(location, (str, os.PathLike)):
            warn_of_others(location, "memory", stacklevel=3)
        extractor = self.steps[0][1]
        return stamp_images(X, [getattr(extractor, name, None) for name in ("weights", "region")])

    def _learn(self, X, y, **params):
        """Fit all steps, with features that stay lazy under a memory limit."""
        (name, extractor), (_, detector) = self.steps[0], self.steps[-1]
        # Copies are learned from at once.
        is_plain = getattr(extractor, "augment", None) is None
        is_bounded = is_plain and getattr(detector, "memory_limit", None) is not None
        if not is_bounded or len(self.steps) > 2 or extractor.output is not None:
            return super().fit(X, y, **params)
        self.steps[0] = name, _LazyExtractor(extractor)
        try:
            return super().fit(X, y, **params)
        finally:
            self.steps[0] = name, self.steps[0][1].extractor

    def score_samples(self, X: Images) -> NDArray[np.float64]:
        """Score images, high = normal; see :meth:`SoftPatchDetector.score_samples`.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`PatchFeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n,), float64
        """
        return score_in_parts(self, "score_samples", X)

    def decision_function(self, X: Images) -> NDArray[np.float64]:
        """Score images relative to the threshold, negative = outlier.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`PatchFeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n,), float64
        """
        return score_in_parts(self, "decision_function", X)

    def predict(self, X: Images) -> NDArray[np.int64]:
        """Label images +1, normal, or -1, outlier.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`PatchFeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n,), int64
        """
        return score_in_parts(self, "predict", X)

    def predict_map(self, X: Images, sigma: float = 4.0) -> list[NDArray[np.float32]]:
        """Anomaly map of each image, at its own size.

        The patch scores are brought to the size of the network's input bilinearly, smoothed there
        by a Gaussian filter, and brought to the size of the image.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`PatchFeatureExtractor.transform`.
        sigma : float, default=4.0
            Standard deviation of the filter in pixels of the network's input; the paper's.
            0 for no smoothing.

        Returns
        -------
        list of ndarray of shape (H, W), float32
            One map for each image, high = anomalous, all in the same unit. NaN where the
            extractor's `crop` cut the image away, and outside its `region`.

        See Also
        --------
        iter_maps : One map after the other, for more or larger images.
        """
        grids = score_in_parts(self, "predict_map", X)
        return image_maps(self.steps[0][1], grids, X, sigma)

    def iter_maps(self, X: Images, sigma: float = 4.0) -> Iterator[NDArray[np.float32]]:
        """Anomaly maps of images one after the other, of which one is in memory at a time.

        The maps of :meth:`predict_map`, in the order of the images. Features and patch scores are
        those of some images at a time.

        Parameters
        ----------
        X, sigma
            As for :meth:`predict_map`.

        Yields
        ------
        ndarray of shape (H, W), float32
        """
        check_is_fitted(self)
        pairs = iterate_patch_maps(self, check_images(X))
        return (image_maps(self.steps[0][1], [grid], [image], sigma)[0] for image, grid in pairs)

    def predict_pvalue(self, X: Images) -> NDArray[np.float64]:
        """Conformal p-value of each image; see :meth:`SoftPatchDetector.predict_pvalue`.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`PatchFeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n,), float64
            Between 0 (not included) and 1; low = anomalous.
        """
        return score_in_parts(self, "predict_pvalue", X)

    def threshold_for(self, false_alarms: float = 0.01) -> float:
        """Threshold for a share of false alarms; see :meth:`SoftPatchDetector.threshold_for`.

        Parameters
        ----------
        false_alarms : float in (0, 1), default=0.01

        Returns
        -------
        float
            To compare with `score_samples`: lower scores are outliers.
        """
        return self.steps[-1][1].threshold_for(false_alarms)

    def calibrate(self, X: Images, y: ArrayLike) -> Calibration:
        """Calibrate with labelled images; see :meth:`SoftPatchDetector.calibrate`.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`PatchFeatureExtractor.transform`; none of those trained on.
        y : array-like of shape (n,)
            0 for normal images, 1 for defective ones.

        Returns
        -------
        Calibration
            The threshold, the false alarms and the defective images that it misses, with intervals.
        """
        return self.steps[-1][1].calibrate(self.steps[0][1].transform(X), y)

    def inspect(self, X: Images, names: Sequence[str] | None = None) -> Inspection:
        """Score new images, and say where they are anomalous, in units of the threshold.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`PatchFeatureExtractor.transform`.
        names : sequence of str, optional
            Their names: by default their paths, or "image 0" and so on.

        Returns
        -------
        Inspection
            Scores, p-values, maps, regions and pictures, as a table or a report too.
        """
        return Inspection.from_estimator(self, X, names)

    def partial_fit(self, X: Images, y: None = None) -> "PatchPipeline":
        """Add training images; see :meth:`SoftPatchDetector.partial_fit`.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`PatchFeatureExtractor.transform`. The first call is a fit, and learns the
            size of the network's input.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        if not hasattr(self.steps[-1][1], "memory_bank_"):
            return self.fit(X)
        names = self._names
        if names is not None:
            names = names + training_names(X, len(names))
        with told_once(names):
            self.steps[-1][1].partial_fit(self[:-1].transform(X))
        if names is not None:
            self.image_names_ = names
        return self

    def forget(self, images: ArrayLike) -> "PatchPipeline":
        """Take training images out; see :meth:`SoftPatchDetector.forget`.

        Parameters
        ----------
        images : array-like of shape (k,), int or str
            Numbers of the images, for instance ``audit.ranking[:3]``; or names, of which the last
            part is enough if no other image has it, and which may be those in another folder.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are names that no image has, or several have; all of them are listed. Else as
            of the detector.
        """
        self.steps[-1][1].forget(find_by_name(images, self._names))
        return self

    def trust(self, images: ArrayLike) -> "PatchPipeline":
        """Declare training images normal; see :meth:`SoftPatchDetector.trust`.

        Parameters
        ----------
        images : array-like of shape (k,), int or str
            As for :meth:`forget`.

        Returns
        -------
        self
        """
        self.steps[-1][1].trust(find_by_name(images, self._names))
        return self

    def to_onnx(self, path: str | os.PathLike, *, maps: bool = True) -> None:
        """Export to one ONNX graph, from pixels to scores and maps, that needs no skpatch to run.

        Its input `images` (n, H, W, 3), uint8, are RGB images of any one size, and as many as you
        like. Its outputs are those of :meth:`inspect` and :meth:`Inspection.maps`, with the
        threshold of the time of the export:

        - `score` (n,), float32: 1 = threshold, high = anomalous;
        - `p_value` (n,), float32;
        - `is_anomalous` (n,), bool: whether the score is above 1;
        - `map` (n, H, W), float32, with `maps`: 1 = threshold; NaN where `crop` cut the image away.

        Before it is written, onnxruntime scores random images with it, and scores and maps must be
        those of the model within 1e-3.

        Parameters
        ----------
        path : path
            The .onnx file. It is replaced once the new one is complete.
        maps : bool
            Whether there are maps. Without them the scores are the same, and take less than half of
            the time with a large memory bank: few patches need a complete search.

        Raises
        ------
        ValueError
            If one graph cannot stand for the model: with tiles, a region, another number type than
            float32, another search than the exact one, or more than 20,000 memory patches; or if
            its network cannot be converted, or scores otherwise then.
        ImportError
            If the package extra ``skpatch[onnx]`` is not installed.
        OSError
            If the file cannot be written.

        Warns
        -----
        UserWarning
            If the model was fitted on images that are not 8-bit. They have to be converted first,
            and the warning says how.

        Notes
        -----
        A graph does not recognise training images. It compares them with their own patches too, so
        they look more normal than they are.

        Opset 18. The file says in `metadata_props` which versions it was made by, the threshold as
        a distance, and the SHA-256 of its graph.
        """
        from .export.writing import write_onnx

        write_onnx(self, path, maps)

    @property
    def _names(self):
        """Names of the training images; None where they are not known."""
        return getattr(self, "image_names_", None)

    def audit(self, X: Images) -> NoiseAudit:
        """Rank the training images by evidence of noise.

        Parameters
        ----------
        X : sequence of images
            All images that the pipeline was trained on, in their order, forgotten ones included.

        Returns
        -------
        NoiseAudit
        """
        return NoiseAudit.from_estimator(self, X)

    @overload
    def __getitem__(self, ind: slice) -> "PatchPipeline": ...

    @overload
    def __getitem__(self, ind: int | str) -> Any: ...

    def __getitem__(self, ind):
        """One of the steps, or a pipeline of some of them: scikit-learn's, with types."""
        return super().__getitem__(ind)

    def __sklearn_tags__(self):
        """Declare that the input is that of the first step: images."""
        tags = super().__sklearn_tags__()
        if self.steps and hasattr(self.steps[0][1], "__sklearn_tags__"):
            tags.input_tags = get_tags(self.steps[0][1]).input_tags
        return tags


class _LazyExtractor(  # type: ignore[call-arg]
    TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Stands for an extractor during a fit: its features are extracted when they are needed."""

    def __init__(self, extractor):
        self.extractor = extractor

    def fit(self, X, y=None):
        """Fit the extractor."""
        self.extractor.fit(X)
        return self

    def transform(self, X):
        """Features that are not extracted yet."""
        grid = *self.extractor.grid_size_, self.extractor.n_features_out_
        return LazyFeatures(self.extractor, X, grid)


def make_pipeline(
    *steps: BaseEstimator, memory: str | Memory | None = None, verbose: bool = False
) -> PatchPipeline:
    """Join an extractor and a detector.

    Like :func:`sklearn.pipeline.make_pipeline`, but the result is a :class:`PatchPipeline`.

    Parameters
    ----------
    *steps : estimators
        A :class:`PatchFeatureExtractor`, then a :class:`SoftPatchDetector`.
    memory : str or joblib.Memory, optional
        Where to cache the features. They are extracted again where files of images, weights or
        region have another size or time of modification; a lazy sequence is known by what it
        pickles to. The cache is of pickles, which run code when they are read: give a folder that
        only you can write to. A fit warns of one that belongs to another user or that others may
        write to.
    verbose : bool, default=False
        Whether to print the time of each step.

    Returns
    -------
    PatchPipeline

    Examples
    --------
    >>> from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
    >>> from skpatch.datasets import make_contaminated_images
    >>> data = make_contaminated_images(n_normal=18, n_defective=2, image_size=64, random_state=0)
    >>> model = make_pipeline(
    ...     PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0)
    ... )
    >>> maps = model.fit(data.images).predict_map(data.images[:2])
    >>> maps[0].shape
    (64, 64)
    """
    joined = sklearn_make_pipeline(*steps, memory=memory, verbose=verbose)
    return PatchPipeline(joined.steps, memory=memory, verbose=verbose)
