# SPDX-License-Identifier: BSD-3-Clause
"""Save fitted models and load them again, without pickle: loading runs no code from the file."""

import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
from sklearn.pipeline import Pipeline

from .. import __version__
from ..bank.memory import MemoryBank
from ..detector.estimator import SoftPatchDetector, fitted_state, restore
from ..detector.state import FittedState, Settings
from ..discriminators import (
    FusionDiscriminator,
    GaussianDiscriminator,
    LOFDiscriminator,
    NearestDiscriminator,
    SupportDiscriminator,
)
from ..distances.neighbors import ExactNeighbors, PyNNDescentNeighbors
from ..distances.rows import check_magnitude
from ..features.extractor import PatchFeatureExtractor
from ..features.patches import PatchGrid
from ..features.region import read_region
from ..features.view import check_geometry
from ..pipeline import PatchPipeline
from ..runtime.files import check_output
from ..runtime.parameters import check_is_fitted
from .container import entries, read_container, write_container
from .searches import pack_search, unpack_search
from .updates import pack_updates, unpack_updates

if TYPE_CHECKING:
    import torch

__all__ = ["load", "save"]

_PARTS = {
    part.__name__: part
    for part in (
        ExactNeighbors,
        FusionDiscriminator,
        GaussianDiscriminator,
        LOFDiscriminator,
        NearestDiscriminator,
        PyNNDescentNeighbors,
        SupportDiscriminator,
    )
}

# m memory patches of d features, n training images of h x w patches, c of them for calibration.
# After the shape: the least number, and whether some may be NaN.
_ARRAYS = {
    "memory_bank_": ("f4", "md"),
    "memory_weights_": ("f8", "m", 0),
    "memory_reaches_": ("f8", "m", 0),
    "memory_source_": ("i8", "m3"),
    "noise_scores_": ("f8", "nhw", None, True),
    "kept_": ("?", "nhw"),
    "inspected_": ("?", "hw"),
    "trusted_images_": ("?", "n"),
    "training_scores_": ("f8", "n", None, True),
    "calibration_scores_": ("f8", "c"),
}

# What JSON of another form than a saved model's leads to.
_REFUSED = (AttributeError, OverflowError, RecursionError, TypeError, ValueError)
# No network's maps are that much smaller than the image.
_LARGEST_STRIDE = 256
# Recorded for whoever looks into the file, and for error messages.
_LIBRARIES = ("numpy", "torch", "torchvision", "scikit-learn")


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
        packed, arrays = _pack_detector(model)
    else:
        names = _step_names(model)
        extractor, detector = (step for _, step in model.steps)
        _check_fit_together(extractor, detector)
        packed, arrays = _pack_detector(detector)
        packed = {
            "steps": names,
            "verbose": bool(model.verbose),
            "extractor": _pack_extractor(extractor, arrays),
            "detector": packed,
        }
    versions = {name: metadata.version(name) for name in _LIBRARIES}
    versions.update(skpatch=__version__, python=platform.python_version())
    content = {"class": type(model).__name__, "versions": versions, "model": packed}
    write_container(path, content, arrays)


def load(
    path: str | os.PathLike,
    backbone: "torch.nn.Module | None" = None,
    weights: str | os.PathLike | None = None,
) -> PatchPipeline | SoftPatchDetector:
    """Load a model saved by :func:`save`.

    It gives the same scores, maps, p-values and audits, to the last bit on the same computer and
    with the same versions of the libraries. The network is built again from its name and weights
    file, and refused unless its weights are those of the saved model.

    Parameters
    ----------
    path : path
        The file.
    backbone : torch.nn.Module, optional
        The module, for a model whose `backbone` was one.
    weights : path, optional
        The state dict of the network, where the file with which the model was fitted is at
        another place now.

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
        pynndescent. It is built anew then.
    """
    path = os.fspath(path)
    try:
        content, arrays = read_container(path)
        name, versions, packed = entries(content, "class", "versions", "model")
        if name == "SoftPatchDetector":
            if backbone is not None or weights is not None:
                raise ValueError("it is a detector without a network; leave out backbone, weights")
            model = _unpack_detector(packed, arrays)
        elif name == "PatchPipeline":
            model = _unpack_pipeline(packed, versions, arrays, backbone, weights)
        else:
            raise ValueError(f"its class {name!r} is not one that skpatch saves")
        arrays.finish()
    except _REFUSED as error:
        raise ValueError(f"{path!r} cannot be loaded: {error}") from error
    return model


def _step_names(model):
    """Names of the two steps of a pipeline that can be saved."""
    expected = [PatchFeatureExtractor, SoftPatchDetector]
    steps = getattr(model, "steps", None)
    if type(model) is not PatchPipeline or [type(step) for _, step in steps] != expected:
        raise ValueError(
            f"Only a PatchPipeline (skpatch.make_pipeline) of a PatchFeatureExtractor and a "
            f"SoftPatchDetector, or a SoftPatchDetector alone, can be saved; got {model!r}."
        )
    return [name for name, _ in steps]


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
    names, verbose, extractor, detector = entries(
        packed, "steps", "verbose", "extractor", "detector"
    )
    detector = _unpack_detector(detector, arrays)
    extractor = _unpack_extractor(extractor, versions, arrays, backbone, weights, detector)
    extractor.inspected_ = detector.inspected_
    _check_fit_together(extractor, detector)
    first, last = names
    pipeline = PatchPipeline([(first, extractor), (last, detector)], verbose=verbose)
    pipeline._validate_names(names)
    return pipeline


def _pack_detector(detector):
    """JSON and arrays of a fitted detector."""
    fitted = fitted_state(detector)
    _check_unchanged(detector, fitted)
    learned = fitted.attributes()
    arrays = {name: np.asarray(learned[name], dtype) for name, (dtype, *_) in _ARRAYS.items()}
    search = _pack(detector.neighbors_, "neighbors_")
    state, search_arrays = pack_search(detector.neighbors_)
    updates, update_arrays = pack_updates(fitted)
    names = getattr(detector, "feature_names_in_", None)
    packed = {
        "params": _pack_params(detector),
        "coreset_radius_": float(detector.coreset_radius_),
        "feature_names_in_": None if names is None else list(names),
        "neighbors_": search,
        "search": state,
        "updates": updates,
    }
    return packed, {**arrays, **search_arrays, **update_arrays}


def _check_unchanged(detector, fitted):
    """Raise if a loaded detector, which knows its parameters only, would score otherwise."""
    settings = Settings.of(detector)
    rule = settings.scoring_rule(fitted.grid.n_patches)
    recognizes = settings.noise_model().recognizes_training_images
    if (rule, recognizes) != (fitted.bank.rule, fitted.recognizes):
        raise ValueError(
            "discriminator, n_neighbors, metric or worst_patches was changed after the fit, and "
            "does not describe it any more; set it back, or fit again before saving."
        )


def _unpack_detector(packed, arrays):
    params, radius, names, search, state, updates = entries(
        packed, "params", "coreset_radius_", "feature_names_in_", "neighbors_", "search", "updates"
    )
    detector = _unpack_params(SoftPatchDetector, params)
    learned = {name: arrays.take(name, *kind) for name, kind in _ARRAYS.items()}
    sizes = arrays.sizes
    shape = sizes["n"], sizes["h"], sizes["w"]
    if 0 in (*shape, sizes["m"], sizes["d"]) or not learned["inspected_"].any():
        raise ValueError("it has no memory patches")
    check_magnitude(learned["memory_bank_"], "its memory_bank_")
    radius = float(radius)
    if (np.diff(learned["calibration_scores_"]) < 0).any() or not 0 <= radius < np.inf:
        raise ValueError("its scores do not ascend, or its coreset_radius_ is no distance")
    arrays.check_below("memory_source_", learned["memory_source_"], shape)
    if names is not None:
        if len(names) != sizes["d"] or not all(isinstance(name, str) for name in names):
            raise ValueError("its names of features are not one for each")
        names = np.array(names, dtype=object)
    search = _unpack(search)
    if not isinstance(search, ExactNeighbors | PyNNDescentNeighbors):
        raise ValueError("its neighbour search is none")
    unpack_search(search, state, arrays, learned["memory_bank_"], learned["memory_reaches_"])
    grid = PatchGrid(shape[1:], learned["inspected_"])
    settings = Settings.of(detector)
    state = FittedState(
        grid=grid,
        bank=MemoryBank(
            patches=learned["memory_bank_"],
            source=learned["memory_source_"],
            weights=learned["memory_weights_"],
            reaches=learned["memory_reaches_"],
            search=search,
            rule=settings.scoring_rule(grid.n_patches),
        ),
        coreset_radius=radius,
        discriminator=None,
        recognizes=settings.noise_model().recognizes_training_images,
        noise_scores=learned["noise_scores_"],
        kept=learned["kept_"],
        trusted=learned["trusted_images_"],
        calibration_scores=learned["calibration_scores_"],
        **unpack_updates(updates, arrays, grid, learned),
    )
    restore(detector, state, sizes["d"], names)
    return detector


def _pack_extractor(extractor, arrays):
    """JSON of a fitted extractor: all but the network, of whose weights it has the SHA-256.

    A region that is an array goes to `arrays`, and True stands for it.
    """
    from ..features.backbones import weights_digest

    for name, fitted in extractor._built_from.items():
        value = getattr(extractor, name)
        if value is not fitted and value != fitted:
            raise ValueError(
                f"{name}={value!r} was {fitted!r} when the extractor was fitted; set it back, or "
                "fit again before saving."
            )
    is_named = isinstance(extractor.backbone, str)
    replaced = {"backbone": extractor.backbone if is_named else None, "output": None}
    if not isinstance(extractor.region, str | os.PathLike | None):
        arrays["region"] = read_region(extractor.region)
        replaced["region"] = True
    return {
        "params": _pack_params(extractor, **replaced),
        "module": None if is_named else type(extractor.backbone).__name__,
        "seed": int(extractor._seed),
        "layers_": list(extractor.layers_),
        "image_size_": list(map(int, extractor.image_size_)),
        "mean": list(map(float, extractor._mean)),
        "std": list(map(float, extractor._std)),
        "weights": weights_digest(extractor.model_),
    }


def _unpack_extractor(packed, versions, arrays, backbone, weights, detector):
    from ..features.backbones import weights_digest

    params, module, seed, layers, size, mean, std, digest = entries(
        packed, "params", "module", "seed", "layers_", "image_size_", "mean", "std", "weights"
    )
    region = arrays.take("region", "?", "HW") if params.get("region") is True else None
    given = {"backbone": backbone, "weights": weights, "region": region}
    given = {name: value for name, value in given.items() if value is not None}
    if module is None and backbone is not None:
        raise ValueError(f"its network is {params.get('backbone')!r}; leave out backbone")
    if module is not None and backbone is None:
        raise ValueError(f"it was fitted with a module, a {module}; pass it as backbone=")
    # A file from elsewhere must not make a model write to a place of its choice.
    extractor = _unpack_params(PatchFeatureExtractor, {**params, "output": None, **given})
    check_geometry(extractor)
    height, width = size
    if not all(type(number) is int and 0 <= number < 2**31 for number in (seed, height, width)):
        raise ValueError(f"its seed {seed!r} and size of images {size!r} are not whole numbers")
    # Building the network for them would take memory without limit.
    most = (_LARGEST_STRIDE * cells for cells in detector.grid_shape_)
    known = None, detector.n_features_in_
    if any(map(int.__gt__, size, most)) or extractor.embedding_dim not in known:
        raise ValueError("its network does not give the features of its detector")
    if extractor.weights not in (None, "default") and not os.path.isfile(extractor.weights):
        raise FileNotFoundError(
            f"The network's weights were read from {os.fspath(extractor.weights)!r}, which is not "
            "a file here; pass its place, as in skpatch.load(path, weights='file.pth')."
        )
    learned = extractor._build(seed, layers, lambda *_: (height, width))
    found = weights_digest(learned["model_"])
    if found != digest or [*learned["_mean"], *learned["_std"]] != mean + std:
        now = {name: metadata.version(name) for name in ("torch", "torchvision")}
        then = {name: versions.get(name) for name in now}
        raise ValueError(
            f"the network has other weights (SHA-256 {found[:12]}) than when the model was fitted "
            f"({str(digest)[:12]}), so its features would differ; it was {then}, it is {now}. Pass "
            "the file of the right ones as weights=, or the right module as backbone="
        )
    vars(extractor).update(learned)
    return extractor


def _pack_params(estimator, **replaced):
    """Parameters of an estimator as JSON."""
    params = estimator.get_params(deep=False)
    return {
        name: replaced[name] if name in replaced else _pack(value, name)
        for name, value in params.items()
    }


def _unpack_params(kind, params):
    """Unfitted estimator with these parameters."""
    unknown = set(params) - set(kind().get_params(deep=False))
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no parameters {sorted(unknown)}; was it saved by a newer skpatch?"
        )
    estimator = kind(**{name: _unpack(value) for name, value in params.items()})
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()
    return estimator


def _pack(value, name):
    """Value of a parameter as JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.random.RandomState):
        return None
    if isinstance(value, list | tuple | np.ndarray):
        packed = [_pack(one, name) for one in value]
        return {"tuple": packed} if isinstance(value, tuple) else packed
    if _PARTS.get(type(value).__name__) is type(value):
        return {"class": type(value).__name__, "params": _pack_params(value)}
    hint = "set_params(discriminator=None) before saving (it is used in fit only), or "
    raise ValueError(
        f"{name}={value!r} cannot be saved: it is not one of {', '.join(_PARTS)}. Use "
        f"{hint if 'discriminator' in name else ''}joblib, whose files run code when loaded."
    )


def _unpack(packed):
    if isinstance(packed, list):
        return [_unpack(one) for one in packed]
    if not isinstance(packed, dict):
        return packed
    if set(packed) == {"tuple"}:
        return tuple(_unpack(packed["tuple"]))
    name, params = entries(packed, "class", "params")
    if name not in _PARTS:
        raise ValueError(f"its part {name!r} is not one of {', '.join(_PARTS)}")
    return _unpack_params(_PARTS[name], params)
