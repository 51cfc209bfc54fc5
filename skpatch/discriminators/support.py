# SPDX-License-Identifier: BSD-3-Clause
"""Support: a memory patch that no trustworthy other image has anything like is noise."""

from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from ..runtime.parameters import Interval, StrOptions
from ..runtime.threads import run_blocks
from .base import NoiseDiscriminator, Verdict, keep_all
from .jury import Jury, jury_of

__all__ = ["SupportDiscriminator", "distance_ratios", "measure_support", "suspicion_cut"]

# The values below were chosen on photographs of solar cells, aligned and not, ball screws and
# cookies with 0, 10, 20 and 40 % of defective images; docs/robustness.rst has the others tried.

# Robust standard deviations above the centre of the images' log scores at which trust ends.
# Some normal images are beyond it, but hardly any beyond the second limit: the share of the images
# there, less that of a normal distribution, is the estimated share of noise.
_CUT = 1.75
_NOISE_CUT = 2.5
_ROUNDS = 10
# Fewer scored images say nothing about what is usual.
_LEAST_IMAGES = 5
# Memory patches measured at a time.
_BLOCK = 128


class SupportDiscriminator(NoiseDiscriminator):
    """Judge memory patches by the support that other images give them.

    A patch that was selected for the memory bank is noise if no trustworthy other image has
    anything like it, wherever in the image, so objects need not be aligned. How much is dropped
    follows from the training images themselves. What is left counts as at least as far away as the
    nearest patch of another trusted image is from it, so that a defect that was not dropped does
    not make its own image look normal.

    Parameters
    ----------
    noise_threshold : "auto" or float in [0, 1), default="auto"
        Share of the memory patches to drop; "auto" decides from the training images. The
        detector's own `noise_threshold` comes before it unless that is "auto".

    Attributes
    ----------
    outlier_scores_ : ndarray of shape (n, h, w), float64
        After :meth:`fit`, which a detector does not call: the distance of each patch to the nearest
        one of another trusted image, 1 = the limit for noise.

    See Also
    --------
    skpatch.SoftPatchDetector : Has it by default, as ``discriminator="support"``.

    Notes
    -----
    A detector with it averages the worst 0.6 % of an image's patches, 5 of 28 x 28, and recognises
    training images when they are scored.
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
        """Score all patches (n, h, w, d) by their support; see the base class."""
        images = np.arange(len(patches))
        n_patches = patches[0, ..., 0].size
        rows = patches.reshape(-1, patches.shape[-1])
        jury = Jury(rows).joined_by(patches, images)
        support = measure_support(
            jury.project(rows), np.repeat(images, n_patches), jury, len(images)
        )
        return (support.distances / self._limit(support, None)).reshape(patches.shape[:3])

    def screen(self, training, threshold):
        """Keep all patches: they are judged once they are few; see the base class."""
        return keep_all(training)

    def witnesses(self, images):
        """Choose the images that are asked for support; see the base class."""
        return jury_of(images)

    def collect(self, evidence, selection, patches, images):
        """Take coordinates of the patches of the jury; see the base class."""
        jury = Jury(selection.points[:]) if evidence is None else evidence
        return jury.joined_by(patches, images)

    def judge(self, evidence, selection, threshold):
        """Drop what trusted images do not support; see the base class."""
        support = measure_support(
            evidence.project(selection.points),
            selection.source[:, 0],
            evidence,
            selection.n_images,
            selection.declared,
        )
        ratios = selection.ratios
        if selection.features_at is not None:
            found = selection.features_at(support.places)
            ratios = distance_ratios(selection.patches, found, support.distances)
        limit = self._limit(support, threshold)
        return Verdict(
            is_noise=support.distances > limit,
            weights=np.ones(len(selection.source)),
            is_trusted=support.is_trusted,
            noise_ratio=support.noise_ratio,
            scores=support.distances / max(limit, np.finfo(np.float32).tiny),
            reaches=ratios * support.distances,
            ratios=ratios,
        )

    def _limit(self, support, threshold):
        """Distance from which on a patch is noise."""
        share = self.noise_threshold if threshold is None else threshold
        return support.limit if share == "auto" else np.quantile(support.distances, 1 - share)

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


class Support(NamedTuple):
    """How well other images support the memory patches, and which images can be trusted.

    Attributes
    ----------
    distances : ndarray of shape (m,), float64
        Distance of each memory patch to the nearest patch of a trusted other image, along the
        principal axes.
    places : ndarray of shape (m, 2), int64
        The image of that patch, and its number there.
    limit : float
        Distance from which on a memory patch counts as noise.
    is_trusted : ndarray of shape (n,), bool
        False for images with a patch that trusted images do not support.
    noise_ratio : float
        Share of the images, without those declared normal, that are beyond what is usual.
    """

    distances: np.ndarray
    places: np.ndarray
    limit: float
    is_trusted: np.ndarray
    noise_ratio: float


def measure_support(points, source, jury, n_images, declared=None):
    """Measure how well images support each other's memory patches.

    An image is as suspicious as the memory patch of it that is farthest from all patches of the
    other images. Images that are not much more suspicious than most are trusted. Then only the
    trusted ones give support, and so on until nothing changes: defects that resemble each
    other lose each other's support, while rare but normal patches keep that of the normal images.
    Patches are compared wherever they lie in the image, so objects need not be aligned.

    Parameters
    ----------
    points : ndarray of shape (m, k), float32
        The memory patches: their coordinates, as of :meth:`Jury.project`.
    source : ndarray of shape (m,), int64
        Their images.
    jury : Jury
    n_images : int
    declared : ndarray of shape (n,), bool, optional
        Images that are trusted whatever they look like.

    Returns
    -------
    Support
    """
    declared = np.zeros(n_images, bool) if declared is None else declared
    scored = np.unique(source)
    is_trusted = np.ones(n_images, bool)
    everyone = jury.nearest(points, source, is_trusted)
    found = {}

    def ask(is_trusted):
        # The same images can be asked again, and then often are, in turns.
        key = is_trusted.tobytes()
        if key not in found:
            found[key] = jury.nearest_trusted(everyone, points, source, is_trusted)
        distances, places = found[key]
        scores = np.full(n_images, -np.inf)
        np.maximum.at(scores, source, distances)
        return distances, places, scores[scored]

    distances, places, scores = ask(is_trusted)
    cut = np.median(scores)
    for _ in range(_ROUNDS):
        before = is_trusted
        is_trusted = np.ones(n_images, bool)
        is_trusted[scored] = (scores <= cut) | declared[scored]
        if np.array_equal(is_trusted, before):
            break
        distances, places, scores = ask(is_trusted)
        cut = suspicion_cut(scores, _CUT)
    is_beyond = (scores > suspicion_cut(scores, _NOISE_CUT)) & ~declared[scored]
    beyond = is_beyond.sum() / max(1, np.count_nonzero(~declared[scored]))
    noise_ratio = max(0.0, float(beyond - norm.sf(_NOISE_CUT)))
    return Support(
        distances,
        places,
        min(cut, float(np.quantile(distances, 1 - noise_ratio))),
        is_trusted,
        noise_ratio,
    )


def suspicion_cut(scores, deviations):
    """Score of images that is some standard deviations above the usual.

    Centre and spread of the logarithms are those of the shortest half, which stays among the
    normal images as long as they are the majority (Rousseeuw and Leroy, "A robust scale estimator
    based on the shortest half", Statistica Neerlandica 42, 1988).
    """
    # Copies of images, and images without any texture, have no distances worth a logarithm.
    logs = np.log(np.sort(scores[scores > 1e-2 * scores.max()]))
    if len(logs) < _LEAST_IMAGES:
        return np.inf
    half = len(logs) // 2 + 1
    lengths = logs[half - 1 :] - logs[: len(logs) - half + 1]
    first = lengths.argmin()
    centre = (logs[first] + logs[first + half - 1]) / 2
    spread = lengths[first] / 2 / norm.ppf(0.75)
    # The second factor is for rounding: equal scores must not exceed their own centre.
    return float(np.exp(centre + deviations * spread) * (1 + 1e-6))


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
