# SPDX-License-Identifier: BSD-3-Clause
"""Support: a memory patch counts from the distance on at which other images vouch for it."""

from functools import partial
from numbers import Real

import numpy as np

from ..runtime.parameters import Interval, StrOptions
from ..runtime.threads import run_blocks
from .accusing import accuse, accuse_jury
from .base import NoiseDiscriminator, Verdict
from .jury import Jury, jury_of, some_of
from .verdict import judge_accusations

__all__ = ["SupportDiscriminator", "distance_ratios"]

# docs/trials.rst has what this was chosen on, and what else was tried. With strong evidence an
# accused patch counts from so much more than the distance to the nearest good one on.
_FARTHER = 1.3
# Images that patches are measured against where that serves later updates only.
_SOME = 8
# Memory patches measured at a time.
_BLOCK = 128


class SupportDiscriminator(NoiseDiscriminator):
    """Judge memory patches by the support that other images give them.

    Patches that are unusual at their place are accused, and if the accused vouch for each other
    they are taken for noise. If they do not, nothing speaks for noise, and the memory bank is
    PatchCore's. With strong evidence the accused are kept out of the memory bank; with any, a patch
    counts as at least as far away as the nearest good patch of another image is from it, so a
    defect does not make its own image look normal, nor those that have one like it.

    Parameters
    ----------
    noise_threshold : "auto" or float in [0, 1), default="auto"
        Share of the memory patches to drop; "auto" finds out from the training images whether
        and how many patches are noise. The detector's own `noise_threshold` comes before it unless
        that is "auto".

    Attributes
    ----------
    outlier_scores_ : ndarray of shape (n, h, w), float64
        After :meth:`fit`, which a detector does not call: the local outlier factor of each patch
        among those at its place, as the geometric mean over a window of
        up to 5 x 5.

    See Also
    --------
    skpatch.SoftPatchDetector : Has it by default, as ``discriminator="support"``.

    Notes
    -----
    A detector with it averages the worst 0.6 % of an image's patches, 5 of 28 x 28, but scores at
    least 0.85 times the worst of them, and recognises training images when they are scored.

    Whether the accused vouch for each other is measured on at most 100 of the images: the worst 7 %
    of their patches are left out of a memory bank, and the correlation between how unusual the
    worst places of an image are and how much its score rises is the support. From 2 standard
    deviations of what it would be by chance on there is some evidence of noise; from 3.5 on, and if
    the support is at least 0.45, it is strong. See :class:`~skpatch.discriminators.NoiseFinding`.

    Where the same place shows the same part in all images, and there are at least 40, patches that
    are unusual for their place count for more: their scores are multiplied by the root of their
    distance from the mean of what is no noise there, or at the nearest of the eight places around,
    in standard deviations along 64 axes. Means are of at most 256 images.
    """

    _parameter_constraints = {
        "noise_threshold": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")]
    }

    # Of solar cells, cookies and ball screws the image AUROC is 0.012 higher to 0.002 lower than
    # with the worst patch alone; twice as many gain little more, and would hide small defects.
    worst_patches = 0.006
    recognizes_training_images = True

    def __init__(self, *, noise_threshold: str | float = "auto") -> None:
        self.noise_threshold = noise_threshold

    def score_patches(self, patches):
        """Score all patches (n, h, w, d); see the base class."""
        images = np.arange(len(patches))
        jury = self.collect(None, patches, images)
        return accuse(jury, patches, images, np.ones(patches.shape[1:3], bool))

    def screen(self, training, threshold):
        """Drop what was accused where the evidence of noise is strong; see the base class."""
        jury = training.evidence
        scores = _accusations(jury, training)
        kept = np.ones(scores.shape, bool)
        if self._share(threshold) == "auto" and jury.verdict.finding.evidence == "strong":
            kept = scores <= jury.verdict.limit
        return scores, kept

    def witnesses(self, images):
        """Choose the images that are asked for support; see the base class."""
        return jury_of(images)

    def collect(self, evidence, patches, images):
        """Take coordinates of the patches of the jury; see the base class."""
        jury = Jury(patches.reshape(-1, patches.shape[-1])) if evidence is None else evidence
        return jury.joined_by(patches, images)

    def conclude(self, evidence, inspected):
        """Find out whether the accused vouch for each other; see the base class."""
        if evidence.verdict is not None:
            return evidence
        return evidence.concluding(
            judge_accusations(evidence, partial(accuse_jury, evidence, inspected))
        )

    def judge(self, evidence, selection, threshold):
        """Hold patches at the distance at which good ones vouch for them; see the base class."""
        finding, limit, suspicion = evidence.verdict[:3]
        scores, share = selection.screened, self._share(threshold)
        is_noise = np.zeros(len(selection.source), bool)
        is_accused, is_trusted = np.zeros(scores.shape, bool), np.ones(len(scores), bool)
        if share != "auto":
            is_noise = selection.scores > np.quantile(selection.scores, 1 - share)
        elif finding.evidence in ("weak", "strong"):
            is_accused = scores > limit
            is_trusted[evidence.images] = suspicion <= 1
            if selection.declared is not None:
                is_accused[selection.declared] = False
                is_trusted[selection.declared] = True
        reaches, ratios = None, selection.ratios
        is_plain = finding.evidence == "none" and share == "auto"
        # Updates may find evidence, and need ratios that are known in a fit only.
        if is_plain and ratios is None:
            some = np.isin(evidence.images, some_of(evidence.images, _SOME))
            evidence = evidence.without(evidence.images[~some])
        if not is_plain or ratios is None:
            is_good = ~is_accused & is_trusted[:, np.newaxis]
            farther = _FARTHER if finding.evidence == "strong" else 1.0
            reaches, ratios = _reaches(evidence, selection, is_good, farther)
        return Verdict(
            is_noise=is_noise,
            weights=np.ones(len(selection.source)),
            is_trusted=is_trusted,
            # The share itself is too much: of sets with none to 20 % of noise, 8 to 12 % of the
            # normal images would be false alarms, and by the lower bound 7 to 8 % are.
            noise_ratio=finding.low,
            reaches=None if is_plain else reaches,
            ratios=ratios,
            is_accused=is_accused,
            finding=finding,
        )

    def usual(self, evidence, is_normal, inspected):
        """Take means and variances of aligned places; see the base class."""
        return evidence.usual(is_normal, inspected) if evidence.verdict.knows_places else None

    def _share(self, threshold):
        return self.noise_threshold if threshold is None else threshold

    def dismiss(self, evidence, images):
        """Ask images for support no longer; see the base class."""
        left = evidence.without(images)
        if len(left.images) < 2:
            raise ValueError(
                "images holds too many of the images that support others; fit a new model to the "
                "images that remain."
            )
        return left

    def evidence_bytes(self, n_images, n_patches, n_features):
        """Bytes of the coordinates of the jury; see the base class."""
        return Jury.n_bytes(n_images, n_patches, n_features)


def _accusations(jury, training):
    """Scores (n, h, w) of training patches; those of the jury are known from its verdict."""
    patches, images, verdict = training.patches, training.images, jury.verdict
    scores = np.empty(patches.shape[:3])
    is_known = np.zeros(len(images), bool)
    if verdict.scores is not None:
        is_known = np.isin(images, jury.images)
        known = verdict.scores[np.searchsorted(jury.images, images[is_known])]
        scores[is_known] = known.reshape(-1, *scores.shape[1:])
    left = np.flatnonzero(~is_known)
    if len(left):
        args = jury, patches, images, training.inspected, verdict.n_neighbors
        scores[left] = accuse(*args, left)
    return scores


def _reaches(jury, selection, is_good, farther):
    """Least distances (c,) at which memory patches count, and their ratios to those along axes.

    `is_good` (n, p) says it of all patches, and others count from `farther` times theirs on.
    """
    source = selection.source[:, 0]
    points = jury.project(selection.points)
    distances, places = jury.nearest(points, source, is_good[jury.images])
    # Without a good patch in another image there is nothing to go by.
    distances[~np.isfinite(distances)] = 0
    ratios = selection.ratios
    if selection.features_at is not None:
        found = selection.features_at(places)
        ratios = distance_ratios(selection.patches, found, distances)
    is_bad = ~is_good[source, selection.rows]
    return np.where(is_bad, farther, 1) * ratios * distances, ratios


def distance_ratios(memory, witnesses, along):
    """Distances (m,) of memory patches (m, d) to the patches that support them, all features.

    Relative to those along the principal axes; 1 for copies.

    Parameters
    ----------
    memory, witnesses : ndarray or Rows of shape (m, d), float32
        The memory patches, and the patches that support them.
    along : ndarray of shape (m,), float64
        Distances between them along the principal axes.
    """
    ratios = np.ones(len(memory))

    def measure(start, stop):
        block = slice(start, stop)
        gaps = memory[block].astype(np.float64) - witnesses[block]
        lengths = np.linalg.norm(gaps, axis=1)
        np.divide(lengths, along[block], out=ratios[block], where=along[block] > 0)

    run_blocks(measure, len(memory), _BLOCK)
    return ratios
