# SPDX-License-Identifier: BSD-3-Clause
"""Discriminators of a user's own: what a detector asks of them, before and after the selection."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from skpatch import SoftPatchDetector, SupportDiscriminator, load, save
from skpatch.discriminators import NoiseDiscriminator, Verdict


class Crowd(NoiseDiscriminator):
    """Far from the median patch before the selection; then, selected patches of crowded images.

    What it collects is the largest feature of each image.
    """

    worst_patches = 3
    recognizes_training_images = True

    def __init__(self, *, most=4):
        self.most = most

    def score_patches(self, patches):
        gaps = np.linalg.norm(patches - np.median(patches, axis=0), axis=-1)
        return gaps / np.median(gaps)

    def witnesses(self, images):
        return images

    def collect(self, evidence, patches, images):
        found = dict(zip(images.tolist(), patches.max(axis=(1, 2, 3)).tolist(), strict=True))
        return {**(evidence or {}), **found}

    def judge(self, evidence, selection, threshold):
        numbers, counts = np.unique(selection.source[:, 0], return_counts=True)
        trusted = np.ones(selection.n_images, bool)
        trusted[numbers[counts > self.most]] = False
        return Verdict(
            is_noise=~trusted[selection.source[:, 0]],
            weights=np.ones(len(selection.source)),
            is_trusted=trusted,
            noise_ratio=float(np.mean(~trusted)),
            reaches=np.array([evidence[number] for number in selection.source[:, 0]]),
        )

    def dismiss(self, evidence, images):
        return {number: value for number, value in evidence.items() if number not in images}


@pytest.fixture(scope="module")
def crowd(patches):
    return SoftPatchDetector(discriminator=Crowd(), noise_threshold=0.2, random_state=0).fit(
        patches
    )


def test_both_stages(patches, crowd):
    screened = Crowd().fit(patches).outlier_scores_
    is_kept = screened <= np.quantile(screened, 0.8)
    np.testing.assert_array_equal(crowd.noise_scores_, screened)
    numbers, counts = np.unique(crowd.memory_source_[:, 0], return_counts=True)
    assert counts.max() <= 4
    assert 0 < crowd.trusted_images_.sum() < len(patches)
    assert crowd.trusted_images_[numbers].all()
    # The first stage drops patches of all images, the second all selected ones of some.
    assert not crowd.kept_[~is_kept].any()
    assert (crowd.kept_ != is_kept).any()
    largest = patches.max(axis=(1, 2, 3))
    np.testing.assert_allclose(crowd.memory_reaches_, largest[crowd.memory_source_[:, 0]])
    assert crowd.n_worst_patches_ == 3
    assert len(crowd.calibration_scores_) < len(patches)


def test_training_images_are_recognised(patches, crowd):
    np.testing.assert_allclose(crowd.score_samples(patches), crowd.training_scores_)


def test_updates_go_on_from_what_was_collected(patches, queries, crowd):
    model = clone(crowd).fit(patches).partial_fit(queries).forget([3, 41])
    assert len(model.training_scores_) == len(patches) + len(queries)
    assert not np.isin(model.memory_source_[:, 0], [3, 41]).any()
    largest = np.concatenate([patches, queries]).max(axis=(1, 2, 3))
    np.testing.assert_allclose(model.memory_reaches_, largest[model.memory_source_[:, 0]])


def test_shards_give_all_images(patches):
    images = np.tile(patches, (8, 6, 4, 1)) + np.random.RandomState(0).normal(
        size=(320, 30, 24, 16)
    ).astype(np.float32)
    settings = {"coreset_size": 200, "memory_limit": "12M", "random_state": 0}
    model = SoftPatchDetector(discriminator=Crowd(most=2), **settings).fit(images)
    assert model.discriminator_ is None
    largest = images.max(axis=(1, 2, 3))
    np.testing.assert_allclose(model.memory_reaches_, largest[model.memory_source_[:, 0]])


def test_another_model_cannot_go_on_without_evidence(patches, queries):
    model = SoftPatchDetector(discriminator="lof", random_state=0).fit(patches)
    model.set_params(discriminator=Crowd())
    with pytest.raises(ValueError, match=r"discriminator=Crowd\(\) needs what another"):
        model.partial_fit(queries)


class Concluding(Crowd):
    """Scores patches in units of a largest feature, which follows from all images."""

    def conclude(self, evidence, inspected):
        assert inspected.all()
        return {**evidence, -1: max(evidence.values())}

    def collect(self, evidence, patches, images):
        return super().collect(dismiss_conclusion(evidence), patches, images)

    def screen(self, training, threshold):
        scores = np.abs(training.patches).max(axis=-1) / training.evidence[-1]
        return scores, np.ones(scores.shape, bool)


def dismiss_conclusion(evidence):
    return {number: value for number, value in (evidence or {}).items() if number >= 0}


@pytest.mark.parametrize("memory_limit", [None, 200_000])
def test_conclusions_from_all_images_come_before_the_scores(patches, queries, memory_limit):
    settings = {"coreset_size": 50, "memory_limit": memory_limit, "random_state": 0}
    model = SoftPatchDetector(discriminator=Concluding(), **settings).fit(patches)
    expected = np.abs(patches).max(axis=-1)
    np.testing.assert_allclose(model.noise_scores_, expected / patches.max())
    more = np.concatenate([queries, queries + 9])
    model.partial_fit(more)
    # Those of before stay as they were.
    np.testing.assert_allclose(model.noise_scores_[:40], expected / patches.max())
    expected = np.abs(more).max(axis=-1) / max(more.max(), patches.max())
    np.testing.assert_allclose(model.noise_scores_[40:], expected)


class Trial(NoiseDiscriminator):
    """Keeps the worst patch out if images look more unusual to a bank without it."""

    def score_patches(self, patches):
        return np.linalg.norm(patches, axis=-1)

    def screen(self, training, threshold):
        scores = self.fit(training.patches).outlier_scores_
        is_kept = scores < scores.max()
        self.banks_ = training.trial_bank(np.ones_like(is_kept)), training.trial_bank(is_kept)
        self.means_ = [bank.score_images(training.features)[0].mean() for bank in self.banks_]
        return scores, is_kept


def test_trial_banks(patches):
    model = SoftPatchDetector(discriminator=Trial(), coreset_size=50, random_state=0).fit(patches)
    whole, without = model.discriminator_.banks_
    norms = np.linalg.norm(patches, axis=-1)
    worst = np.unravel_index(norms.argmax(), norms.shape)
    assert (whole.source == worst).all(axis=1).any()
    assert not (without.source == worst).all(axis=1).any()
    assert len(whole.patches) == len(without.patches) == 50
    np.testing.assert_array_equal(whole.patches, patches[tuple(whole.source.T)])
    low, high = model.discriminator_.means_
    assert low < high


def test_support_by_name_and_as_object(patches, queries, tmp_path):
    named = SoftPatchDetector(noise_threshold=0.1, random_state=0).fit(patches)
    for given in (
        SoftPatchDetector(discriminator=SupportDiscriminator(noise_threshold=0.1), random_state=0),
        # The detector's own threshold comes first.
        SoftPatchDetector(
            discriminator=SupportDiscriminator(noise_threshold=0.5),
            noise_threshold=0.1,
            random_state=0,
        ),
    ):
        given.fit(patches)
        np.testing.assert_array_equal(given.kept_, named.kept_)
        np.testing.assert_array_equal(given.score_samples(queries), named.score_samples(queries))
        save(given, tmp_path / "model.skpatch")
        loaded = load(tmp_path / "model.skpatch")
        assert repr(loaded.discriminator) == repr(given.discriminator)
        np.testing.assert_array_equal(
            loaded.partial_fit(queries).training_scores_,
            named.__class__(**named.get_params(deep=False))
            .fit(patches)
            .partial_fit(queries)
            .training_scores_,
        )


def test_support_can_be_searched(patches):
    labels = np.where(np.arange(len(patches)) % 10 == 0, -1, 1)
    detector = SoftPatchDetector(discriminator=SupportDiscriminator(), random_state=0)
    search = GridSearchCV(
        detector, {"discriminator__noise_threshold": [0.0, 0.3]}, scoring="roc_auc", cv=2
    ).fit(patches, labels)
    assert search.best_params_["discriminator__noise_threshold"] in (0.0, 0.3)


@parametrize_with_checks([SupportDiscriminator()])
def test_support_is_an_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize("noise_ratio", [1.0, -0.1, np.nan])
def test_a_share_that_leaves_no_image(patches, noise_ratio):
    class Sure(Crowd):
        def judge(self, evidence, selection, threshold):
            verdict = super().judge(evidence, selection, threshold)
            return verdict._replace(noise_ratio=noise_ratio)

    model = SoftPatchDetector(discriminator=Sure(), noise_threshold=0.2, random_state=0)
    with pytest.raises(ValueError, match=f"noise_ratio must be in .* it is {noise_ratio}"):
        model.fit(patches)
