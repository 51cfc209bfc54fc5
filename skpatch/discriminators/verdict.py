# SPDX-License-Identifier: BSD-3-Clause
"""The verdict: whether those that were accused vouch for each other, as noise that hurts does."""

import numpy as np
from scipy.stats import norm, pearsonr

from ..bank.bank import MemoryBank, ScoringRule
from ..bank.coreset import farthest_on_average, greedy_coreset
from ..distances.exact import ExactNeighbors
from .accusing import NEIGHBORS, rank_of_same_place
from .finding import NoiseFinding
from .jury import JuryVerdict

__all__ = ["judge_accusations"]

# Share of the patches that are accused for the verdict, and of the memory bank with and without
# them, with its least and largest size; worst patches of an image, as the detector averages.
_ACCUSED = 0.07
_BANK, _LEAST_BANK, _LARGEST_BANK = 0.02, 32, 2000
_WORST = 0.006
# Images below which a rank correlation says nothing.
_LEAST_IMAGES = 20
# Ranks of the patch at the same place between which places mean something else in each image:
# less with parts that are aligned; about one half with textures that are the same everywhere, whose
# places may be compared.
_UNALIGNED = (0.25, 0.4)
# Support from which on there is weak and strong evidence of noise, in standard deviations of the
# correlation where accusations are permuted, 0.1 for 100 images.
_WEAK, _STRONG = 2.0, 3.5
# Least support for strong evidence, however many images: normal variants that several images share
# support each other, too, by 0.02 to 0.51 in clean sets of 90 images, which is no chance. From here
# on, dropping patches wins more with noise than it costs without (docs/trials.rst).
_LEAST_SUPPORT = 0.45
# Images of which fewer must be the more telling: of 25 normal solar cells, five draws had up to 4
# standard deviations by chance, since a few cells that resemble each other are a large share.
_ENOUGH = 60
# Images of which fewer do not tell what is usual at a place: from 24, seven sets won by it, but 30
# cookies lost up to .06, since one or two good ones look unlike the others.
_LEAST_USUAL = 40
# Share of the images that are neighbours where few find no strong evidence, so that a defect of
# about as many is accused; least share that must look defective then, because rare normal variants
# vouch for each other, too.
_MANY, _LEAST_OF_MANY = 0.12, 0.18
# Bounds of the share of the patches that is then accused, that of the images that look defective;
# robust standard deviations above the usual beyond which an image is not trusted.
_LEAST_SHARE, _LARGEST_SHARE = 0.07, 0.3
_CUT = 2.5
# Robust standard deviations beyond which an image looks defective, and those for the largest and
# the least share that there may be.
_BEYOND, _BEYOND_AT_LEAST, _BEYOND_AT_MOST = 2.0, 3.0, 1.5


def judge_accusations(jury, accuse):
    """Find out whether the accused patches of a jury are noise.

    The most unusual patches are accused, and a memory bank is built without them. If what was
    accused is merely rare, an accused image does not depend on other accused images, and its own
    score, without itself, changes as little as that of others. If it is noise that hurts, defects
    that resemble each other across images, the accused have supported each other, and their scores
    rise most.

    Parameters
    ----------
    jury : Jury
    accuse : callable
        From k numbers of neighbours to how unusual each patch (k, j, p), float64, of its images is.

    Returns
    -------
    JuryVerdict
    """
    is_asked = np.isin(jury.images, jury.reference()[0])
    coordinates = jury.coordinates[is_asked]
    n_images = len(coordinates)
    if n_images < _LEAST_IMAGES:
        return _unknown(
            f"Cannot tell: {n_images} images are too few to know noise from what is rare; "
            f"{_LEAST_IMAGES} are the least.",
            len(jury.images),
        )
    rank = rank_of_same_place(coordinates)
    if _UNALIGNED[0] < rank < _UNALIGNED[1]:
        return _unknown(
            "Cannot tell: the images are not aligned, so that no place can be compared with the "
            "same place of other images.",
            len(jury.images),
        )
    knows_places = rank <= _UNALIGNED[0] and n_images >= _LEAST_USUAL and coordinates.shape[1] > 1
    everything = np.ones(coordinates.shape[:2], bool)
    before = _score_without_own(_trial_bank(coordinates, everything), coordinates)
    n_many = max(NEIGHBORS, round(_MANY * n_images))
    by_few, by_many = accuse((NEIGHBORS, n_many))
    verdict = _judged(jury, is_asked, before, by_few, NEIGHBORS, _LEAST_SUPPORT)
    if verdict.finding.deviations < _STRONG and n_many > NEIGHBORS:
        # Here it is the share that tells noise from what is normal.
        of_many = _judged(jury, is_asked, before, by_many, n_many, least_support=0.0)
        finding = of_many.finding
        if finding.noise_ratio >= _LEAST_OF_MANY:
            reason = f"{finding.reason} Many images share them: a normal variant must be trusted."
            verdict = of_many._replace(finding=finding._replace(reason=reason))
    return verdict._replace(knows_places=knows_places)


def _judged(jury, is_asked, before, scores, n_neighbors, least_support):
    """The verdict of the images (j,) that are asked, on accusations (j, p) by so many neighbours.

    `before` has their scores, without their own patches, before the accused are left out. Evidence
    with less support than the least is not strong.
    """
    every_score = scores
    coordinates, scores = jury.coordinates[is_asked], scores[is_asked]
    is_accused = scores > np.quantile(scores, 1 - _ACCUSED)
    bank = _trial_bank(coordinates, ~is_accused)
    # Numbers are those of the images asked; others have no patches in the bank.
    numbers = np.where(is_asked, np.cumsum(is_asked) - 1, -1)
    suspicion = _score_without_own(bank, jury.coordinates, numbers)
    after = suspicion[is_asked]
    known = np.isfinite(before) & np.isfinite(after) & (before > 0) & (after > 0)
    if np.count_nonzero(known) < _LEAST_IMAGES:
        return _unknown("Cannot tell: too many images are copies of others.", len(jury.images))
    n_worst = max(1, round(_WORST * scores.shape[1]))
    accusations = np.sort(np.log(scores), axis=1)[:, -n_worst:].mean(axis=1)
    finding, share = _finding(accusations[known], before[known], after[known], least_support)
    limit = np.inf
    if finding.evidence != "none":
        share = np.clip(share, _LEAST_SHARE, _LARGEST_SHARE)
        limit = float(np.quantile(scores, 1 - share))
    suspicion /= suspicion_cut(suspicion, _CUT)
    return JuryVerdict(finding, limit, suspicion, n_neighbors, every_score)


def _unknown(reason, n_images):
    finding = NoiseFinding("unknown", np.nan, 0.0, 1.0, np.nan, np.nan, reason)
    return JuryVerdict(finding, np.inf, np.zeros(n_images), NEIGHBORS, None)


def _trial_bank(coordinates, is_kept):
    """Memory bank of the patches (j, p) that are kept, along the axes."""
    n_images, n_patches, _ = coordinates.shape
    points = coordinates.reshape(n_images * n_patches, -1).astype(np.float32)
    size = min(_LARGEST_BANK, max(int(_BANK * len(points)), min(_LEAST_BANK, len(points) // 2)))
    rows = np.flatnonzero(is_kept)
    start = farthest_on_average(points, np.random.RandomState(0), rows)
    rows, _ = greedy_coreset(points, size, start, rows)
    source = np.column_stack([rows // n_patches, rows % n_patches, np.zeros_like(rows)])
    return MemoryBank(
        points[rows],
        source,
        np.ones(len(rows)),
        np.zeros(len(rows)),
        ExactNeighbors().fit(points[rows]),
        ScoringRule(1, "euclidean", max(1, round(_WORST * n_patches))),
    )


def _score_without_own(bank, coordinates, numbers=None):
    """Scores (j,) of images without their own patches; `numbers` (j,) are theirs in the bank."""
    numbers = np.arange(len(coordinates)) if numbers is None else numbers
    patches = coordinates.astype(np.float32)[:, :, np.newaxis]
    return bank.score_images(patches, numbers, "evidence")[0]


def _finding(accusations, before, after, least_support):
    """What follows from how much images were accused, and their scores before and after.

    Returns
    -------
    finding : NoiseFinding
    share : float
        Of the images that look defective, whatever the evidence.
    """
    rises = np.log(after / before)
    support = 0.0
    if np.ptp(accusations) > 0 and np.ptp(rises) > 0:
        support = float(pearsonr(accusations, rises).statistic)
    low, share = _share_beyond(after, _BEYOND_AT_LEAST), _share_beyond(after, _BEYOND)
    high = float(np.mean(after > suspicion_cut(after, _BEYOND_AT_MOST)))
    n = len(rises)
    deviations = float(support * np.sqrt(n - 1) * min(1.0, n / _ENOUGH))
    if deviations < _WEAK:
        reason = (
            "No evidence of noise: images with suspicious places do not make each other look "
            "normal."
        )
        return NoiseFinding("none", 0.0, 0.0, low, support, deviations, reason), share
    if deviations < _STRONG or support < least_support:
        reason = (
            "Weak evidence of noise: images with suspicious places make each other look normal, "
            "but not more than in some sets without defects."
        )
        return NoiseFinding("weak", 0.0, 0.0, high, support, deviations, reason), share
    # Less a normal distribution's share, fewer may be beyond the lower cut.
    low, high = min(low, share), max(high, share)
    suspicious = after > suspicion_cut(after, _BEYOND)
    rise, usual = (
        np.median(rises[some]) if some.any() else 0.0 for some in (suspicious, ~suspicious)
    )
    reason = (
        f"About {100 * share:.0f} % of the images look defective ({100 * low:.0f} to "
        f"{100 * high:.0f} %): without suspicious places to compare with, their scores "
        f"{_rise(100 * np.expm1(rise - usual))} the others'. The evidence of noise is strong."
    )
    return NoiseFinding("strong", share, low, high, support, deviations, reason), share


def _rise(percent):
    """A rise of some scores in words, less that of others."""
    return f"rise by {percent:.0f} % against" if percent >= 0.5 else "hardly rise more than"


def _share_beyond(scores, deviations):
    """Share of scores that are some robust deviations above the usual, less a normal one's."""
    beyond = np.mean(scores > suspicion_cut(scores, deviations))
    return max(0.0, float(beyond - norm.sf(deviations)))


def suspicion_cut(scores, deviations):
    """Score of images that is some standard deviations above the usual.

    Centre and spread of the logarithms are those of the shortest half, which stays among the
    normal images as long as they are the majority (Rousseeuw and Leroy, "A robust scale estimator
    based on the shortest half", Statistica Neerlandica 42, 1988).
    """
    # Copies of images, and images without any texture, have no distances worth a logarithm.
    logs = np.log(np.sort(scores[scores > 1e-2 * scores.max()]))
    if len(logs) < 5:
        return np.inf
    half = len(logs) // 2 + 1
    lengths = logs[half - 1 :] - logs[: len(logs) - half + 1]
    first = lengths.argmin()
    centre = (logs[first] + logs[first + half - 1]) / 2
    spread = lengths[first] / 2 / norm.ppf(0.75)
    # The second factor is for rounding: equal scores must not exceed their own centre.
    return float(np.exp(centre + deviations * spread) * (1 + 1e-6))
