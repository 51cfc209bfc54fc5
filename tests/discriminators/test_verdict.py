# SPDX-License-Identifier: BSD-3-Clause
"""Whether the accused vouch for each other, by the definition and on what is known to be noise."""

from functools import partial

import numpy as np
import pytest
from _references import repeated_defects, textures
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist
from scipy.stats import pearsonr

from skpatch import SupportDiscriminator
from skpatch.discriminators.accusing import accuse, accuse_jury
from skpatch.discriminators.base import TrainingPatches
from skpatch.discriminators.jury import Jury
from skpatch.discriminators.verdict import _finding, judge_accusations, suspicion_cut


def asked(patches):
    """A jury of all images, with their patches (n, h, w, d)."""
    points = patches.reshape(-1, patches.shape[-1])
    return Jury(points).joined_by(patches, np.arange(len(patches)))


def given(scores):
    """Accusations that do not depend on the number of neighbours."""
    return lambda numbers: [scores for _ in numbers]


def judge(patches):
    """Finding of patches (n, h, w, d), all of which are compared with each other."""
    jury = asked(patches)
    inspected = np.ones(patches.shape[1:3], bool)
    return judge_accusations(jury, partial(accuse_jury, jury, inspected)).finding


def score_by_all(coordinates, is_kept):
    """Distance of the worst patch of images (n, p, k) to the nearest kept one of another.

    Kept are patches (j, p) of the first j images.
    """
    n_images, n_patches, n_features = coordinates.shape
    points = coordinates.reshape(-1, n_features).astype(float)
    known, image = points[: is_kept.size], np.arange(len(points)) // n_patches
    distances = cdist(points, known)
    distances[image[:, None] == image[: is_kept.size]] = np.inf
    distances[:, ~is_kept.ravel()] = np.inf
    return distances.min(axis=1).reshape(n_images, n_patches).max(axis=1)


@pytest.fixture
def bank_of_all(monkeypatch):
    monkeypatch.setattr("skpatch.discriminators.verdict._BANK", 1.0)
    monkeypatch.setattr("skpatch.discriminators.verdict._LARGEST_BANK", 10**6)


@pytest.mark.usefixtures("bank_of_all")
@pytest.mark.parametrize("defects", [range(0), range(6), range(20)])
def test_support_with_a_bank_of_all_patches(defects):
    jury = asked(repeated_defects(60, defects))
    scores = np.exp(np.random.RandomState(0).normal(size=(60, 64)))
    scores[list(defects)] *= 1.5
    finding, limit, suspicion = judge_accusations(jury, given(scores))[:3]
    is_accused = scores > np.sort(scores, axis=None)[int(0.93 * 3840) - 1]
    assert is_accused.mean() == pytest.approx(0.07, abs=1e-3)
    everything = np.ones_like(is_accused)
    before, after = (score_by_all(jury.coordinates, kept) for kept in (everything, ~is_accused))
    assert_allclose(suspicion * suspicion_cut(after, 2.5), after, rtol=1e-4)
    # With the worst place of each image, of so few.
    expected = pearsonr(np.log(scores.max(axis=1)), np.log(after / before)).statistic
    assert finding.support == pytest.approx(expected, abs=1e-4)
    assert finding.deviations == pytest.approx(finding.support * np.sqrt(59))
    assert np.isfinite(limit) == (finding.evidence != "none") == (finding.deviations >= 2)


@pytest.mark.usefixtures("bank_of_all")
def test_images_beyond_the_reference_have_no_part_in_the_finding(monkeypatch):
    monkeypatch.setattr("skpatch.discriminators.jury._REFERENCE", 40)
    patches = repeated_defects(60, range(12))
    jury, scores = asked(patches), np.exp(np.random.RandomState(0).normal(size=(60, 64)))
    finding, limit, suspicion = judge_accusations(jury, given(scores))[:3]
    numbers, coordinates = jury.reference()
    others = np.setdiff1d(np.arange(60), numbers)
    alone = judge_accusations(jury.without(others), given(scores[numbers]))
    assert alone[:2] == (finding, limit)
    is_kept = scores[numbers] <= np.quantile(scores[numbers], 0.93)
    after = score_by_all(np.concatenate([coordinates, jury.coordinates[others]]), is_kept)
    cut = suspicion_cut(after, 2.5)
    assert_allclose(suspicion[np.append(numbers, others)] * cut, after, rtol=1e-4)


@pytest.mark.parametrize("n_defective", [6, 20])
@pytest.mark.parametrize("n_kinds", [1, 2])
def test_repeated_defects_are_strong_evidence(n_defective, n_kinds):
    patches = repeated_defects(60, range(n_defective), n_kinds=n_kinds)
    scores = SupportDiscriminator().fit(patches).outlier_scores_.reshape(60, 64)
    finding, limit, suspicion = judge_accusations(asked(patches), given(scores))[:3]
    assert finding.evidence == "strong"
    assert finding.noise_ratio == pytest.approx(n_defective / 60, abs=0.1)
    assert 0 <= finding.low <= finding.noise_ratio <= finding.high <= 1
    assert f"About {100 * finding.noise_ratio:.0f} % of the images" in finding.reason
    assert "The evidence of noise is strong" in finding.reason
    # As large a share of the patches is accused as of the images, within bounds.
    share = np.clip(finding.noise_ratio, 0.07, 0.3)
    assert np.mean(scores > limit) == pytest.approx(share, abs=1e-3)
    assert (suspicion[:n_defective] > 1).all()
    assert (suspicion[n_defective:] > 1).mean() < 0.1


def shared_defects(n_defective, seed):
    """Textures of 100 images of which some have one of three defects, nearly the same in each."""
    rng = np.random.RandomState(seed)
    patches = textures(100, seed=seed)
    kinds = 3 * rng.normal(size=(3, 1, 1, 12))
    for image in range(n_defective):
        patches[image, 2:5, 2:5] = kinds[image % 3] + 0.1 * rng.normal(size=(3, 3, 12))
    return patches


@pytest.mark.parametrize("seed", range(2))
def test_a_defect_of_more_images_than_are_neighbors_is_found(seed):
    """Six neighbours of each accuse nothing, so that more are asked."""
    patches = shared_defects(24, seed)
    jury, inspected = asked(patches), np.ones((6, 6), bool)
    verdict = judge_accusations(jury, partial(accuse_jury, jury, inspected))
    assert verdict.n_neighbors == 12
    assert verdict.finding.evidence == "strong"
    assert verdict.finding.reason.endswith("a normal variant must be trusted.")
    few = given(accuse_jury(jury, inspected, [6])[0])
    assert judge_accusations(jury, few).finding.evidence == "none"
    # The limit is one of what the same number of neighbours says of the images.
    model = SupportDiscriminator()
    evidence = model.conclude(jury, inspected)
    images = np.arange(100)
    training = TrainingPatches(
        patches, patches, None, np.zeros(100, bool), images, inspected, evidence
    )
    scores, kept = model.screen(training, None)
    assert_allclose(scores, accuse(jury, patches, images, inspected, 12))
    assert not kept[:24, 3, 3].any()
    assert kept[24:].mean() > kept[:24].mean()


def test_a_rare_variant_is_not_taken_for_noise_by_many_neighbors():
    """Twelve neighbours of each accuse it, but its images are too few to tell it from a defect."""
    patches = shared_defects(24, 0)[::3]
    patches = np.concatenate([patches[:8], shared_defects(0, 0)[8:]])
    assert judge(patches).evidence == "none"


def test_few_images_are_not_asked_for_more_neighbors():
    numbers = []

    def accuse_all(asked_numbers):
        numbers.extend(asked_numbers)
        return np.ones((2, 54, 36))

    judge_accusations(asked(textures(54)), accuse_all)
    assert numbers == [6, 6]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_rare", [0, 4])
def test_what_is_rare_and_not_repeated_is_no_strong_evidence(seed, n_rare):
    """Each has a patch like no other, so none can vouch for it."""
    finding = judge(repeated_defects(60, range(n_rare), seed=seed, n_kinds=60))
    assert finding.evidence in ("none", "weak")
    assert finding.noise_ratio == finding.low == 0
    first = {"none": "No", "weak": "Weak"}[finding.evidence]
    assert finding.reason.startswith(f"{first} evidence of noise: ")


def test_without_any_difference_there_is_no_evidence():
    """All are accused alike, so that nothing can be correlated."""
    scores = np.ones((40, 36))
    scores[:, :3] = 2
    finding, limit, *_ = judge_accusations(asked(textures(40)), given(scores))
    assert limit == np.inf
    assert finding.evidence == "none"
    assert finding.support == finding.deviations == 0


@pytest.mark.parametrize(
    ("n_images", "support", "least", "evidence"),
    [
        (400, 0.4, 0.45, "weak"),
        (90, 0.4, 0.45, "weak"),
        (90, 0.4, 0.0, "strong"),
        (90, 0.5, 0.45, "strong"),
        (36, 0.5, 0.45, "none"),
    ],
)
def test_strong_evidence_takes_support_and_images(n_images, support, least, evidence):
    first, second = np.random.RandomState(0).normal(size=(2, n_images))
    first = (first - first.mean()) / first.std()
    second -= second.mean() + first * (first @ second) / n_images
    rises = support * first + np.sqrt(1 - support**2) * second / second.std()
    before = np.random.RandomState(1).uniform(1, 2, n_images)
    finding, _ = _finding(first, before, before * np.exp(0.1 * rises), least)
    assert finding.support == pytest.approx(support)
    assert finding.evidence == evidence


def assert_unknown(finding, reason):
    assert finding.evidence == "unknown"
    assert reason in finding.reason
    assert_allclose(finding[1:6], [np.nan, 0, 1, np.nan, np.nan])


def test_nobody_is_accused_where_it_cannot_be_told():
    verdict = judge_accusations(asked(textures(10)), given(np.ones((10, 36))))
    assert verdict.limit == np.inf
    assert_allclose(verdict.suspicion, np.zeros(10))


def test_too_few_images():
    assert_unknown(judge(textures(19)), "19 images are too few")
    assert judge(textures(20)).evidence != "unknown"


def test_images_that_are_not_aligned():
    rng = np.random.RandomState(0)
    scene = rng.normal(size=(12, 12, 8))
    for axis in (0, 1):
        scene = sum(np.roll(scene, shift, axis) for shift in range(-2, 3))
    moved = [np.roll(scene, rng.randint(-3, 4, size=2), (0, 1)) for _ in range(30)]
    images = (np.stack(moved) + 0.1 * rng.normal(size=(30, 12, 12, 8))).astype(np.float32)
    assert_unknown(judge(images), "the images are not aligned")
    still = (scene + 0.1 * rng.normal(size=(30, 12, 12, 8))).astype(np.float32)
    assert judge(still).evidence == "none"


def test_copies_of_images():
    assert_unknown(judge(textures(1)[[0] * 30, :4, :4]), "are copies of others")


def test_scale_does_not_matter():
    patches = repeated_defects(60, range(12))
    scores = SupportDiscriminator().fit(patches).outlier_scores_.reshape(60, 64)
    finding, limit, suspicion = judge_accusations(asked(patches), given(scores))[:3]
    scaled = judge_accusations(asked(patches * 1024), given(scores * 4))
    assert scaled.finding.reason == finding.reason
    assert_allclose(scaled.finding[1:6], finding[1:6])
    assert scaled.limit == 4 * limit
    assert_allclose(scaled.suspicion, suspicion)


def test_cut_of_log_normal_scores():
    scores = np.exp(np.random.RandomState(0).normal(1, 0.2, 20_000))
    cut = suspicion_cut(scores, 1.75)
    assert np.mean(scores > cut) == pytest.approx(0.04, abs=0.01)
    # Contamination far away moves it a little only.
    dirty = np.concatenate([scores, np.full(8000, 20.0)])
    assert np.mean(scores > suspicion_cut(dirty, 1.75)) < 0.06


def test_cut_of_few_or_equal_scores():
    assert suspicion_cut(np.array([1.0, 2, 3, 50]), 2.0) == np.inf
    assert suspicion_cut(np.ones(30), 2.0) == pytest.approx(1)
    assert not (np.ones(30) > suspicion_cut(np.ones(30), 2.0)).any()
