# SPDX-License-Identifier: BSD-3-Clause
"""Networks in a saved model, in the form of its engine, for where torch is not installed."""

import numpy as np

from ..engines.choosing import check_engine, is_installed, pack_graph
from ..features.saved import SavedNetwork
from ..networks.tracing import tracing
from .container import entries

__all__ = ["pack_network", "restore_network", "take_network"]

_WITHOUT = (
    "its network needs torch, which is not installed here. Where torch is, load it, and save it "
    "for use without: model[0].set_params(engine='onnx') or (engine='openvino'), and "
    "skpatch.save(model, path)"
)
_OTHER = "the network in it is not that of its detector"


def pack_network(extractor, arrays):
    """JSON of a fitted extractor's network in the form of its engine, whose parts go to `arrays`.

    None with the engine torch, for which the network is made again.
    """
    saved = extractor._saved_network
    if saved is None and extractor.engine == "torch":
        return None
    if saved is None:
        parts = _converted(extractor)
    else:
        parts = {"network": saved.network, "embedding": saved.embedding}
    for name, contents in parts.items():
        for number, content in enumerate(contents):
            arrays[f"{name}.{number}"] = np.frombuffer(content, np.uint8)
    engine = extractor.engine if saved is None else saved.engine
    return {"engine": engine, "margin": int(extractor._margin)}


def _converted(extractor):
    """Parts of the network, and of what follows it, of an extractor that torch has fitted."""
    from ..engines.converting import convert_embedding, convert_network

    engine = extractor.engine
    check_engine(engine, "cpu", "float32")
    shapes = [(height, width, channels) for channels, height, width in extractor._map_shapes]
    with tracing():
        network = convert_network(
            engine, extractor.model_, extractor._tile, extractor._mean, extractor._std
        )
        embedding = convert_embedding(engine, extractor._embedding, shapes)
    return {"network": pack_graph(engine, network), "embedding": pack_graph(engine, embedding)}


def take_network(packed, arrays):
    """Parts of the file of a network, by their names; none where the file has no network."""
    if packed is None:
        return {}
    return {name: _take_parts(name, arrays) for name in ("network", "embedding")}


def _take_parts(name, arrays):
    parts = []
    while (part := f"{name}.{len(parts)}") in arrays:
        parts.append(arrays.take_bytes(part))
    return parts


def restore_network(extractor, packed, parts, weights, module):
    """Have an extractor whose other attributes are restored use the network in its file.

    Parameters
    ----------
    extractor : PatchFeatureExtractor
    packed : dict or None
        From :func:`pack_network`.
    parts : dict
        From :func:`take_network`.
    weights, module
        As of :class:`~skpatch.features.saved.SavedNetwork`.
    """
    if packed is None:
        raise ValueError(_WITHOUT)
    engine, margin = entries(packed, "engine", "margin")
    if engine not in ("onnx", "openvino") or type(margin) is not int or margin < 0:
        raise ValueError(f"its network is for the engine {engine!r}, with a margin of {margin!r}")
    if not is_installed(engine):
        check_engine(engine, "cpu", "float32")
    extractor.engine = engine
    extractor._saved_network = SavedNetwork(engine, **parts, weights=weights, module=module)
    extractor._kept_steps, extractor._margin = None, margin
    try:
        steps = extractor._steps()
    except Exception as error:
        # Engines' errors have no class of their own.
        raise ValueError(f"engine={engine!r} cannot read its network: {error}") from error
    _check_shapes(extractor, steps)
    extractor._tile = steps.tile
    extractor._map_shapes = [(c, h, w) for h, w, c in steps.embedding.inputs]


def _check_shapes(extractor, steps):
    """Raise unless the network in a file is one of the extractor's images, layers and features."""
    size, tile, margin = extractor.image_size_, steps.tile, extractor._margin
    if tile == size:
        joined = steps.network.outputs
    else:
        strides = [tile[0] // rows for rows, _, _ in steps.network.outputs]
        joined = [
            (*(length // stride for length in size), channels)
            for stride, (_, _, channels) in zip(strides, steps.network.outputs, strict=True)
        ]
    features = (*extractor.grid_size_, extractor.n_features_out_)
    fits = (
        steps.network.inputs == [(*tile, 3)]
        and all(2 * margin < part <= whole for part, whole in zip(tile, size, strict=True))
        and len(steps.network.outputs) == len(extractor.layers_)
        and steps.embedding.inputs == joined
        and steps.embedding.outputs == [features]
    )
    if not fits:
        raise ValueError(_OTHER)
