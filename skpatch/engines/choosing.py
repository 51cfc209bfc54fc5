# SPDX-License-Identifier: BSD-3-Clause
"""Engines by their names: whether one is here, and a network that it runs."""

from importlib.util import find_spec

from ..runtime.devices import resolve_device

__all__ = ["ENGINES", "check_engine", "device_of", "is_installed", "make_network"]

ENGINES = ("torch", "openvino")
_INSTALL = "pip install 'skpatch[openvino]'"


def is_installed(engine):
    """Whether the package of an engine is here."""
    return find_spec(engine) is not None


def check_engine(engine, device, dtype):
    """Raise for an engine that is not here, or does not run so."""
    if engine == "torch":
        return
    if not is_installed(engine):
        raise ValueError(f"engine={engine!r} needs a package that is missing: {_INSTALL}")
    if device not in ("auto", "cpu"):
        raise ValueError(
            f"engine={engine!r} runs on the CPU, not on device={device!r}; use device='cpu', or "
            "engine='torch'."
        )
    if dtype == "float16":
        raise ValueError(
            f"dtype='float16': engine={engine!r} computes in float32 or bfloat16 on a CPU."
        )


def device_of(engine, device):
    """Torch device on which an engine takes pixels and gives maps; "auto" is its own choice."""
    return resolve_device("cpu" if engine == "openvino" else device)


def make_network(engine, model, size, mean, std, device, dtype):
    """Network that an engine runs, from pixels to maps, as `TorchNetwork` describes it.

    `dtype` is the name of the number type.
    """
    if engine == "openvino":
        from .openvino import OpenVinoNetwork

        return OpenVinoNetwork(model, size, mean, std, dtype)
    import torch

    from .network import TorchNetwork

    return TorchNetwork(model, size, mean, std, device, getattr(torch, dtype))
