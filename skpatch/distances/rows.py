# SPDX-License-Identifier: BSD-3-Clause
"""Rows of numbers that are compared: finite, float32 and not too large."""

import numpy as np
from sklearn.utils import check_array

from ..runtime.parameters import positive_integer

__all__ = ["LARGEST", "check_magnitude", "check_reaches", "check_rows", "check_search"]

# Distances of larger features might not be float32 numbers.
LARGEST = 1e32
# Beyond it a reach would be no float32 number; features are far smaller.
_LARGEST_REACH = 1e38


def check_magnitude(X, name="X"):
    """Raise for features beyond `LARGEST`."""
    largest = max(float(X.max(initial=0)), -float(X.min(initial=0)))
    if largest > LARGEST:
        raise ValueError(
            f"{name} has features as large as {largest:g}; they must lie between {-LARGEST:g} and "
            f"{LARGEST:g}."
        )


def check_rows(X):
    """Rows (n, d) of an array-like, float32, finite and C-contiguous."""
    with np.errstate(over="ignore"):
        rows = check_array(X, dtype=np.float32, order="C", input_name="X")
    check_magnitude(rows)
    return rows


def check_reaches(reaches, n_rows):
    """Return the reaches (n,) of a bank, float64, or raise."""
    reaches = np.asarray(reaches, np.float64)
    if reaches.shape != (n_rows,) or not ((reaches >= 0) & (reaches < _LARGEST_REACH)).all():
        raise ValueError(
            f"reaches has shape {reaches.shape}; expected distances, at least 0 and finite, of "
            f"shape ({n_rows},)."
        )
    return reaches


def check_search(bank, X, n_neighbors, excluded):
    """Check what the nearest rows of a bank (n, d) are asked for; returns queries (m, d)."""
    queries = check_rows(X)
    if queries.shape[1] != bank.shape[1]:
        raise ValueError(f"X has {queries.shape[1]} features, and the memory bank {bank.shape[1]}.")
    if not positive_integer().is_satisfied_by(n_neighbors):
        raise ValueError(f"n_neighbors={n_neighbors!r} must be an integer, at least 1.")
    expected = (len(queries),), (len(bank),)
    if excluded is not None and tuple(map(np.shape, excluded)) != expected:
        raise ValueError(
            f"excluded has arrays of shapes {tuple(map(np.shape, excluded))}; expected one number "
            f"for each query and one for each row of the bank, {expected}."
        )
    return queries
