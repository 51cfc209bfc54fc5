# SPDX-License-Identifier: BSD-3-Clause
import pickle
from copy import deepcopy

import numpy as np
import pytest
from _references import map_without, textures
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import make_contaminated_images
from skpatch.detector.estimator import fitted_state
from skpatch.detector.state import Settings


@pytest.fixture(scope="module")
def train():
    return textures(120, range(0, 120, 10))


@pytest.fixture(scope="module")
def fitted(train):
    """Function that returns a detector fitted to the first images, for the test to change."""
    detectors = {}

    def fitted(n_images=120, **parameters):
        key = n_images, *parameters.items()
        if key not in detectors:
            detectors[key] = SoftPatchDetector(**parameters, random_state=0).fit(train[:n_images])
        return deepcopy(detectors[key])

    return fitted


TEST = textures(80, range(40), seed=5)
TRUTH = np.repeat([1, 0], 40)
SETTINGS = {
    "default": {},
    "PatchCore": {"discriminator": None},
    "LOF": {"discriminator": "lof"},
    "share": {"noise_threshold": 0.1, "soft_weights": False},
}


def assert_close(updated, refitted):
    """White noise is the hardest: another selection is as good, and shares few patches with it."""
    found, expected = (-model.score_samples(TEST) for model in (updated, refitted))
    assert spearmanr(found, expected).statistic > 0.9
    assert np.median(np.abs(found / expected - 1)) < 0.07
    aurocs = [roc_auc_score(TRUTH, scores) for scores in (found, expected)]
    assert aurocs[0] == pytest.approx(aurocs[1], abs=0.01)
    assert updated.offset_ == pytest.approx(refitted.offset_, rel=0.1)
    assert len(updated.memory_bank_) == pytest.approx(len(refitted.memory_bank_), rel=0.1)


@pytest.mark.parametrize("name", SETTINGS)
def test_partial_fit_is_close_to_a_fit_on_all(train, fitted, name):
    model = fitted(60, **SETTINGS[name])
    for first in (60, 90):
        model.partial_fit(train[first : first + 30])
    refitted = fitted(**SETTINGS[name])
    assert_close(model, refitted)
    assert (model.trusted_images_ == refitted.trusted_images_).mean() > 0.95


@pytest.mark.parametrize("name", SETTINGS)
def test_forget_is_close_to_a_fit_on_the_rest(train, fitted, name):
    model = fitted(**SETTINGS[name])
    rejected = np.arange(0, 60, 10)
    refitted = SoftPatchDetector(**SETTINGS[name], random_state=0)
    assert_close(model.forget(rejected), refitted.fit(np.delete(train, rejected, axis=0)))


@pytest.mark.parametrize("discriminator", [None, "support"])
def test_nothing_is_lost_where_all_patches_are_in_the_bank(train, discriminator):
    parameters = {"discriminator": discriminator, "coreset_size": 1.0, "random_state": 0}
    model = SoftPatchDetector(**parameters).fit(train[:50]).partial_fit(train[50:])
    refitted = SoftPatchDetector(**parameters).fit(train)
    np.testing.assert_allclose(
        model.score_samples(TEST),
        refitted.score_samples(TEST),
        rtol=5e-2 if discriminator else 1e-6,
    )
    model.forget(range(20))
    refitted.fit(train[20:])
    np.testing.assert_allclose(
        model.score_samples(TEST),
        refitted.score_samples(TEST),
        rtol=5e-2 if discriminator else 1e-6,
    )


def test_the_first_partial_fit_is_a_fit(train, fitted):
    model = SoftPatchDetector(random_state=0).partial_fit(train)
    np.testing.assert_array_equal(model.score_samples(TEST), fitted().score_samples(TEST))


@pytest.mark.parametrize(("coreset_size", "expected"), [(0.1, 432), ("auto", 432), (200, 200)])
def test_size_of_the_bank(train, coreset_size, expected):
    model = SoftPatchDetector(discriminator=None, coreset_size=coreset_size, random_state=0)
    model.fit(train[:60]).partial_fit(train[60:])
    assert len(model.memory_bank_) == expected


@pytest.mark.parametrize(
    ("coreset_size", "n_images", "expected"),
    [
        *(("auto", 1, 78), ("auto", 200, 15_680), ("auto", 256, 20_000), ("auto", 10**6, 20_000)),
        *((0.1, 1000, 78_400), (50_000, 1000, 50_000), (1e-9, 1, 1)),
    ],
)
def test_the_bank_of_a_large_set_is_bounded(coreset_size, n_images, expected):
    settings = Settings.of(SoftPatchDetector(coreset_size=coreset_size))
    assert settings.bank_size(n_images, 784) == expected


def test_no_patch_is_farther_from_the_bank_than_the_radius(train):
    model = SoftPatchDetector(discriminator=None, coreset_size=150, random_state=0)
    radii = [model.fit(train[:60]).coreset_radius_]
    for first in (60, 90):
        radii.append(model.partial_fit(train[first : first + 30]).coreset_radius_)
        seen = train[: first + 30].reshape(-1, 12)
        actual = cdist(seen, model.memory_bank_).min(axis=1).max()
        assert actual <= radii[-1] * (1 + 1e-6)
    assert radii == sorted(radii)


def test_what_is_known_of_each_image(train, fitted):
    model = fitted(60).partial_fit(train[60:])
    assert model.kept_.shape == model.noise_scores_.shape == (120, 6, 6)
    assert len(model.training_scores_) == len(model.trusted_images_) == 120
    # The memory patches are where their source says.
    np.testing.assert_array_equal(train[tuple(model.memory_source_.T)], model.memory_bank_)
    assert model.kept_[tuple(model.memory_source_.T)].all()
    # Earlier images are scored by their worst patches, without themselves.
    for image in (0, 7, 59, 60, 119):
        exact = map_without(model, train[image], image).max()
        assert -model.training_scores_[image] == pytest.approx(exact, rel=1e-5)


def test_forgotten_images(fitted):
    model = fitted()
    before = model.calibration_scores_
    model.forget([0, 10]).forget(10).forget(np.array([20]))
    forgotten = np.isin(np.arange(120), [0, 10, 20])
    np.testing.assert_array_equal(model.forgotten_images_, forgotten)
    assert not np.isin(model.memory_source_[:, 0], [0, 10, 20]).any()
    assert not model.kept_[forgotten].any()
    assert not model.trusted_images_[forgotten].any()
    np.testing.assert_array_equal(np.isnan(model.training_scores_), forgotten)
    assert len(model.calibration_scores_) <= len(before)
    # Numbers go on after those forgotten.
    model.partial_fit(textures(10, seed=8))
    assert len(model.forgotten_images_) == 130
    assert model.memory_source_[:, 0].max() >= 120
    assert not np.isin(model.memory_source_[:, 0], [0, 10, 20]).any()


def test_a_forgotten_defect_is_found_again():
    """The same defect in so many images that they vouch for each other."""
    train, defect = textures(60), 3 * np.ones(12, np.float32)
    train[:25, 2, 2] = defect + textures(25, seed=3)[:, 0, 0]
    model = SoftPatchDetector(discriminator=None, random_state=0).fit(train)
    new = textures(2, seed=4)
    new[0, 2, 2] = defect
    np.testing.assert_array_equal(model.predict(new), [1, 1])
    np.testing.assert_array_equal(model.forget(range(25)).predict(new), [-1, 1])


def test_what_was_rare_becomes_normal():
    """New images that all have what was noise are compared with each other too."""
    train = textures(60)
    variant = np.full(12, 3, np.float32)
    train[:5, 3, 3] = variant
    model = SoftPatchDetector(random_state=0).fit(train)
    assert not model.kept_[:5, 3, 3].any()
    more = textures(60, seed=3)
    more[:, 3, 3] = variant + 0.3 * textures(60, seed=4)[:, 0, 0]
    model.partial_fit(more)
    assert model.kept_[60:, 3, 3].mean() > 0.9


def test_the_jury_does_not_depend_on_the_order_of_arrival(train, monkeypatch):
    monkeypatch.setattr("skpatch.discriminators.jury._JURY", 20)
    whole = SoftPatchDetector(random_state=0).fit(train)
    parts = SoftPatchDetector(random_state=0).fit(train[:50]).partial_fit(train[50:])
    jury = fitted_state(whole).evidence.images
    np.testing.assert_array_equal(fitted_state(parts).evidence.images, jury)
    assert len(jury) == 20
    with pytest.raises(ValueError, match="too many of the images that support others"):
        whole.forget(jury[1:])


def test_wrong_images(train):
    model = SoftPatchDetector(random_state=0).fit(train[:20])
    with pytest.raises(ValueError, match="contains 20, but the model was trained on 20 images"):
        model.forget([3, 20])
    with pytest.raises(ValueError, match="contains -1"):
        model.forget(-1)
    with pytest.raises(ValueError, match="must be integers"):
        model.forget([0.5])
    with pytest.raises(ValueError, match=r"a pipeline of skpatch.make_pipeline knows names"):
        model.forget(["a.png"])
    with pytest.raises(ValueError, match="at least 2 images"):
        model.forget(range(19))
    assert not model.forgotten_images_.any()
    with pytest.raises(ValueError, match="patch grid"):
        model.partial_fit(train[:2, :3])


def test_a_single_new_image(train, fitted):
    model = fitted(60)
    model.partial_fit(train[60:61])
    assert len(model.training_scores_) == 61
    assert np.isfinite(model.training_scores_).all()


def test_with_a_projection(train):
    wide = np.tile(train, 3) + 0
    model = SoftPatchDetector(projection_dim=16, random_state=0).fit(wide[:60])
    model.partial_fit(wide[60:]).forget([0])
    refitted = SoftPatchDetector(projection_dim=16, random_state=0).fit(wide[1:])
    test = np.tile(TEST, 3)
    found = spearmanr(model.score_samples(test), refitted.score_samples(test)).statistic
    assert found > 0.9


def test_after_pickling(train, fitted):
    model = fitted(60)
    restored = pickle.loads(pickle.dumps(model))
    scores = [m.partial_fit(train[60:]).forget([3]).score_samples(TEST) for m in (model, restored)]
    np.testing.assert_array_equal(*scores)


def test_in_a_pipeline():
    data = make_contaminated_images(n_normal=36, n_defective=4, image_size=64, random_state=0)
    model = make_pipeline(PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0))
    model.partial_fit(data.images[:30]).partial_fit(data.images[30:])
    audit = model.audit(data.images)
    np.testing.assert_array_equal(audit.scores, model[-1].training_scores_)
    rejected = np.flatnonzero(data.labels)
    assert set(audit.ranking[:4]) == set(rejected)
    audit = model.forget(rejected).audit(data.images)
    assert set(audit.ranking[-4:]) == set(rejected)
    # They are gone, and are no noise that was found.
    assert not audit.removed[rejected].any()
    assert not audit.n_removed[rejected].any()
    with pytest.raises(ValueError, match="An audit needs the training images, in their order"):
        model.audit(data.images[::-1])


@pytest.mark.parametrize("change", ["partial_fit", "forget", "trust"])
@pytest.mark.parametrize(("before", "now"), [(1, 9), (9, 1), ("auto", 0.5)])
def test_images_are_not_scored_by_more_patches_than_are_known_of_them(
    train, fitted, change, before, now
):
    detector = fitted(worst_patches=before)
    scores = detector.training_scores_.copy()
    argument = train[:2] if change == "partial_fit" else [3]
    with pytest.raises(ValueError, match="the model was fitted to average"):
        getattr(detector.set_params(worst_patches=now), change)(argument)
    np.testing.assert_array_equal(detector.training_scores_, scores)
