# SPDX-License-Identifier: BSD-3-Clause
"""Some patches of the grid that stand for the whole image."""

import numpy as np

__all__ = ["sample_positions"]

_MOST = 32


def sample_positions(n_patches, most=_MOST):
    """Numbers of at most so many of an image's patches, ascending; the same for the same grid."""
    return np.sort(np.random.RandomState(0).permutation(n_patches)[:most])
