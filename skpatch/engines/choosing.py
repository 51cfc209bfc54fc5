# SPDX-License-Identifier: BSD-3-Clause
"""Engines by their names: whether one is here, and a network that it runs."""

from importlib.util import find_spec

from ..runtime.devices import resolve_device
from ..runtime.products import has_torch

__all__ = [
    "ENGINES",
    "check_engine",
    "device_of",
    "is_installed",
    "make_graph",
    "make_network",
    "pack_graph",
    "unpack_graph",
]

# Each with the package that runs it, and what torch needs to convert networks for it.
ENGINES = {
    "torch": ("torch",),
    "openvino": ("openvino",),
    "onnx": ("onnxruntime", "onnx"),
}
# Number types in which engines compute on a CPU.
_TYPES = {"openvino": ("float32", "bfloat16"), "onnx": ("float32",)}


def is_installed(engine):
    """Whether the packages of an engine are here."""
    needed = ENGINES[engine] if has_torch() else ENGINES[engine][:1]
    return all(find_spec(package) is not None for package in needed)


def check_engine(engine, device, dtype):
    """Raise for an engine that is not here, or does not run so."""
    if engine == "torch":
        return
    if not is_installed(engine):
        wanted = f"'skpatch[{engine}]'" if has_torch() else ENGINES[engine][0]
        raise ValueError(f"engine={engine!r} needs a package that is missing: pip install {wanted}")
    if device not in ("auto", "cpu"):
        raise ValueError(
            f"engine={engine!r} runs on the CPU, not on device={device!r}; use device='cpu', or "
            "engine='torch'."
        )
    if dtype not in _TYPES[engine]:
        raise ValueError(
            f"dtype={dtype!r}: engine={engine!r} computes in {' or '.join(_TYPES[engine])} on a "
            "CPU."
        )


def device_of(engine, device):
    """Torch device on which an engine takes pixels and gives maps; "auto" is its own choice."""
    return resolve_device(device if engine == "torch" else "cpu")


def make_network(engine, model, layers, size, mean, std, device, dtype):
    """Network that an engine runs, from pixels to the maps of layers, as `TorchNetwork` says.

    That of another engine than torch takes and gives arrays. `dtype` is the name of the number
    type.
    """
    if engine != "torch":
        from .converting import convert_network
        from .graph import LayerGraph

        form = convert_network(engine, model, size, mean, std)
        return LayerGraph(make_graph(engine, form, dtype), layers)
    import torch

    from .network import TorchNetwork

    return TorchNetwork(model, size, mean, std, device, getattr(torch, dtype))


def make_graph(engine, form, dtype):
    """Graph that an engine runs, of a network in its form; torch is not needed."""
    if engine == "openvino":
        from .openvino import OpenVinoGraph

        return OpenVinoGraph(form, dtype)
    from .onnx import OnnxGraph

    return OnnxGraph(form)


def pack_graph(engine, form):
    """Parts of a file, bytes, of a network in the form of an engine."""
    if engine == "onnx":
        return [form]
    from .openvino import pack

    return pack(form)


def unpack_graph(engine, parts):
    """Form that :func:`pack_graph` took parts from."""
    if engine == "onnx":
        return parts[0]
    from .openvino import unpack

    return unpack(parts)
