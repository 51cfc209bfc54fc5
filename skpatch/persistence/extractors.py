# SPDX-License-Identifier: BSD-3-Clause
"""Fitted extractors as JSON, and back: the network is built again, and its weights are compared."""

import os
import warnings
from importlib import metadata

from ..engines.choosing import is_installed
from ..features.extractor import PatchFeatureExtractor
from ..features.region import read_region
from ..features.survey import check_intensity_range
from ..features.view import check_geometry
from ..runtime.products import has_torch
from .container import check_scales, entries
from .networks import pack_network, restore_network, take_network
from .parameters import pack_parameters, unpack_parameters

__all__ = ["pack_extractor", "unpack_extractor"]

# No network's maps are that much smaller than the image.
_LARGEST_STRIDE = 256
_OTHER_FEATURES = "its network does not give the features of its detector"


def pack_extractor(extractor, arrays):
    """JSON of a fitted extractor: all but the network, of whose weights it has the SHA-256.

    A region that is an array goes to `arrays`, and True stands for it.
    """
    for name, fitted in extractor._built_from.items():
        value = getattr(extractor, name)
        if value is not fitted and value != fitted:
            raise ValueError(
                f"{name}={value!r} was {fitted!r} when the extractor was fitted; set it back, or "
                "fit again before saving."
            )
    digest, module = _weights_and_module(extractor)
    replaced = {"backbone": extractor.backbone if module is None else None, "output": None}
    if not isinstance(extractor.region, str | os.PathLike | None):
        arrays["region"] = read_region(extractor.region)
        replaced["region"] = True
    packed = {
        "params": pack_parameters(extractor, **replaced),
        "module": module,
        "seed": int(extractor._seed),
        "layers_": list(extractor.layers_),
        "image_size_": list(map(int, extractor.image_size_)),
        "n_scales_": int(extractor.n_scales_),
        "intensity_range_": extractor.intensity_range_ and list(extractor.intensity_range_),
        "mean": list(map(float, extractor._mean)),
        "std": list(map(float, extractor._std)),
        "weights": digest,
    }
    network = pack_network(extractor, arrays)
    return packed if network is None else {**packed, "network": network}


def _weights_and_module(extractor):
    """SHA-256 of the weights of a network, and its class if it was given as a module."""
    if extractor._saved_network is not None:
        return extractor._saved_network.weights, extractor._saved_network.module
    from ..networks.backbones import weights_digest

    backbone = extractor.backbone
    module = None if isinstance(backbone, str) else type(backbone).__name__
    return weights_digest(extractor.model_), module


def unpack_extractor(packed, versions, arrays, backbone, weights, detector):
    """Extractor of the JSON of :func:`pack_extractor`, for the features of a loaded detector."""
    # Files of 0.1.0.dev0 may lack the range of intensities, the number of scales, and the network
    # for another engine.
    params, module, seed, layers, size, mean, std, digest, *others = entries(
        packed,
        *("params", "module", "seed", "layers_", "image_size_", "mean", "std", "weights"),
        intensity_range_=None,
        n_scales_=1,
        network=None,
    )
    intensity_range, n_scales, network = others
    parts = take_network(network, arrays)
    if module is None and backbone is not None:
        raise ValueError(f"its network is {params.get('backbone')!r}; leave out backbone")
    if module is not None and backbone is None:
        if has_torch():
            raise ValueError(f"it was fitted with a module, a {module}; pass it as backbone=")
        backbone = module
    extractor = _with_parameters(params, arrays, backbone, weights)
    if intensity_range is not None:
        check_intensity_range(intensity_range)
    height, width = size
    if not all(type(number) is int and 0 <= number < 2**31 for number in (seed, height, width)):
        raise ValueError(f"its seed {seed!r} and size of images {size!r} are not whole numbers")
    check_scales(n_scales, size)
    # Building the network for them would take memory without limit.
    most = (_LARGEST_STRIDE * cells for cells in detector.grid_shape_)
    known = None, detector.n_features_in_
    if any(map(int.__gt__, size, most)) or extractor.embedding_dim not in known:
        raise ValueError(_OTHER_FEATURES)
    if has_torch():
        _check_weights(extractor, weights)
        learned = _rebuilt(extractor, seed, layers, ((height, width), n_scales), detector)
        _check_same(learned, digest, mean + std, versions)
        vars(extractor).update(learned)
    else:
        vars(extractor).update(
            layers_=tuple(map(str, layers)),
            image_size_=(height, width),
            n_scales_=n_scales,
            grid_size_=detector.grid_shape_,
            n_features_out_=detector.n_features_in_,
            _mean=tuple(map(float, mean)),
            _std=tuple(map(float, std)),
            _seed=seed,
            **extractor._as_given(),
        )
        restore_network(extractor, network, parts, digest, module)
    extractor.intensity_range_ = intensity_range and tuple(map(float, intensity_range))
    return extractor


def _with_parameters(params, arrays, backbone, weights):
    """Unfitted extractor with the parameters in a file, and those that are given with it."""
    region = arrays.take("region", "?", "HW") if params.get("region") is True else None
    given = {"backbone": backbone, "weights": weights, "region": region}
    given = {name: value for name, value in given.items() if value is not None}
    # A file from elsewhere must not make a model write to a place of its choice.
    extractor = unpack_parameters(PatchFeatureExtractor, {**params, "output": None, **given})
    if has_torch() and not is_installed(extractor.engine):
        warnings.warn(
            f"The model was saved with engine={extractor.engine!r}, which is not installed here, "
            "and uses engine='torch' instead: the results are the same to rounding errors.",
            UserWarning,
            stacklevel=5,
        )
        extractor.engine = "torch"
    check_geometry(extractor)
    check_intensity_range(extractor.intensity_range)
    return extractor


def _rebuilt(extractor, seed, layers, geometry, detector):
    """Everything that an extractor has learned, its network made again."""
    load, learned = extractor._plan(seed, layers, lambda *_: geometry)
    # Before there are any weights of a network that may be large.
    if (*learned["grid_size_"], learned["n_features_out_"]) != (
        *detector.grid_shape_,
        detector.n_features_in_,
    ):
        raise ValueError(_OTHER_FEATURES)
    return extractor._build(load, learned)


def _check_same(learned, digest, colours, versions):
    """Raise unless a network made again has the weights, and the colours, of the saved one."""
    from ..networks.backbones import weights_digest

    found = weights_digest(learned["model_"])
    if found != digest or [*learned["_mean"], *learned["_std"]] != colours:
        now = {name: metadata.version(name) for name in ("torch", "torchvision")}
        then = {name: versions.get(name) for name in now}
        raise ValueError(
            f"the network has other weights (SHA-256 {found[:12]}) than when the model was fitted "
            f"({str(digest)[:12]}), so its features would differ; it was {then}, it is {now}. Pass "
            "the file of the right ones as weights=, or the right module as backbone="
        )


def _check_weights(extractor, given):
    """Raise unless the weights are here: no place that a file names is opened, or downloaded from.

    A file from elsewhere could have others beside it, or name one on another computer.
    """
    from ..networks.backbones import LITE0, downloaded_weights

    backbone = extractor.backbone
    if extractor.weights not in (None, "default"):
        if given is None:
            raise ValueError(
                f"its network has the weights of {os.fspath(extractor.weights)!r}, which is not "
                "opened because a model names it. Give the file, as in "
                "skpatch.load(path, weights='file.safetensors') or --weights file.safetensors"
            )
    elif (
        extractor.weights == "default"
        and isinstance(backbone, str)
        and backbone != LITE0
        and downloaded_weights(backbone) is None
    ):
        raise FileNotFoundError(
            f"the weights of its network, {backbone!r}, are not on this computer, and loading "
            f"downloads nothing. Fit any PatchFeatureExtractor(backbone={backbone!r}), which "
            "downloads them, or pass the file as weights="
        )
