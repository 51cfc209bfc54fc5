# SPDX-License-Identifier: BSD-3-Clause
"""Save fitted models and load them again, without pickle: loading runs no code from the file."""

import os
from typing import TYPE_CHECKING

import numpy as np
from sklearn.pipeline import Pipeline

from ..detector.estimator import SoftPatchDetector
from ..features.extractor import PatchFeatureExtractor
from ..pipeline import PatchPipeline
from ..runtime.files import check_output
from ..runtime.parameters import check_is_fitted
from ..runtime.text import shown
from ..runtime.versions import installed_versions
from .container import entries, read_container, write_container
from .detectors import pack_detector, unpack_detector
from .extractors import pack_extractor, unpack_extractor

if TYPE_CHECKING:
    import torch

__all__ = ["load", "save"]

# What JSON of another form than a saved model's leads to.
_REFUSED = (AttributeError, OverflowError, RecursionError, TypeError, ValueError)


def save(model: Pipeline | SoftPatchDetector, path: str | os.PathLike) -> None:
    """Save a fitted model to one file, without pickle.

    Parameters
    ----------
    model : PatchPipeline or SoftPatchDetector
        A fitted pipeline of a :class:`PatchFeatureExtractor` and a :class:`SoftPatchDetector`, or
        the detector alone.
    path : path
        The file, by convention with the ending ".skpatch". It is replaced once the new one is
        complete.

    Raises
    ------
    ValueError
        If the model is not fitted, or holds an object that is not skpatch's own: a neighbour
        search, or a discriminator. The latter is used in fit only; after
        ``set_params(discriminator=None)`` the model can be saved.
    OSError
        If the file cannot be written, or the path is that of a link, a device or a pipe.

    See Also
    --------
    load : The other direction, and what comes back.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skpatch import SoftPatchDetector, load, save
    >>> features = np.random.RandomState(0).normal(size=(40, 4, 4, 8)).astype(np.float32)
    >>> detector = SoftPatchDetector(random_state=0).fit(features)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(detector, f"{folder}/model.skpatch")
    ...     loaded = load(f"{folder}/model.skpatch")
    >>> bool((loaded.score_samples(features) == detector.score_samples(features)).all())
    True
    """
    check_output(path, suffix="", name="path")
    if type(model) is SoftPatchDetector:
        packed, arrays = pack_detector(model)
    else:
        names = _step_names(model)
        extractor, detector = (step for _, step in model.steps)
        _check_fit_together(extractor, detector)
        packed, arrays = pack_detector(detector)
        packed = {
            "steps": names,
            "verbose": bool(model.verbose),
            "image_names": getattr(model, "image_names_", None),
            "image_folder": getattr(model, "image_folder_", None),
            "left_out_names": getattr(model, "left_out_names_", []),
            "extractor": pack_extractor(extractor, arrays),
            "detector": packed,
        }
    # For whoever looks into the file, and for error messages.
    content = {"class": type(model).__name__, "versions": installed_versions(), "model": packed}
    write_container(path, content, arrays)


def load(
    path: str | os.PathLike,
    backbone: "torch.nn.Module | None" = None,
    weights: str | os.PathLike | None = None,
) -> PatchPipeline | SoftPatchDetector:
    """Load a model saved by :func:`save`.

    It gives the same scores, maps, p-values and audits, to the last bit on the same computer and
    with the same versions of the libraries. The network is built again from its name, and refused
    unless its weights are those of the saved model; nothing is downloaded. The search graph of
    :class:`PyNNDescentNeighbors` is built again, too.

    Parameters
    ----------
    path : path
        The file.
    backbone : torch.nn.Module, optional
        The module, for a model whose `backbone` was one.
    weights : path, optional
        The file of the network's weights, for a model whose `weights` were a file. The place that
        the model names is not opened.

    Returns
    -------
    PatchPipeline or SoftPatchDetector
        Fitted. Not saved, and None, are: the fitted `discriminator_`, whose scores are
        `noise_scores_`; the extractor's `output` and the pipeline's `memory`, which are places on
        the computer of the training; and a `random_state` that is a generator.

    Raises
    ------
    ValueError
        If the file is damaged, not a model, of another version of the format, or if the network
        has other weights. The message names the file.
    OSError
        If the file or that of the network's weights cannot be read.

    Warns
    -----
    UserWarning
        If the search graph of :class:`PyNNDescentNeighbors` was built by another version of
        pynndescent. It is built anew, which takes about a minute, and scores can differ a little.
    """
    path = os.fspath(path)
    try:
        content, arrays = read_container(path)
        name, versions, packed = entries(content, "class", "versions", "model")
        if name == "SoftPatchDetector":
            if backbone is not None or weights is not None:
                raise ValueError("it is a detector without a network; leave out backbone, weights")
            model = unpack_detector(packed, arrays)
        elif name == "PatchPipeline":
            model = _unpack_pipeline(packed, versions, arrays, backbone, weights)
        else:
            raise ValueError(f"its class {name!r} is not one that skpatch saves")
        arrays.finish()
    except OSError as error:
        if error.errno is not None:
            raise
        # Said in words, of the file of the weights.
        raise type(error)(_refusal(path, error)) from error
    except _REFUSED as error:
        raise ValueError(_refusal(path, error)) from error
    return model


def _refusal(path, error):
    """Why a file cannot be loaded; texts in it may be of any length, also in the error itself."""
    error.args = (shown(error),)
    return f"{path!r} cannot be loaded: {error}"


def _step_names(model):
    """Names of the two steps of a pipeline that can be saved."""
    expected = [PatchFeatureExtractor, SoftPatchDetector]
    steps = getattr(model, "steps", None)
    if type(model) is not PatchPipeline or [type(step) for _, step in steps] != expected:
        raise ValueError(
            f"Only a PatchPipeline (skpatch.make_pipeline) of a PatchFeatureExtractor and a "
            f"SoftPatchDetector, or a SoftPatchDetector alone, can be saved{_hint(model)}; got "
            f"{model!r}."
        )
    return [name for name, _ in steps]


def _hint(model):
    """Where scikit-learn's searches and wrappers have a fitted model, or nothing."""
    for name in ("best_estimator_", "estimator_", "estimator"):
        inner = getattr(model, name, None)
        detector = inner.steps[-1][1] if isinstance(inner, PatchPipeline) else inner
        if isinstance(detector, SoftPatchDetector) and hasattr(detector, "offset_"):
            return f", such as the {name} of this {type(model).__name__}"
    return ""


def _check_fit_together(extractor, detector):
    """Raise unless the detector was fitted on features of that extractor's shape."""
    check_is_fitted(extractor)
    check_is_fitted(detector)
    given = (*extractor.grid_size_, extractor.n_features_out_)
    expected = (*detector.grid_shape_, detector.n_features_in_)
    if given != expected:
        raise ValueError(
            f"the detector was fitted on features (h, w, d) = {expected}, and the extractor gives "
            f"{given}"
        )
    if not np.array_equal(extractor.inspected_, detector.inspected_):
        raise ValueError("the extractor and the detector were not fitted with the same region")


def _unpack_pipeline(packed, versions, arrays, backbone, weights):
    # Files of 0.1.0.dev0 may lack all of these names.
    names, verbose, extractor, detector, image_names, folder, left_out = entries(
        packed,
        *("steps", "verbose", "extractor", "detector"),
        image_names=None,
        image_folder=None,
        left_out_names=[],
    )
    detector = unpack_detector(detector, arrays)
    extractor = unpack_extractor(extractor, versions, arrays, backbone, weights, detector)
    extractor.inspected_ = detector.inspected_
    _check_fit_together(extractor, detector)
    first, last = names
    pipeline = PatchPipeline([(first, extractor), (last, detector)], verbose=verbose)
    pipeline._validate_names(names)
    if image_names is not None:
        pipeline.image_names_ = _check_image_names(image_names, len(detector.kept_))
    pipeline.left_out_names_ = _check_image_names(left_out, len(left_out))
    if not isinstance(folder, str | None):
        raise ValueError("the folder of its images is no text")
    pipeline.image_folder_ = folder
    return pipeline


def _check_image_names(names, n_images):
    if len(names) != n_images or not all(isinstance(name, str) for name in names):
        raise ValueError("its names of images are not one for each")
    return list(names)
