# SPDX-License-Identifier: BSD-3-Clause
"""Names of devices to torch devices."""


def resolve_device(device):
    """Torch device of a name; "auto" is CUDA where there is one, else the CPU."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def check_device(device):
    """Raise for a device that cannot be used here."""
    import torch

    try:
        # Back, too: the device "meta" has no memory.
        torch.zeros(1, device=resolve_device(device)).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error
