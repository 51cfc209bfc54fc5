# SPDX-License-Identifier: BSD-3-Clause
"""Random projection of patches, in which noise is scored and the coreset is selected."""

import numpy as np
from sklearn.random_projection import GaussianRandomProjection

from ..runtime.products import products
from ..runtime.threads import run_blocks

__all__ = ["draw_components", "project", "project_rows"]


def draw_components(n_features, dimension, random_state):
    """Components (n_features, dimension), float32; None where a projection would not pay.

    See `projection_dim` of SoftPatchDetector.
    """
    if dimension is None or n_features < 2 * dimension:
        return None
    projection = GaussianRandomProjection(dimension, random_state=random_state)
    components = projection.fit(np.zeros((1, n_features), np.float32)).components_
    return np.ascontiguousarray(components.T, np.float32)


def project(patches, components):
    """Projections (n, h, w, k), float32, of patches; the patches themselves without components."""
    if components is None:
        return patches
    rows = patches.reshape(-1, patches.shape[-1])
    projected = np.empty((len(rows), components.shape[1]), np.float32)

    def project_block(start, stop):
        # A copy of what is read-only, such as a file: torch warns of it.
        block = np.require(rows[start:stop], requirements="W")
        products(block, components, out=projected[start:stop])

    run_blocks(project_block, len(rows), 2048, "projection")
    return projected.reshape(*patches.shape[:3], -1)


def project_rows(rows, components):
    """Projections (m, k) of rows (m, d)."""
    return project(rows[:, np.newaxis, np.newaxis], components)[:, 0, 0]
