# SPDX-License-Identifier: BSD-3-Clause
"""The default noise model: PatchCore without evidence of noise, and less of the accused with it."""

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
from _references import outlier_scores, repeated_defects, textures
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score

from skpatch import ExactNeighbors, SoftPatchDetector, load, save
from skpatch.detector.calibration import calibration_scores, conformal_pvalues, score_threshold
from skpatch.detector.estimator import fitted_state
from skpatch.discriminators.support import distance_ratios
from skpatch.persistence.container import read_container, write_container

CLEAN = repeated_defects(60)
# A fifth of the images, which vouch for each other.
NOISY = repeated_defects(60, range(12))


def detector(**parameters):
    return SoftPatchDetector(random_state=0, **parameters)


@cache
def _fitted(evidence):
    train = {
        "none": CLEAN,
        "weak": repeated_defects(60, range(3), n_kinds=2),
        "strong": NOISY,
        "unknown": NOISY[:18],
    }[evidence]
    model = detector().fit(train)
    assert model.noise_finding_.evidence == evidence
    return train, model


def with_evidence(evidence):
    """Training images, and a detector that finds evidence of that strength, to be changed."""
    return deepcopy(_fitted(evidence))


@pytest.fixture(scope="module")
def noisy():
    return with_evidence("strong")[1]


# --- without evidence


def test_without_evidence_it_is_patchcore():
    _, model = with_evidence("none")
    plain = detector(discriminator=None, worst_patches=0.006).fit(CLEAN)
    assert model.noise_finding_.evidence == "none"
    assert model.noise_ratio_ == 0
    assert_array_equal(model.memory_bank_, plain.memory_bank_)
    assert_array_equal(model.memory_source_, plain.memory_source_)
    assert_array_equal(model.memory_weights_, 1)
    assert_array_equal(model.memory_reaches_, 0)
    assert model.kept_.all()
    assert model.trusted_images_.all()
    assert model.n_worst_patches_ == plain.n_worst_patches_
    assert model.coreset_radius_ == plain.coreset_radius_
    test = repeated_defects(30, range(10), seed=9)
    assert_array_equal(model.score_samples(test), plain.score_samples(test))
    assert_array_equal(model.predict_map(test), plain.predict_map(test))
    assert_array_equal(model.training_scores_, plain.training_scores_)
    assert_array_equal(model.calibration_scores_, plain.calibration_scores_)


def test_all_patches_are_scored():
    _, model = with_evidence("none")
    expected = outlier_scores(CLEAN.reshape(60, 64, 12), np.ones((8, 8), bool), 3)
    assert_allclose(model.noise_scores_.reshape(60, 64), expected, rtol=1e-2)


def test_patches_that_are_not_inspected():
    inspected = np.random.RandomState(0).rand(8, 8) < 0.7
    train = np.where(inspected[..., np.newaxis], NOISY, np.nan).astype(np.float32)
    model = detector().fit(train)
    assert np.isnan(model.noise_scores_[:, ~inspected]).all()
    expected = outlier_scores(NOISY[:, inspected], inspected, 3)
    assert_allclose(model.noise_scores_[:, inspected], expected, rtol=1e-2)
    assert not model.kept_[:, ~inspected].any()
    is_accused = ~model.kept_[:, inspected]
    assert is_accused.any()
    assert expected[is_accused].min() > expected[~is_accused].max() * 0.98


# --- with evidence


@pytest.mark.parametrize("n_kinds", [1, 2])
@pytest.mark.parametrize("n_defective", [6, 12, 20])
def test_defects_that_were_trained_on_are_found(n_defective, n_kinds):
    train = repeated_defects(60, range(n_defective), n_kinds=n_kinds)
    model = detector().fit(train)
    assert model.noise_finding_.evidence == "strong"
    assert model.noise_ratio_ == pytest.approx(n_defective / 60, abs=0.1)
    assert model.trusted_images_[:n_defective].mean() < 0.1
    assert model.trusted_images_[n_defective:].mean() > 0.9
    assert len(model.calibration_scores_) == pytest.approx(60 - n_defective, abs=6)
    # The worst patch of a defective image is accused.
    scores = model.noise_scores_.reshape(60, 64)
    worst = scores[:n_defective].argmax(axis=1)
    assert not model.kept_.reshape(60, 64)[np.arange(n_defective), worst].any()

    truth = np.repeat([1, 0], [n_defective, 40])
    test = np.concatenate([train[:n_defective], repeated_defects(40, seed=9)])
    plain = detector(discriminator=None, worst_patches=0.006).fit(train)
    unseen = repeated_defects(n_defective, range(n_defective), seed=5, n_kinds=n_kinds)
    for images in (test, np.concatenate([unseen, test[n_defective:]])):
        found = roc_auc_score(truth, -model.score_samples(images))
        assert found > 0.95
        assert found > roc_auc_score(truth, -plain.score_samples(images)) + 0.02


def farther(finding):
    """How much farther accused patches are than others, by the strength of the evidence."""
    return 1.3 if finding.evidence == "strong" else 1.0


@pytest.mark.parametrize("evidence", ["weak", "strong", "unknown"])
def test_memory_patches_count_from_the_nearest_good_patch_on(evidence):
    train, model = with_evidence(evidence)
    n_images = len(train)
    points = train.reshape(-1, 12)
    is_good = (model.kept_ & model.trusted_images_[:, None, None]).reshape(-1)
    if evidence == "unknown":
        assert is_good.all()
    image = np.repeat(np.arange(n_images), 64)
    distances = cdist(model.memory_bank_, points)
    distances[:, ~is_good] = np.inf
    distances[model.memory_source_[:, :1] == image] = np.inf
    is_bad = ~is_good[model.memory_source_ @ [64, 8, 1]]
    expected = np.where(is_bad, farther(model.noise_finding_), 1) * distances.min(axis=1)
    # The nearest by coordinates of float16.
    assert_allclose(model.memory_reaches_, expected, rtol=5e-3)


def widened(patches):
    """Features of more dimensions than are compared."""
    rng = np.random.RandomState(1)
    wide = patches @ rng.normal(size=(12, 100)) / 10
    rng = np.random.RandomState(len(patches))
    return (wide + 0.1 * rng.normal(size=wide.shape)).astype(np.float32)


def test_of_many_features_the_nearest_along_axes_is_measured():
    model = detector().fit(widened(NOISY))
    plain = detector(discriminator=None, worst_patches=0.006).fit(widened(CLEAN))
    clean = detector().fit(widened(CLEAN))
    test = widened(repeated_defects(10, range(5), seed=4))
    assert clean.noise_finding_.evidence == "none"
    assert_array_equal(clean.score_samples(test), plain.score_samples(test))

    assert model.noise_finding_.evidence == "strong"
    for image in (None, 59):
        if image is not None:
            # From then on only the ratios to distances along the axes are known.
            model.forget([image])
        is_good = (model.kept_ & model.trusted_images_[:, None, None]).reshape(-1)
        distances = cdist(model.memory_bank_, widened(NOISY).reshape(-1, 100))
        distances[:, ~is_good] = np.inf
        distances[model.memory_source_[:, :1] == np.repeat(np.arange(60), 64)] = np.inf
        nearest = distances.min(axis=1)
        is_bad = ~is_good[model.memory_source_ @ [64, 8, 1]]
        ratios = model.memory_reaches_ / nearest / np.where(is_bad, 1.3, 1)
        assert np.median(ratios) == pytest.approx(1, abs=0.01)
        assert ratios.min() > (0.999 if image is None else 0.95)
        assert ratios.max() < 1.2


def test_evidence_that_comes_later_is_measured_in_all_features():
    first, later = widened(CLEAN[:40]), widened(repeated_defects(30, range(10), seed=8))
    model = detector().fit(first)
    assert model.noise_finding_.evidence == "none"
    reaches = model.partial_fit(later).memory_reaches_
    assert model.noise_finding_.evidence == "strong"
    at_once = detector().fit(np.concatenate([first, later])).memory_reaches_
    assert np.median(reaches) == pytest.approx(np.median(at_once), rel=0.03)


def test_the_accused_are_not_selected_where_the_evidence_is_strong(noisy):
    assert noisy.kept_[tuple(noisy.memory_source_.T)].all()
    assert not noisy.kept_.all()
    # But patches of images that are not trusted are.
    assert not noisy.trusted_images_[noisy.memory_source_[:, 0]].all()
    assert len(noisy.memory_bank_) == len(with_evidence("none")[1].memory_bank_)


def test_the_accused_are_selected_where_it_is_weak():
    _, model = with_evidence("weak")
    is_accused = ~model.kept_[tuple(model.memory_source_.T)]
    assert 0 < is_accused.mean() < 1
    assert (model.memory_reaches_[is_accused] > 0).all()


def test_scores_are_reach_distances(noisy):
    test = repeated_defects(10, range(5), seed=4)
    distances = cdist(test.reshape(-1, 12), noisy.memory_bank_)
    expected = np.maximum(distances, noisy.memory_reaches_).min(axis=1).reshape(10, 8, 8)
    assert_allclose(noisy.predict_map(test), expected, rtol=1e-6)
    assert_allclose(-noisy.score_samples(test), expected.max(axis=(1, 2)), rtol=1e-6)
    hard = detector(soft_weights=False).fit(NOISY)
    assert not hard.memory_reaches_.any()
    assert_array_equal(hard.memory_bank_, noisy.memory_bank_)


@pytest.mark.parametrize("noise_threshold", [0.0, 0.25])
def test_share_of_dropped_memory_patches(noise_threshold):
    model = detector(noise_threshold=noise_threshold).fit(NOISY)
    n_selected = int(0.1 * NOISY[..., 0].size)
    n_dropped = (~model.kept_).sum()
    assert n_dropped == pytest.approx(noise_threshold * n_selected, abs=1)
    assert len(model.memory_bank_) == n_selected - n_dropped
    assert model.kept_[tuple(model.memory_source_.T)].all()
    if n_dropped:
        # The most unusual of those that were selected.
        least = model.noise_scores_[~model.kept_].min()
        assert model.noise_scores_[tuple(model.memory_source_.T)].max() <= least


# --- whatever the evidence


def same(one, other, names="memory_bank_ memory_reaches_ noise_scores_ kept_ trusted_images_"):
    for name in names.split():
        assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.noise_finding_ == other.noise_finding_


def test_any_number_of_threads_gives_the_same_bits(noisy):
    same(detector(n_jobs=2).fit(NOISY), noisy)
    same(detector(n_jobs=1).fit(NOISY), noisy)


def test_the_order_of_images_does_not_matter(noisy):
    order = np.random.RandomState(0).permutation(60)
    # All patches are memory patches, since a selection depends on where it starts.
    again = detector(coreset_size=1.0).fit(NOISY[order])
    whole = detector(coreset_size=1.0).fit(NOISY)
    assert_array_equal(again.kept_, whole.kept_[order])
    assert_array_equal(again.trusted_images_, whole.trusted_images_[order])
    test = repeated_defects(10, range(5), seed=4)
    assert_allclose(again.score_samples(test), whole.score_samples(test), rtol=5e-3)


@pytest.mark.parametrize("evidence", ["none", "strong"])
def test_scale_does_not_matter(evidence):
    train, model = with_evidence(evidence)
    scaled = detector().fit(train * 1024)
    assert scaled.noise_finding_.reason == model.noise_finding_.reason
    same_names = ["noise_scores_", "kept_", "trusted_images_", "memory_source_"]
    for name in same_names:
        assert_array_equal(getattr(scaled, name), getattr(model, name), err_msg=name)
    assert_allclose(scaled.memory_reaches_, 1024 * model.memory_reaches_)


def test_declared_images_are_never_accused(noisy):
    for model in (detector().fit(NOISY, trusted=range(12)), deepcopy(noisy).trust(range(12))):
        assert model.kept_[:12].all()
        assert model.trusted_images_[:12].all()
        assert np.isin(range(12), model.memory_source_[:, 0]).any()
        is_declared = model.memory_source_[:, 0] < 12
        assert (model.memory_reaches_[is_declared] == 0).all()
        # What is like them is normal from then on.
        like_them = repeated_defects(10, range(10), seed=5)
        assert (model.score_samples(like_them) > noisy.score_samples(like_them)).mean() > 0.8
        # Of the others those are accused that were before.
        assert_array_equal(model.kept_[12:], noisy.kept_[12:])


def test_shards_find_nearly_the_same(noisy):
    # Not all of them fit in memory at once.
    sharded = detector(memory_limit="900K", coreset_size=380).fit(NOISY)
    assert fitted_state(sharded).screened is None
    found, expected = sharded.noise_finding_, noisy.noise_finding_
    assert found.evidence == expected.evidence
    assert_allclose(found[1:6], expected[1:6], rtol=0.05, atol=0.02)
    assert_allclose(sharded.noise_scores_, noisy.noise_scores_, rtol=2e-2)
    assert np.mean(sharded.kept_ != noisy.kept_) < 0.005
    assert np.mean(sharded.trusted_images_ != noisy.trusted_images_) < 0.05
    assert_allclose(np.median(sharded.memory_reaches_), np.median(noisy.memory_reaches_), rtol=0.1)


def test_what_is_found_is_said(noisy):
    assert noisy.noise_finding_.reason in repr(noisy)
    assert "#" not in repr(detector())


# --- few images, copies, few patches


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        (textures(4, [0]), "4 images are too few"),
        (textures(1)[[0] * 30, :3, :3], "copies"),
        (np.zeros((30, 3, 3, 2), np.float32), "copies"),
    ],
)
def test_where_nothing_can_be_told_nothing_is_accused(train, reason):
    model = detector().fit(train)
    assert model.noise_finding_.evidence == "unknown"
    assert reason in model.noise_finding_.reason
    assert np.isnan(model.noise_ratio_)
    assert model.trusted_images_.all()
    assert model.kept_.all()
    assert np.isfinite(model.score_samples(train)).all()
    # One image may have all memory patches, and nothing to be compared with.
    assert len(model.calibration_scores_) >= len(train) - 1


def test_copies_count_once(noisy):
    with pytest.warns(UserWarning, match="12 of 72 training images are copies"):
        model = detector().fit(np.concatenate([NOISY, NOISY[:12]]))
    assert model.noise_finding_ == noisy.noise_finding_
    assert_array_equal(model.memory_reaches_, noisy.memory_reaches_)
    for name in ("noise_scores_", "kept_", "trusted_images_"):
        assert_array_equal(getattr(model, name)[:60], getattr(noisy, name), err_msg=name)
        assert_array_equal(getattr(model, name)[60:], getattr(noisy, name)[:12], err_msg=name)


def test_a_single_memory_patch():
    """It has no principal axes."""
    patches = np.tile(textures(20), 6)
    model = detector(coreset_size=1).fit(patches)
    assert model.memory_bank_.shape == (1, 72)
    assert np.isfinite(model.score_samples(patches)).all()


def test_a_grid_of_one_patch():
    model = detector().fit(np.random.RandomState(0).normal(size=(50, 4)))
    assert model.noise_finding_.evidence in ("none", "weak")
    assert model.noise_scores_.shape == (50, 1, 1)


def test_two_images():
    model = detector().fit(textures(2))
    assert np.isfinite(model.noise_scores_).all()
    assert np.isfinite(model.memory_reaches_).all()


def test_images_beyond_the_jury_are_judged_by_their_patches(monkeypatch):
    monkeypatch.setattr("skpatch.discriminators.jury._JURY", 30)
    model = detector().fit(NOISY)
    jury = fitted_state(model).evidence.images
    assert len(jury) == 30
    others = np.setdiff1d(np.arange(60), jury)
    assert model.trusted_images_[others].all()
    assert not model.trusted_images_[jury[jury < 12]].any()
    # Those that are defective are accused all the same.
    defective = others[others < 12]
    worst = model.noise_scores_.reshape(60, 64)[defective].argmax(axis=1)
    assert not model.kept_.reshape(60, 64)[defective, worst].any()


# --- updates and files


def test_new_images_are_scored_among_those_of_before(noisy):
    new = repeated_defects(15, range(3), seed=8)
    model = deepcopy(noisy).partial_fit(new)
    assert_array_equal(model.noise_scores_[:60], noisy.noise_scores_)
    points = np.concatenate([NOISY, new]).reshape(75, 64, 12)
    expected = outlier_scores(points, np.ones((8, 8), bool), 3)[60:]
    assert_allclose(model.noise_scores_[60:].reshape(15, 64), expected, rtol=1e-2)


def test_new_images_do_not_change_a_reference_that_they_are_not_in(monkeypatch):
    monkeypatch.setattr("skpatch.discriminators.jury._REFERENCE", 1)
    monkeypatch.setattr("skpatch.discriminators.jury._JURY", 25)
    model = detector().fit(NOISY)
    before = fitted_state(model).evidence
    model.partial_fit(repeated_defects(1, seed=8))
    evidence = fitted_state(model).evidence
    if 60 not in evidence.images:
        assert evidence is before
    assert_array_equal(model.noise_scores_[:60], detector().fit(NOISY).noise_scores_)


def test_forgetting_the_defects_leaves_no_evidence():
    _, model = with_evidence("strong")
    model.forget(range(12))
    assert model.noise_finding_.evidence == "none"
    assert_array_equal(model.memory_reaches_, 0)


def test_defects_that_come_later_are_accused():
    model = detector().fit(CLEAN[:40])
    assert model.noise_finding_.evidence == "none"
    more = repeated_defects(30, range(10), seed=8)
    model.partial_fit(more)
    assert model.noise_finding_.evidence == "strong"
    assert model.trusted_images_[40:50].mean() < 0.2
    assert not model.kept_[40:50].all(axis=(1, 2)).any()


@pytest.mark.parametrize("evidence", ["none", "weak", "strong", "unknown"])
def test_saved_and_loaded(evidence, tmp_path):
    train, model = with_evidence(evidence)
    save(model, tmp_path / "model.skpatch")
    loaded = load(tmp_path / "model.skpatch")
    names = "memory_bank_ memory_reaches_ noise_scores_ kept_ trusted_images_ training_scores_"

    def assert_alike():
        for name in names.split():
            assert_array_equal(getattr(loaded, name), getattr(model, name), err_msg=name)
        assert loaded.noise_finding_.reason == model.noise_finding_.reason
        assert loaded.noise_finding_.evidence == model.noise_finding_.evidence
        assert_array_equal(loaded.noise_finding_[1:6], model.noise_finding_[1:6])

    assert_alike()
    for method, argument in [
        ("trust", [len(train) - 1]),
        ("partial_fit", repeated_defects(10, [1], seed=8)),
        ("forget", [1, 5]),
        ("trust", [0, 3]),
    ]:
        for one in (model, loaded):
            getattr(one, method)(argument)
        assert_alike()


@pytest.mark.parametrize("coreset_size", [0.1, 1.0])
def test_models_of_before_score_but_cannot_be_updated(coreset_size, tmp_path):
    """They have scored selected patches only, and by another measure."""
    path = tmp_path / "model.skpatch"
    model = detector(coreset_size=coreset_size).fit(NOISY)
    save(model, path)
    content, stored = read_container(path)
    arrays = {name: array for name, array in stored._arrays.items() if name != "accused"}
    arrays["noise_scores_"] = np.full_like(model.noise_scores_, np.nan)
    for source in (model.memory_source_, fitted_state(model).screened.source):
        arrays["noise_scores_"][tuple(source.T)] = 0.7
    if coreset_size == 1.0:
        arrays["noise_scores_"][:] = 0.7
    without_finding(content)
    write_container(path, content, arrays)
    loaded = load(path)
    assert loaded.noise_finding_ is None
    assert np.isnan(loaded.noise_ratio_)
    test = repeated_defects(10, range(5), seed=4)
    assert_array_equal(loaded.score_samples(test), model.score_samples(test))
    for update, argument in [
        (loaded.partial_fit, test),
        (loaded.forget, [0]),
        (loaded.trust, [0]),
    ]:
        with pytest.raises(ValueError, match="fit again"):
            update(argument)
    assert_array_equal(loaded.score_samples(test), model.score_samples(test))


def without_finding(content):
    """Remove a finding wherever it is in the JSON of a file."""
    if isinstance(content, dict):
        content.pop("finding", None)
        for value in content.values():
            without_finding(value)


# --- the parts


def test_distance_ratios():
    rng = np.random.RandomState(0)
    memory, witnesses = rng.normal(size=(2, 300, 5)).astype(np.float32)
    witnesses[7] = memory[7]
    along = np.linalg.norm((memory - witnesses)[:, :3], axis=1).astype(float)
    expected = np.linalg.norm(memory - witnesses, axis=1) / np.where(along > 0, along, 1)
    expected[7] = 1
    assert_allclose(distance_ratios(memory, witnesses, along), expected, rtol=1e-5)


def test_a_search_that_knows_no_reaches():
    class Plain(BaseEstimator):
        def fit(self, X):
            self.search_ = ExactNeighbors().fit(X)
            return self

        def kneighbors(self, *arguments):
            return self.search_.kneighbors(*arguments)

    model = detector(neighbors=Plain())
    with pytest.raises(ValueError, match="has no parameter `reaches` of fit"):
        model.fit(NOISY)
    test = repeated_defects(5, [0], seed=4)
    found = model.set_params(soft_weights=False).fit(NOISY).score_samples(test)
    exact = detector(neighbors="exact", soft_weights=False)
    assert_array_equal(found, exact.fit(NOISY).score_samples(test))
    # Without evidence there are none.
    assert len(detector(neighbors=Plain()).fit(CLEAN).memory_bank_) > 0


class TestCalibration:
    def test_as_many_scores_as_images_are_defective_are_left_out(self):
        known = np.arange(-40.0, 0)
        scores = np.random.RandomState(0).permutation([*known, np.nan])
        for noise_ratio, n_out in ((0.25, 10), (0.05, 2), (0.03, 1), (0.0, 0)):
            assert_array_equal(calibration_scores(scores, noise_ratio), known[n_out:])
        assert_array_equal(calibration_scores(scores, 0.999), [-1])
        assert_array_equal(calibration_scores(np.array([np.nan]), 0.5), [])

    def test_no_more_than_surely_are(self):
        model = detector().fit(repeated_defects(150, range(30)))
        low, ratio = model.noise_finding_.low, model.noise_ratio_
        assert 0.1 < low <= ratio
        assert len(model.calibration_scores_) == 150 - round(150 * low)
        assert len(detector().fit(CLEAN).calibration_scores_) == len(CLEAN)

    def test_pvalues_by_hand(self):
        calibration = np.array([-4.0, -3, -2, -1])
        found = conformal_pvalues(calibration, np.array([-5.0, -3, -2.5, 0]))
        assert_allclose(found, [1 / 5, 3 / 5, 3 / 5, 5 / 5])

    def test_pvalues_of_new_normal_images(self):
        model = detector().fit(repeated_defects(150, range(15)))
        pvalues = model.predict_pvalue(repeated_defects(150, seed=1))
        for level in (0.05, 0.1, 0.25, 0.5):
            assert np.mean(pvalues <= level) < level + 0.05
        # For training images the bank is a little sparser, so new ones look a little better.
        assert np.mean(pvalues <= 0.5) > 0.25
        defects = repeated_defects(150, range(150), seed=2)
        assert np.median(model.predict_pvalue(defects)) < 0.05

    def test_contamination_after_fit(self, noisy):
        changed = deepcopy(noisy).set_params(contamination=0.2)
        fitted = detector(contamination=0.2).fit(NOISY)
        assert changed.offset_ == fitted.offset_
        n = len(fitted.calibration_scores_)
        expected = fitted.calibration_scores_[int(0.2 * (n + 1)) - 1]
        assert fitted.offset_ == pytest.approx(expected, rel=1.1e-3)

    def test_nothing_to_calibrate_with(self):
        assert np.isnan(score_threshold(np.array([]), 0.1))
