# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of torch where arrays are expected."""

import sys

import numpy as np

__all__ = ["without_tensors"]


def without_tensors(values):
    """Array of a tensor, or of a list of them; anything else as it is.

    NumPy refuses tensors with a gradient, on a GPU, and of types that it does not have.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return values
    if isinstance(values, (list, tuple)) and any(torch.is_tensor(value) for value in values):
        return np.asarray([without_tensors(value) for value in values])
    if not torch.is_tensor(values):
        return values
    values = values.detach().cpu()
    if values.is_floating_point() and values.dtype not in (torch.float16, torch.float64):
        values = values.float()
    return values.numpy()
