# SPDX-License-Identifier: BSD-3-Clause
"""Noise discriminators: which training patches are noise.

Imports bank, features, distances and runtime.
"""

from .base import NoiseDiscriminator
from .positionwise import (
    FusionDiscriminator,
    GaussianDiscriminator,
    LOFDiscriminator,
    NearestDiscriminator,
    PositionwiseDiscriminator,
    make_discriminator,
)

__all__ = [
    "FusionDiscriminator",
    "GaussianDiscriminator",
    "LOFDiscriminator",
    "NearestDiscriminator",
    "NoiseDiscriminator",
    "PositionwiseDiscriminator",
    "make_discriminator",
]
