# SPDX-License-Identifier: BSD-3-Clause
"""Noise discriminators: which training patches are noise, before and after the bank is selected.

Imports bank, features, distances and runtime.
"""

from .base import NoiseDiscriminator, Selection, TrainingPatches, Verdict
from .finding import NoiseFinding
from .fusion import FusionDiscriminator
from .positionwise import (
    GaussianDiscriminator,
    LOFDiscriminator,
    NearestDiscriminator,
    PositionwiseDiscriminator,
)
from .resolving import make_discriminator
from .support import SupportDiscriminator

__all__ = [
    "FusionDiscriminator",
    "GaussianDiscriminator",
    "LOFDiscriminator",
    "NearestDiscriminator",
    "NoiseDiscriminator",
    "NoiseFinding",
    "PositionwiseDiscriminator",
    "Selection",
    "SupportDiscriminator",
    "TrainingPatches",
    "Verdict",
    "make_discriminator",
]
