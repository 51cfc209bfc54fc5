# SPDX-License-Identifier: BSD-3-Clause
"""Patches that are unusual for their place count for more, where places mean something."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from _references import repeated_defects
from numpy.testing import assert_allclose, assert_array_equal

from skpatch import SoftPatchDetector, load, save
from skpatch.detector.estimator import fitted_state
from skpatch.metrics import image_auroc
from skpatch.persistence.container import read_container, write_container


def aligned(n, seed=0, shape=(8, 8), n_features=16):
    """Images (n, h, w, d) that show the same at the same place, each place with its own spread."""
    rng = np.random.RandomState(7)
    means, spreads = rng.normal(size=(2, *shape, n_features)) * [[[[3]]], [[[1]]]]
    noise = np.random.RandomState(seed).normal(size=(n, *shape, n_features))
    return (means + noise * (0.2 + np.abs(spreads))).astype(np.float32)


def usual_of(detector):
    return fitted_state(detector).bank.usual


def test_scores_are_distances_times_weights():
    """By ten lines: the mean and the variances of each place, of all images."""
    train, test = aligned(40), aligned(6, 1)
    detector = SoftPatchDetector(random_state=0).fit(train)
    assert detector.noise_finding_.evidence == "none"
    bank = detector.memory_bank_.astype(float)
    gaps = np.linalg.norm(test[..., np.newaxis, :] - bank, axis=-1).min(axis=-1)
    variances = train.astype(float).var(axis=0, ddof=1)
    spreads = variances + 0.1 * variances.mean(axis=-1, keepdims=True) + 0.1 * variances.mean()
    squares = np.mean((test - train.mean(axis=0, dtype=float)) ** 2 / spreads, axis=-1)
    maps = gaps * squares**0.25
    # Means are of coordinates with half precision.
    assert_allclose(detector.predict_map(test), maps, rtol=5e-3)
    assert_allclose(detector.score_samples(test), -maps.reshape(6, -1).max(axis=1), rtol=5e-3)


def test_training_images_are_left_out_of_what_is_usual():
    """A new model of the others scores an image nearly as training scores say."""
    train = aligned(41)
    train[11, 2, 3] += 3
    detector = SoftPatchDetector(random_state=0, coreset_size=1.0).fit(train)
    others = np.arange(41) != 11
    without = SoftPatchDetector(random_state=0, coreset_size=1.0).fit(train[others])
    expected = without.score_samples(train[[11]])
    assert_allclose(detector.training_scores_[11], expected, rtol=0.02)
    assert_allclose(detector.score_samples(train[[11]]), expected, rtol=0.02)
    usual, flat = usual_of(detector), train[[11]].reshape(1, 64, -1)
    with_it, without_it = (usual.weights(flat, own)[0, 19] for own in (None, np.array([11])))
    assert without_it > 1.05 * with_it


@pytest.mark.parametrize(
    ("params", "n", "shape"),
    [
        ({"soft_weights": False}, 40, (8, 8)),
        ({"discriminator": None}, 40, (8, 8)),
        ({"discriminator": "lof"}, 40, (8, 8)),
        ({}, 39, (8, 8)),
        ({}, 40, (1, 1)),
    ],
)
def test_where_nothing_is_weighted(params, n, shape):
    detector = SoftPatchDetector(random_state=0, **params).fit(aligned(n, shape=shape))
    assert usual_of(detector) is None


def test_places_that_mean_nothing():
    """Parts in any direction: each image is moved around."""
    rng = np.random.RandomState(0)
    train = aligned(40, shape=(12, 12))
    assert usual_of(SoftPatchDetector(random_state=0).fit(train)) is not None
    moved = np.stack([np.roll(one, rng.randint(-4, 5, 2), (0, 1)) for one in train])
    detector = SoftPatchDetector(random_state=0).fit(moved)
    assert usual_of(detector) is None


def test_it_finds_what_is_unusual_for_its_place_only():
    """A patch that is normal elsewhere is no patch for a quiet place."""
    rng = np.random.RandomState(3)
    loud = np.zeros((8, 8, 1), bool)
    loud[:4] = True
    scale = np.where(loud, 1.0, 0.3)
    train, test = (rng.normal(size=(n, 8, 8, 16)) * scale for n in (60, 80))
    train, test = (x + np.linspace(0, 40, 64).reshape(8, 8, 1) for x in (train, test))
    test[40:, 6, 2] += rng.normal(size=(40, 16)) * 0.9
    scores = {}
    for soft in (True, False):
        detector = SoftPatchDetector(random_state=0, soft_weights=soft, coreset_size=0.2)
        scores[soft] = -detector.fit(train).score_samples(test)
    is_defective = np.arange(80) >= 40
    better, plain = (image_auroc(is_defective, scores[soft]) for soft in (True, False))
    assert better > plain + 0.1


@pytest.mark.parametrize("change", ["saved", "grown", "forgotten", "trusted", "in shards"])
def test_it_follows_what_is_learned(tmp_path, change):
    """Means are those of the images that the model knows, whatever the way to them."""
    images, test = aligned(60), aligned(5, 2)
    detector = SoftPatchDetector(random_state=0).fit(images[:50])
    known = images[:50]
    if change == "saved":
        save(detector, tmp_path / "model.skpatch")
        loaded = load(tmp_path / "model.skpatch")
        assert_array_equal(loaded.predict_map(test), detector.predict_map(test))
        assert_array_equal(loaded.score_samples(known), detector.score_samples(known))
        detector = loaded
    elif change == "grown":
        detector.partial_fit(images[50:])
        known = images
    elif change == "forgotten":
        detector.forget(range(10))
        known = images[10:50]
    elif change == "trusted":
        detector.trust([3])
    else:
        detector.set_params(memory_limit="2M").fit(known)
    usual = usual_of(detector)
    flat = test.reshape(5, 64, -1)
    expected = usual_of(SoftPatchDetector(random_state=0).fit(known)).weights(flat)
    assert_allclose(usual.weights(flat), expected, rtol=5e-3)


def test_noise_is_not_usual():
    """What is taken for noise is left out: repeated defects would be usual where they are."""
    places = np.random.RandomState(0).normal(size=(8, 8, 12)).astype(np.float32) / 2
    train = repeated_defects(60, range(12)) + places
    detector = SoftPatchDetector(random_state=0).fit(train)
    assert detector.noise_finding_.evidence == "strong"
    counted = usual_of(detector).is_counted
    assert_array_equal(counted, (detector.kept_ & trusted(detector)).reshape(60, 64))
    assert 0.05 < (~counted).mean() < 0.5
    # Of an image that the user knows to be normal all counts.
    number = int(np.flatnonzero(~detector.trusted_images_)[0])
    assert usual_of(detector.trust([number])).is_counted[number].all()


def trusted(detector):
    return detector.trusted_images_[:, np.newaxis, np.newaxis]


def changed(path, change):
    """Change the JSON and the arrays of a detector's file."""
    content, stored = read_container(path)
    arrays = dict(stored._arrays)
    change(content["model"], arrays)
    write_container(path, content, arrays)
    return path


def test_files_of_before_score_as_before(tmp_path):
    train, test = aligned(40), aligned(4, 1)
    detector = SoftPatchDetector(random_state=0).fit(train)
    save(detector, tmp_path / "model.skpatch")
    path = changed(tmp_path / "model.skpatch", lambda model, _: model.pop("knows_usual"))
    bank = replace(fitted_state(detector).bank, usual=None)
    assert_array_equal(load(path).predict_map(test), bank.score_patches(test))


@pytest.mark.parametrize(
    ("what", "message"),
    [("jury", "usual at each place"), ("axes", "orthonormal"), ("flag", "neither true nor false")],
)
def test_files_that_say_what_is_usual_wrongly(tmp_path, what, message):
    train = aligned(40, n_features=200)
    save(SoftPatchDetector(random_state=0, projection_dim=None).fit(train), tmp_path / "m.skpatch")

    def change(model, arrays):
        if what == "jury":
            model["updates"]["jury"] = None
        elif what == "axes":
            arrays["jury.axes"] = 10 * arrays["jury.axes"]
        else:
            model["knows_usual"] = "no"

    with pytest.raises(ValueError, match=message):
        load(changed(tmp_path / "m.skpatch", change))


def test_nothing_is_called_unlike_once_nothing_is_usual():
    """Scores with weights are no measure of those without."""
    rng = np.random.RandomState(0)
    spreads = 10 ** rng.uniform(-1.5, 0.5, (20, 20, 1))
    means = 3 * rng.normal(size=(20, 20, 8))
    train, test = (means + spreads * rng.normal(size=(n, 20, 20, 8)) for n in (45, 20))
    detector = SoftPatchDetector(random_state=0).fit(train)
    assert np.isfinite(detector.unlike_limit_)
    detector.forget(range(8))
    assert usual_of(detector) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.score_samples(test)
    with pytest.warns(UserWarning, match="unlike everything"):
        SoftPatchDetector(random_state=0).fit(train).score_samples(test[:, ::-1])
