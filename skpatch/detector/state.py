# SPDX-License-Identifier: BSD-3-Clause
"""What a fit is asked for, and what it has learned: values that nothing changes afterwards."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from ..bank.bank import MemoryBank, ScoringRule
from ..bank.candidates import Candidates
from ..bank.training_scores import own_images
from ..discriminators.base import NoiseDiscriminator
from ..discriminators.finding import NoiseFinding
from ..discriminators.resolving import make_discriminator
from ..features.patches import PatchGrid
from ..likeness.given import GivenImages
from ..likeness.recognition import TrainingImages
from ..likeness.unlike import unlike_limit

__all__ = ["FittedState", "Settings"]

# Share of the patches in the memory bank, and its largest size, so that the time of a fit grows
# with the number of images and that of scoring does not (benchmarks/bank_sizes.py).
_BANK, _LARGEST_BANK = 0.1, 20_000
# Of the worst patch's score, unless a user says how many are averaged: in a large grid those hide a
# small defect. Features of normal images hardly notice (benchmarks/small_defects.py).
_PEAK = 0.85


class Settings(NamedTuple):
    """The parameters of a SoftPatchDetector that a fit depends on; see there."""

    discriminator: str | BaseEstimator | None
    noise_threshold: str | float
    soft_weights: bool
    coreset_size: str | float | int
    n_neighbors: int
    worst_patches: str | float | int
    metric: str
    neighbors: str | BaseEstimator
    device: str
    memory_limit: int | str | None
    n_jobs: int | None

    @classmethod
    def of(cls, detector):
        """Those of a detector as they are now."""
        return cls(*(getattr(detector, name) for name in cls._fields))

    def noise_model(self, random_state=None) -> NoiseDiscriminator:
        """Make the discriminator, unfitted; `random_state` seeds what it leaves unseeded."""
        return make_discriminator(self.discriminator, random_state=random_state, n_jobs=self.n_jobs)

    @property
    def threshold(self):
        """Share of patches to drop; None is for the discriminator to decide."""
        return None if self.noise_threshold == "auto" else self.noise_threshold

    def scoring_rule(self, n_patches):
        """How images of that many patches are scored."""
        wanted, peak_share = self.worst_patches, 0.0
        if wanted == "auto":
            wanted, peak_share = self.noise_model().worst_patches, _PEAK
        if not isinstance(wanted, Integral):
            wanted = max(1, round(wanted * n_patches))
        return ScoringRule(self.n_neighbors, self.metric, min(wanted, n_patches), peak_share)

    def bank_size(self, n_images, n_patches):
        """Number of memory patches that `coreset_size` asks for."""
        if isinstance(self.coreset_size, Integral):
            return self.coreset_size
        is_auto = self.coreset_size == "auto"
        share, largest = (_BANK, _LARGEST_BANK) if is_auto else (self.coreset_size, np.inf)
        return max(1, int(min(share * n_images * n_patches, largest)))


@dataclass(frozen=True, eq=False)
class FittedState:
    """Everything that a detector has learned from N training images, n of them distinct.

    Images are numbered among the distinct ones, but for the public attributes.

    Attributes
    ----------
    grid : PatchGrid
    components : ndarray of shape (d, k), float32, or None
        The projection in which noise is scored and the memory bank is selected.
    bank : MemoryBank
    ratios : ndarray of shape (m,), float64
        Those of the memory patches; see :class:`Candidates`.
    dropped : Candidates
        Patches that were selected for the memory bank, and are noise.
    screened : Candidates or None
        Patches that could not be selected, as many as the bank would lack if they were normal;
        None where they are not known.
    coreset_radius : float
    discriminator : NoiseDiscriminator or None
        Fitted; None if it scored no patches before the selection, or only in workers.
    evidence : object
        What the discriminator judges memory patches by.
    recognizes : bool
        Whether training images are recognised when they are scored.
    noise_scores : ndarray of shape (n, h, w), float64
    kept, accused : ndarray of shape (n, h, w), bool
        Patches that were not dropped; those of them that are taken for noise, and yet are not
        left out.
    finding : NoiseFinding or None
    trusted : ndarray of shape (n,), bool
    given : GivenImages
    copy_gap : float
        Largest distance of a copy's patches from those of its original.
    training : TrainingImages
    calibration_scores : ndarray of shape (at most n,), float64
    """

    grid: PatchGrid
    components: np.ndarray | None
    bank: MemoryBank
    ratios: np.ndarray
    dropped: Candidates
    screened: Candidates | None
    coreset_radius: float
    discriminator: NoiseDiscriminator | None
    evidence: Any
    recognizes: bool
    noise_scores: np.ndarray
    kept: np.ndarray
    accused: np.ndarray
    finding: NoiseFinding | None
    trusted: np.ndarray
    given: GivenImages
    copy_gap: float
    training: TrainingImages
    calibration_scores: np.ndarray

    @property
    def n_images(self):
        """Number n of distinct training images, forgotten ones included."""
        return len(self.kept)

    def candidates(self):
        """All patches that were selected: those of the memory bank, then those that are noise."""
        bank = self.bank
        return Candidates(bank.patches, bank.source, self.ratios).join(self.dropped)

    def own_images(self, numbers):
        """Numbers (n,) of training images, -1 for those that are compared with all patches."""
        return own_images(numbers, self.bank, self.kept, self.grid)

    def recognize(self, patches):
        """Numbers (n,) as of :meth:`own_images` of any images (n, h, w, d); None without need.

        The discriminators of the paper, and PatchCore, are flattered by what they were trained on.
        """
        if not self.recognizes:
            return None
        return self.own_images(self.training.recognize(patches, self.copy_gap))

    @property
    def unlike_limit(self):
        """Typical score beyond which an image is unlike everything that was learned."""
        # Of all: images that are not trusted show the same product.
        return unlike_limit(self.training.typical[~self.given.is_gone], self.grid.n_patches)

    def attributes(self):
        """Public attributes of the detector, by name."""
        given = self.given
        is_left = ~given.forgotten
        source = self.bank.source.copy()
        source[:, 0] = given.numbers[source[:, 0]]
        learned = self.learned()
        return {
            **learned,
            "memory_source_": source,
            "noise_scores_": self.noise_scores[given.identity],
            "kept_": learned["kept_"][given.identity] & is_left[:, np.newaxis, np.newaxis],
            "trusted_images_": self.trusted[given.identity] & is_left,
            "forgotten_images_": given.forgotten,
            "declared_normal_": given.declared,
            "training_scores_": np.where(is_left, self.training.scores[given.identity], np.nan),
            "copy_of_": given.copy_of,
            "unlike_limit_": self.unlike_limit,
        }

    def learned(self):
        """Attributes of the detector in which images are the distinct ones, where they matter."""
        return {
            "memory_bank_": self.bank.patches,
            "memory_weights_": self.bank.weights,
            "memory_reaches_": self.bank.reaches,
            "memory_source_": self.bank.source,
            "neighbors_": self.bank.search,
            "n_worst_patches_": self.bank.rule.n_worst,
            "peak_share_": self.bank.rule.peak_share,
            "noise_scores_": self.noise_scores,
            "kept_": self.kept & ~self.accused,
            "noise_finding_": self.finding,
            "noise_ratio_": np.nan if self.finding is None else self.finding.noise_ratio,
            "inspected_": self.grid.inspected,
            "trusted_images_": self.trusted,
            "discriminator_": self.discriminator,
            "coreset_radius_": self.coreset_radius,
            "training_scores_": self.training.scores,
            "calibration_scores_": self.calibration_scores,
            "grid_shape_": self.grid.shape,
        }
