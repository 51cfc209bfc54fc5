# SPDX-License-Identifier: BSD-3-Clause
"""What can be told of the noise among the training images, in numbers and in words."""

from typing import NamedTuple

__all__ = ["EVIDENCE", "NoiseFinding"]

EVIDENCE = ("none", "weak", "strong", "unknown")


class NoiseFinding(NamedTuple):
    """What a discriminator finds of the noise among the training images.

    Attributes
    ----------
    evidence : {"none", "weak", "strong", "unknown"}
        How much speaks for noise; "unknown" where it cannot be told.
    noise_ratio : float
        Share of the training images that look defective; 0 unless the evidence is strong, NaN
        where it cannot be told.
    low, high : float
        What the share should lie between.
    support : float
        Correlation, in [-1, 1], of how unusual the worst places of an image are and how much its
        score rises without what was accused; NaN where it was not measured.
    deviations : float
        The support in standard deviations of what it would be if nothing were noise, accusations
        being permuted; of n images, fewer than 60, n / 60 of that. NaN where it was not measured.
    reason : str
        The finding in a sentence or two.
    """

    evidence: str
    noise_ratio: float
    low: float
    high: float
    support: float
    deviations: float
    reason: str
