# SPDX-License-Identifier: BSD-3-Clause
"""Names of devices to torch devices."""

from .products import has_torch


def resolve_device(device):
    """Torch device of a name; "auto" is CUDA where there is one, else the CPU."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def accelerator(device):
    """Torch device of a name; None for the CPU, the only one where torch is not installed."""
    if device == "cpu" or not has_torch():
        return None
    resolved = resolve_device(device)
    return None if resolved.type == "cpu" else resolved


def check_device(device):
    """Raise for a device that cannot be used here."""
    if device == "cpu":
        return
    if not has_torch():
        if device != "auto":
            raise ValueError(
                f"device={device!r} cannot be used here: it needs torch, which is not installed"
            )
        return
    import torch

    try:
        # Back, too: the device "meta" has no memory.
        torch.zeros(1, device=resolve_device(device)).cpu()
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error
