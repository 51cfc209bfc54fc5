# SPDX-License-Identifier: BSD-3-Clause
"""Several noise discriminators as one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .base import NoiseDiscriminator
from .positionwise import rank_scores

__all__ = ["FusionDiscriminator"]


class FusionDiscriminator(NoiseDiscriminator):
    """Mean rank of a patch over several discriminators.

    Ranks make scores of different units comparable.

    Parameters
    ----------
    discriminators : sequence of str or NoiseDiscriminator, default=("lof", "gaussian")
        The discriminators to fuse; those of SoftPatch+ by default.

    Attributes
    ----------
    outlier_scores_ : ndarray of shape (n, h, w), float64
        Mean rank of each training patch, scaled to the interval (0, 2) with mean 1.
    discriminators_ : list of NoiseDiscriminator
        The fitted discriminators.

    References
    ----------
    SoftPatch+, arXiv 2412.20870 (rank fusion of LOF and Gaussian).
    """

    _parameter_constraints = {"discriminators": ["array-like"]}

    def __init__(
        self, *, discriminators: Sequence[str | NoiseDiscriminator] = ("lof", "gaussian")
    ) -> None:
        self.discriminators = discriminators

    def score_patches(self, patches: NDArray[np.float32]) -> NDArray:
        """Score all patches (n, h, w, d) by their mean rank; see the base class."""
        if len(self.discriminators) == 0:
            raise ValueError("discriminators is empty; name at least one.")
        # It knows this class by name.
        from .resolving import make_discriminator

        self.discriminators_ = [make_discriminator(one).fit(patches) for one in self.discriminators]
        return np.mean([rank_scores(one.outlier_scores_) for one in self.discriminators_], axis=0)
