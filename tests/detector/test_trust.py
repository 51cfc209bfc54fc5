# SPDX-License-Identifier: BSD-3-Clause
"""Training images that the user declares normal: a rare variant, which nothing else can tell."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skpatch import SoftPatchDetector, load, save
from skpatch.bank.coreset import greedy_coreset
from skpatch.bank.gpu import greedy_coreset_on
from skpatch.detector.calibration import calibration_scores
from skpatch.detector.estimator import fitted_state
from skpatch.discriminators import NoiseDiscriminator
from skpatch.persistence.container import read_container, write_container

VARIANT = np.arange(0, 60, 10)


def images(n, variant=(), seed=0, spread=1.0):
    """Features (n, 4, 4, 8), of which some images have another object in the middle."""
    rng = np.random.RandomState(seed)
    features = rng.normal(size=(n, 4, 4, 8)).astype(np.float32)
    variant = np.asarray(variant, int)
    features[variant, 1:3, 1:3] = 8 + spread * features[variant, 1:3, 1:3]
    return features


# To both those of the variant are noise in any case, and they keep only some of the patches that
# they drop.
SPREAD = {"support": 0.5, "lof": 0.5}
TRAIN = {name: images(60, VARIANT, 0, spread) for name, spread in SPREAD.items()}
NEW = {name: images(20, range(10), 1, spread) for name, spread in SPREAD.items()}
MIDDLE = (slice(None), slice(1, 3), slice(1, 3))


def detector(discriminator="support", **parameters):
    return SoftPatchDetector(discriminator=discriminator, random_state=0, **parameters)


def declared(numbers, n=60):
    return np.isin(np.arange(n), numbers)


@pytest.fixture(params=SPREAD)
def discriminator(request):
    return request.param


@pytest.fixture
def train(discriminator):
    return TRAIN[discriminator]


@pytest.fixture
def new(discriminator):
    return NEW[discriminator]


def assert_variant_is_normal(model):
    """The variant among new images is called normal, and a defect still is not."""
    labels = model.predict(NEW[model.discriminator])
    assert (labels[:10] == 1).sum() >= 6
    # Images of before an update are scored by their former worst patches, thus too normal.
    assert (labels[10:] == 1).sum() >= 6
    defective = images(10, seed=2)
    defective[:, 1:3, 1:3] -= 8
    assert (model.predict(defective) == -1).all()


def test_without_a_word_the_variant_is_noise(discriminator, train, new):
    model = detector(discriminator).fit(train)
    assert (model.predict(new)[:10] == -1).sum() >= 9
    assert model.kept_[VARIANT][MIDDLE].mean() < 0.75
    assert not model.declared_normal_.any()


def test_trust_brings_the_variant_back(discriminator, train):
    model = detector(discriminator).fit(train)
    assert not model.kept_[VARIANT].all()
    assert_variant_is_normal(model.trust(VARIANT))
    assert_array_equal(model.declared_normal_, declared(VARIANT))
    assert model.trusted_images_[VARIANT].all()
    assert model.kept_[VARIANT].all()
    is_own = np.isin(model.memory_source_[:, 0], VARIANT)
    assert is_own.any()
    assert (model.memory_weights_[is_own] == 1).all()
    assert (model.memory_reaches_[is_own] == 0).all()
    assert np.isin(model.training_scores_[VARIANT], model.calibration_scores_).all()


def test_trusted_in_fit(discriminator, train):
    model = detector(discriminator).fit(train, trusted=VARIANT)
    assert_variant_is_normal(model)
    assert_array_equal(model.declared_normal_, declared(VARIANT))
    assert model.kept_[VARIANT].all()
    assert model.trusted_images_[VARIANT].all()


def test_trusted_in_a_fit_in_shards(discriminator, train):
    # As small a limit as the fit can do with.
    model = detector(discriminator, memory_limit="160K")
    assert_variant_is_normal(model.fit(train, trusted=VARIANT))
    assert model.kept_[VARIANT].all()


def test_a_fit_in_shards_knows_no_screened_patches():
    model = detector("lof", memory_limit="160K").fit(TRAIN["lof"])
    assert fitted_state(model).screened is None
    with pytest.raises(ValueError, match=r"image.* 0, .* fitted in shards.*trusted=\[0, 10"):
        model.trust(VARIANT)
    assert not model.declared_normal_.any()
    whole = int(np.flatnonzero(model.kept_.all(axis=(1, 2)))[0])
    assert model.trust([whole]).declared_normal_[whole]


def test_a_single_image_is_enough():
    features, new = images(60, [7]), NEW["lof"]
    model = detector("lof").fit(features)
    assert model.predict(new)[:10].max() == -1
    # Alone in its calibration, it raises no threshold: its neighbours in the bank are its own.
    assert (model.trust([7]).predict_map(new)[:10][MIDDLE] < 8).all()


def test_partial_fit_remembers(discriminator, train):
    model = detector(discriminator).fit(train).trust(VARIANT)
    model.partial_fit(images(30, seed=3))
    assert_array_equal(model.declared_normal_, declared(VARIANT, 90))
    assert_variant_is_normal(model)


def test_screened_patches_of_updates_come_back_too():
    more = images(30, range(5), 3, SPREAD["lof"])
    model = detector("lof").fit(TRAIN["lof"]).partial_fit(more)
    new = 60 + np.arange(5)
    assert not model.kept_[new][MIDDLE].any()
    assert_variant_is_normal(model.trust([*VARIANT, *new]))
    assert np.isin(new, model.memory_source_[:, 0]).any()


def test_forget_wins(discriminator, train):
    model = detector(discriminator).fit(train).trust(VARIANT).forget(VARIANT[:2])
    assert_array_equal(model.declared_normal_, declared(VARIANT[2:]))
    assert not model.trusted_images_[VARIANT[:2]].any()
    assert not model.kept_[VARIANT[:2]].any()
    assert not np.isin(fitted_state(model).screened.source[:, 0], VARIANT[:2]).any()
    with pytest.raises(ValueError, match="images contains 0, which was forgotten"):
        model.trust([0])


def test_trusting_twice_is_trusting_once(discriminator, train, new):
    once = detector(discriminator).fit(train).trust(VARIANT)
    twice = detector(discriminator).fit(train).trust(VARIANT[::-1]).trust(VARIANT[2:])
    assert_array_equal(twice.score_samples(new), once.score_samples(new))
    assert_array_equal(twice.calibration_scores_, once.calibration_scores_)


def test_saved_and_loaded(discriminator, train, new, tmp_path):
    model = detector(discriminator).fit(train).trust(VARIANT[:3])
    save(model, tmp_path / "model.skpatch")
    loaded = load(tmp_path / "model.skpatch")
    assert_array_equal(loaded.declared_normal_, model.declared_normal_)
    for one in (loaded, model):
        one.trust(VARIANT)
    assert_array_equal(loaded.score_samples(new), model.score_samples(new))


def test_numbers_that_do_not_exist():
    with pytest.raises(ValueError, match="trusted contains 60, but"):
        detector().fit(TRAIN["support"], trusted=[60])
    with pytest.raises(ValueError, match="trusted must be integers"):
        detector().fit(TRAIN["support"], trusted=["a.png"])
    with pytest.raises(ValueError, match="images contains -1, but"):
        detector().fit(TRAIN["support"]).trust([-1])


def test_a_discriminator_is_told():
    class Told(NoiseDiscriminator):
        def score_patches(self, patches):
            return np.ones(patches.shape[:3])

        def screen(self, training, threshold):
            found.append(training.is_trusted)
            return np.ones((60, 4, 4)), np.arange(960).reshape(60, 4, 4) >= 320

        def judge(self, evidence, selection, threshold):
            found.append(selection.declared)
            return super().judge(evidence, selection, threshold)

    found = []
    model = detector(Told()).fit(TRAIN["lof"], trusted=[0, 30])
    for given in found:
        assert_array_equal(given, declared([0, 30]))
    assert_array_equal(model.kept_.any(axis=(1, 2)), declared([0, *range(20, 60)]))


def test_nothing_changes_for_the_others():
    """Support of the others is judged as before, with more images that can give it."""
    before = detector().fit(TRAIN["support"])
    model = detector().fit(TRAIN["support"], trusted=[1])
    assert before.trusted_images_[1]
    assert_array_equal(model.noise_scores_, before.noise_scores_)
    assert_array_equal(model.trusted_images_, before.trusted_images_)


def test_noise_is_looked_for_among_the_others():
    usual = -np.linspace(1, 1.2, 20)
    scores = np.array([-9.0, -8, *usual, np.nan])
    is_declared = np.isin(scores, [-9, np.nan])
    found = calibration_scores(scores, 1 / 21, is_declared)
    assert_array_equal(found, [-9, *np.sort(usual)])


def test_all_images_may_be_declared_normal(discriminator, train):
    everything = range(len(train))
    at_once = detector(discriminator).fit(train, trusted=everything)
    later = detector(discriminator).fit(train).trust(everything)
    for model in (at_once, later):
        assert_array_equal(model.calibration_scores_, np.sort(model.training_scores_))
        assert np.isfinite(model.offset_)


def test_a_selection_ends_at_a_radius():
    points = np.random.RandomState(0).normal(size=(300, 5)).astype(np.float32)
    picks, _ = greedy_coreset(points, 300, 0)
    gaps = [
        np.linalg.norm(points[pick] - points[picks[:row]], axis=1).min()
        for row, pick in enumerate(picks)
        if row
    ]
    enough = gaps[40]
    limit = enough * (1 - 1e-6)
    some, radius = greedy_coreset(points, 300, 0, enough=limit)
    assert_array_equal(some, picks[:42])
    assert radius < enough
    # That of GPUs, on the CPU.
    some, radius = greedy_coreset_on("cpu", points, 300, 0, np.arange(300), enough * 0.999)
    assert_array_equal(some, picks[: len(some)])
    assert radius < enough
    assert 42 <= len(some) < 50
    some, _ = greedy_coreset_on("cpu", points, 300, picks[:60], np.arange(300), enough)
    assert_array_equal(some, picks[:60])


def test_files_of_before_declare_nothing(train, new, tmp_path, discriminator):
    path = tmp_path / "model.skpatch"
    model = detector(discriminator).fit(train)
    save(model, path)
    content, stored = read_container(path)
    arrays = {
        name: array
        for name, array in stored._arrays.items()
        if name != "declared_normal_" and not name.startswith("screened.")
    }
    write_container(path, content, arrays)
    loaded = load(path)
    assert not loaded.declared_normal_.any()
    assert_array_equal(loaded.score_samples(new), model.score_samples(new))
    with pytest.raises(ValueError, match="or by an older skpatch"):
        loaded.trust(VARIANT)


def fit_with_copies(discriminator, copied, **parameters):
    """Fitted to the training images and, from number 60 on, copies of some of them."""
    train = TRAIN[discriminator]
    with pytest.warns(UserWarning, match="are copies of others"):
        return detector(discriminator).fit(np.concatenate([train, train[copied]]), **parameters)


def test_trusting_a_copy_is_trusting_its_image(discriminator, train, new):
    expected = detector(discriminator).fit(train).trust(VARIANT)
    # The copies of some of them, and the originals of the others.
    model = fit_with_copies(discriminator, VARIANT[:3]).trust([60, 61, 62, *VARIANT[3:]])
    assert_array_equal(model.declared_normal_, declared([*VARIANT, 60, 61, 62], 63))
    assert_array_equal(model.score_samples(new), expected.score_samples(new))
    assert_array_equal(model.calibration_scores_, expected.calibration_scores_)
    assert model.kept_[[0, 60]].all()
    assert model.trusted_images_[[0, 60]].all()
    at_once = fit_with_copies(discriminator, VARIANT[:3], trusted=[60, 61, 62, *VARIANT[3:]])
    assert_array_equal(at_once.declared_normal_, model.declared_normal_)
    expected = detector(discriminator).fit(train, trusted=VARIANT)
    assert_array_equal(at_once.score_samples(new), expected.score_samples(new))


def test_forgetting_declared_copies(discriminator, new):
    model = fit_with_copies(discriminator, VARIANT[:2]).trust(VARIANT)
    before = model.score_samples(new)
    # Copies of them are left, for which it was declared too.
    model.forget([0, 61])
    assert_array_equal(model.declared_normal_, declared([*VARIANT[1:], 60], 62))
    assert_array_equal(model.score_samples(new), before)
    with pytest.raises(ValueError, match="images contains 61, which was forgotten"):
        model.trust([61])
    model.forget([60])
    assert_array_equal(model.declared_normal_, declared(VARIANT[1:], 62))
    assert not np.isin(model.memory_source_[:, 0], [0, 60]).any()
    assert not np.isin(fitted_state(model).screened.source[:, 0], 0).any()


def test_copies_of_declared_images_that_come_later(discriminator, train, new):
    model = detector(discriminator).fit(train).trust(VARIANT)
    before = model.score_samples(new)
    with pytest.warns(UserWarning, match="2 of 2 new training images are copies"):
        model.partial_fit(train[[10, 11]])
    assert_array_equal(model.declared_normal_, declared([*VARIANT, 60], 62))
    assert_array_equal(model.score_samples(new), before)


def test_declared_copies_are_saved(discriminator, new, tmp_path):
    model = fit_with_copies(discriminator, VARIANT).trust([60, 61]).forget([0])
    save(model, tmp_path / "model.skpatch")
    loaded = load(tmp_path / "model.skpatch")
    assert_array_equal(loaded.declared_normal_, declared([10, 60, 61], 66))
    for name in ("copy_of_", "forgotten_images_", "kept_", "trusted_images_"):
        assert_array_equal(getattr(loaded, name), getattr(model, name))
    for one in (loaded, model):
        one.forget([60]).trust([*VARIANT[1:]])
    assert_array_equal(loaded.declared_normal_, model.declared_normal_)
    assert_array_equal(loaded.score_samples(new), model.score_samples(new))


def test_a_screened_patch_is_spared_once():
    model = fit_with_copies("lof", VARIANT)
    expected = fitted_state(detector("lof").fit(TRAIN["lof"])).screened
    assert_array_equal(fitted_state(model).screened.source, expected.source)
