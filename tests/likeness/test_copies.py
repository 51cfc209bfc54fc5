# SPDX-License-Identifier: BSD-3-Clause
"""Copies among the training images are told, and count once."""

import io

import numpy as np
import pytest
from PIL import Image

import skpatch
from skpatch import NoiseDiscriminator, PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import load_elpv, make_contaminated_images
from skpatch.likeness.copies import copy_gap, find_originals
from skpatch.persistence.container import StoredArrays
from skpatch.persistence.detectors import pack_detector, unpack_detector

ORDERS = {
    "twice": np.r_[:40, :40],
    "side by side": np.repeat(np.arange(40), 2),
    "three times": np.r_[:40, 39:-1:-1, :40],
}


def fit(features, **parameters):
    return SoftPatchDetector(random_state=0, **parameters).fit(features)


def fit_with_copies(features, **parameters):
    with pytest.warns(UserWarning, match="training images are copies of others"):
        return fit(features, **parameters)


@pytest.mark.parametrize("discriminator", ["support", "lof", None])
@pytest.mark.parametrize("order", ORDERS)
def test_copies_change_nothing(patches, queries, discriminator, order):
    order = ORDERS[order]
    once = fit(patches, discriminator=discriminator)
    model = fit_with_copies(patches[order], discriminator=discriminator)
    np.testing.assert_array_equal(model.memory_bank_, once.memory_bank_)
    np.testing.assert_array_equal(model.score_samples(queries), once.score_samples(queries))
    np.testing.assert_array_equal(model.calibration_scores_, once.calibration_scores_)
    for name in ("training_scores_", "kept_", "noise_scores_", "trusted_images_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(once, name)[order])
    is_first = np.isin(np.arange(len(order)), np.unique(order, return_index=True)[1])
    np.testing.assert_array_equal(model.copy_of_ == -1, is_first)
    np.testing.assert_array_equal(order[model.copy_of_[~is_first]], order[~is_first])
    images, rows, columns = model.memory_source_.T
    np.testing.assert_array_equal(patches[order][images, rows, columns], model.memory_bank_)


def test_the_warning_counts_and_names(patches):
    copied = np.concatenate([patches, patches[[3, 7]]])
    expected = "2 of 42 training images are copies of others, e.g. image 40 of image 3, image 41 of"
    with pytest.warns(UserWarning, match=expected):
        fit(copied)


def test_a_noise_model_sees_each_image_once(patches):
    class Counting(NoiseDiscriminator):
        seen = []

        def score_patches(self, patches):
            self.seen.append(len(patches))
            return np.ones(patches.shape[:3])

    fit_with_copies(np.concatenate([patches, patches]), discriminator=Counting())
    assert Counting.seen == [40]


def test_a_copy_with_a_defect_is_none(patches):
    defective = patches[[30]].copy()
    defective[0, 0, 0] += 3
    assert (fit(np.concatenate([patches, defective])).copy_of_ == -1).all()


@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
def test_copies_are_near_but_no_others(scale):
    rng = np.random.RandomState(0)
    images = rng.normal(size=(60, 6, 6, 8))
    images[50:] = images[:10] + 0.1 * rng.normal(size=(10, 6, 6, 8))
    images = (scale * images).astype(np.float32)
    originals = find_originals(images, copy_gap(images))
    np.testing.assert_array_equal(originals, np.r_[:50, :10])


def test_images_that_are_all_the_same_stay():
    with pytest.raises(ValueError, match="2 images"):
        fit(np.ones((1, 3, 3, 4), np.float32))
    assert (fit(np.ones((5, 3, 3, 4), np.float32)).copy_of_ == -1).all()


def test_single_patches_may_be_equal(patches):
    rows = np.repeat(patches[:, 0, 0], 2, axis=0)
    assert (fit(rows).copy_of_ == -1).all()
    assert copy_gap(rows[:, np.newaxis, np.newaxis]) == 0


def test_copies_that_are_added(patches, queries):
    model = fit(patches[:20])
    with pytest.warns(UserWarning, match="3 of 23 new training images .* image 20 of image 5, "):
        model.partial_fit(np.concatenate([patches[[5]], patches[20:40], patches[[6, 20]]]))
    expected = fit(patches[:20]).partial_fit(patches[20:40])
    np.testing.assert_array_equal(model.score_samples(queries), expected.score_samples(queries))
    np.testing.assert_array_equal(np.flatnonzero(model.copy_of_ >= 0), [20, 41, 42])
    np.testing.assert_array_equal(model.copy_of_[[20, 41, 42]], [5, 6, 21])
    before = model.memory_bank_
    with pytest.warns(UserWarning, match="2 of 2 new"):
        model.partial_fit(patches[:2])
    np.testing.assert_array_equal(model.memory_bank_, before)
    assert model.training_scores_[43] == model.training_scores_[0]


def test_an_image_stays_until_its_copies_are_forgotten(patches):
    model = fit_with_copies(np.concatenate([patches, patches[:2]]))
    bank, used = model.memory_bank_, np.isin(model.memory_source_[:, 0], [0, 1])
    assert used.any()
    model.forget([0, 41])
    np.testing.assert_array_equal(model.memory_bank_, bank)
    np.testing.assert_array_equal(model.copy_of_[[0, 1, 40, 41]], [40, -1, -1, 1])
    assert set(model.memory_source_[used, 0]) <= {1, 40}
    np.testing.assert_array_equal(np.isnan(model.training_scores_[[0, 1, 40, 41]]), [1, 0, 0, 1])
    model.forget([40])
    assert not np.isin(model.memory_source_[:, 0], [0, 40]).any()


def test_copies_are_saved(patches, queries, tmp_path):
    path = tmp_path / "model.skpatch"
    model = fit_with_copies(np.concatenate([patches, patches[:3]])).forget([1, 5])
    skpatch.save(model, path)
    loaded = skpatch.load(path)
    for name in ("copy_of_", "forgotten_images_", "training_scores_", "memory_source_", "kept_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
    for some in (model, loaded):
        with pytest.warns(UserWarning, match="1 of 1 new"):
            some.partial_fit(patches[[2]])
    np.testing.assert_array_equal(loaded.copy_of_, model.copy_of_)


def jpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


@pytest.fixture(scope="module")
def photographs():
    return [np.asarray(Image.open(path).convert("RGB")) for path in load_elpv().images[:24]]


def test_photographs_saved_again(photographs):
    again = [jpeg(image, 95) for image in photographs]
    extractor = PatchFeatureExtractor(image_size=160)
    features, copies = extractor.fit_transform(photographs), extractor.transform(again)
    once, new = fit(features[:20]), features[20:]
    model = fit_with_copies(np.concatenate([features[:20], copies[:20]]))
    np.testing.assert_array_equal(model.copy_of_, np.r_[np.full(20, -1), :20])
    np.testing.assert_array_equal(model.score_samples(new), once.score_samples(new))
    np.testing.assert_allclose(model.score_samples(copies[:20]), once.training_scores_, rtol=0.1)


def test_an_audit_tells_copies(tmp_path):
    images = make_contaminated_images(
        n_normal=18, n_defective=2, image_size=64, random_state=0
    ).images
    images = np.concatenate([images, images[4:5]])
    model = make_pipeline(PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0))
    with pytest.warns(UserWarning, match="image 20 of image 4"):
        model.fit(images)
    audit = model.audit(images)
    assert audit.to_dict()["copy_of"] == [*[""] * 20, "image 4"]
    audit.to_html(tmp_path / "audit.html")
    assert 'data-original="image 4"' in (tmp_path / "audit.html").read_text(encoding="utf-8")


def test_files_of_before_and_damaged_ones(patches):
    def unpacked(**changed):
        content, arrays = pack_detector(fit(patches))
        content["updates"].pop("copy_gap")
        arrays = {name: a for name, a in arrays.items() if name not in ("_identity", "_typical")}
        return unpack_detector(content, StoredArrays({**arrays, **changed}))

    old = unpacked()
    np.testing.assert_array_equal(old.copy_of_, np.full(40, -1))
    assert old.unlike_limit_ == np.inf
    for identity in (np.zeros(40, np.int64), np.arange(1, 41)):
        with pytest.raises(ValueError, match="_identity"):
            unpacked(_identity=identity)
