# SPDX-License-Identifier: BSD-3-Clause
import os
import re
import tracemalloc

import joblib
import numpy as np
import pytest
from _images import Lazy
from PIL import Image
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline as sklearn_make_pipeline
from sklearn.utils import Bunch

from skpatch import (
    GaussianDiscriminator,
    LOFDiscriminator,
    PatchFeatureExtractor,
    PatchPipeline,
    SoftPatchDetector,
    load,
    make_pipeline,
    save,
)
from skpatch.datasets import make_contaminated_images
from skpatch.metrics import pixel_auroc


@pytest.fixture(scope="module")
def parts():
    data = make_contaminated_images(n_normal=46, n_defective=14, image_size=64, random_state=0)
    normal, defective = np.flatnonzero(data.labels == 0), np.flatnonzero(data.labels == 1)
    train, test = np.r_[normal[:36], defective[:4]], np.r_[normal[36:], defective[4:]]
    return [
        Bunch(images=data.images[rows], labels=data.labels[rows], masks=data.masks[rows])
        for rows in (train, test)
    ]


@pytest.fixture(scope="module")
def data(parts):
    return parts[0]


@pytest.fixture(scope="module")
def test_data(parts):
    return parts[1]


def pipeline(join=make_pipeline):
    return join(PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0))


@pytest.fixture(scope="module")
def model(data):
    return pipeline().fit(data.images)


def test_stock_pipeline_agrees(model, data, test_data):
    stock = pipeline(sklearn_make_pipeline).fit(data.images)
    for method in ("score_samples", "decision_function", "predict"):
        np.testing.assert_array_equal(
            getattr(stock, method)(test_data.images), getattr(model, method)(test_data.images)
        )
    assert stock[-1].predict_map(stock[:-1].transform(test_data.images)).shape == (20, 8, 8)
    with pytest.raises(AttributeError, match="no attribute 'predict_map'"):
        stock.predict_map(test_data.images)
    maps = PatchPipeline(stock.steps).predict_map(test_data.images[:2])
    np.testing.assert_array_equal(maps, model.predict_map(test_data.images[:2]))


def test_finds_synthetic_defects(model, test_data):
    scores = model.score_samples(test_data.images)
    assert roc_auc_score(test_data.labels, -scores) > 0.95
    assert pixel_auroc(test_data.masks, model.predict_map(test_data.images)) > 0.9


def test_maps_have_the_size_of_each_image(model, test_data, tmp_path):
    picture = Image.fromarray(test_data.images[0])
    images = [picture.resize(size) for size in [(64, 64), (100, 40), (31, 77)]]
    images[1].save(tmp_path / "wide.png")
    images[1] = str(tmp_path / "wide.png")
    maps = model.predict_map(images)
    assert [one.shape for one in maps] == [(64, 64), (40, 100), (77, 31)]
    assert all(np.isfinite(one).all() for one in maps)


def test_maps_one_after_the_other(model, test_data, monkeypatch):
    monkeypatch.setattr("skpatch.features.lazy._PART", 5 * 64 * 152 * 4)
    asked = Lazy(list(test_data.images))
    maps = model.iter_maps(asked, sigma=2)
    assert asked.accessed == []
    first = next(maps)
    # Features of one part of the images, and the size of one image.
    assert sorted(set(asked.accessed)) == [0, 1, 2, 3, 4]
    expected = model.predict_map(test_data.images, sigma=2)
    for ours, theirs in zip([first, *maps], expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == np.float32


def test_maps_one_after_the_other_hold_one_of_them(model, test_data):
    """All of them would be 160 MB."""
    images = [Image.fromarray(test_data.images[0]).resize((1000, 1000))] * 40
    tracemalloc.start()
    try:
        n_maps = sum(found.shape == (1000, 1000) for found in model.iter_maps(images))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_maps == 40
    assert peak < 60e6


def test_maps_are_refused_before_the_first(model):
    with pytest.raises(FileNotFoundError, match="gone"):
        model.iter_maps(["gone.png"])
    with pytest.raises(NotFittedError):
        clone(model).iter_maps(["gone.png"])


def test_inspection_says_what_the_pipeline_says(model, test_data):
    found = model.inspect(test_data.images)
    threshold = -model[-1].offset_
    np.testing.assert_allclose(found.scores * threshold, -model.score_samples(test_data.images))
    np.testing.assert_array_equal(found.pvalues, model.predict_pvalue(test_data.images))
    np.testing.assert_array_equal(found.is_anomalous, model.predict(test_data.images) == -1)
    for ours, expected in zip(
        found.maps(sigma=2), model.predict_map(test_data.images, 2), strict=True
    ):
        np.testing.assert_array_equal(ours, expected / threshold)
    assert model.inspect(test_data.images[:1], ["a"]).names == ["a"]


def test_crop_leaves_the_border_out(data):
    model = make_pipeline(
        PatchFeatureExtractor(resize=72, crop=64), SoftPatchDetector(random_state=0)
    ).fit(data.images)
    (found,) = model.predict_map(data.images[:1])
    assert found.shape == (64, 64)
    assert np.isnan(found).mean() == pytest.approx(1 - (57 / 64) ** 2, abs=0.03)
    assert np.isfinite(found[8:-8, 8:-8]).all()


def test_smoothing_spreads_the_peak(model, test_data):
    (sharp,) = model.predict_map(test_data.images[:1], sigma=0)
    (smooth,) = model.predict_map(test_data.images[:1])
    assert smooth.max() < sharp.max()
    assert sharp.max() <= -model.score_samples(test_data.images[:1])[0] * (1 + 1e-6)


def test_is_a_scikit_learn_pipeline(model):
    assert isinstance(model, PatchPipeline)
    assert list(model.named_steps) == ["patchfeatureextractor", "softpatchdetector"]
    again = clone(model)
    assert isinstance(again, PatchPipeline)
    assert again.get_params()["softpatchdetector__noise_threshold"] == "auto"


@pytest.mark.parametrize("limit", [None, "1G"])
def test_unknown_parameters_of_fit_are_refused(data, limit):
    detector = SoftPatchDetector(memory_limit=limit)
    model = make_pipeline(PatchFeatureExtractor(image_size=64), detector)
    before = vars(model[0]).copy()
    with pytest.raises(ValueError, match="nonsense"):
        model.fit(data.images, nonsense=1)
    assert vars(model[0]) == before
    with pytest.raises((TypeError, ValueError), match="nonsense"):
        model.fit(data.images, softpatchdetector__nonsense=1)
    assert not hasattr(detector, "memory_bank_")


def test_a_fit_within_a_memory_limit_is_that_of_a_pipeline(data, capsys):
    detector = SoftPatchDetector(memory_limit="1G", random_state=0)
    extractor = PatchFeatureExtractor(image_size=64)
    model = make_pipeline(extractor, detector, verbose=True).fit(data.images)
    assert "(step 2 of 2) Processing softpatchdetector" in capsys.readouterr().out
    assert model[0] is extractor
    assert model[1] is detector
    with pytest.raises(ValueError, match="memory_limit='1k' is too small"):
        model.set_params(softpatchdetector__memory_limit="1k").fit(data.images)
    assert model[0] is extractor


def test_joblib_round_trip(model, test_data, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(
        loaded.score_samples(test_data.images), model.score_samples(test_data.images)
    )


def test_same_seed_same_scores(model, data, test_data):
    again = pipeline().fit(data.images)
    np.testing.assert_array_equal(
        again.score_samples(test_data.images), model.score_samples(test_data.images)
    )


def test_grid_search_over_thresholds_and_discriminators(data):
    # Sixteen normal ones, and the defective.
    images, labels = (np.concatenate([one[:16], one[-4:]]) for one in (data.images, data.labels))
    truth = np.where(labels == 1, -1, 1)
    grid = {
        "softpatchdetector__noise_threshold": [0.05, 0.15],
        "softpatchdetector__discriminator": [LOFDiscriminator(), GaussianDiscriminator()],
    }
    search = GridSearchCV(pipeline(), grid, scoring="roc_auc", cv=StratifiedKFold(2))
    search.fit(images, truth)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.best_estimator_.predict_map(data.images[:2])) == 2


@pytest.fixture(scope="module")
def variant_files(tmp_path_factory):
    """Paths of 30 grey photographs, three of which show another object."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.RandomState(0)
    for name in ("usual", "rare"):
        (folder / name).mkdir()
    paths = [folder / "usual" / f"{i:02}.png" for i in range(27)]
    paths += [folder / "rare" / f"{i:02}.png" for i in range(3)]
    for path in paths:
        pixels = rng.randint(90, 110, (64, 64, 3)).astype(np.uint8)
        if path.parent.name == "rare":
            pixels[16:48:4, 16:48] = 250
        Image.fromarray(pixels).save(path)
    return paths


RARE = ["rare/00.png", "rare/01.png", "rare/02.png"]


def test_training_images_have_names(variant_files):
    model = pipeline().fit(variant_files)
    assert model.image_names_[27:] == RARE
    assert model.image_names_[0] == "usual/00.png"
    model.trust(RARE[:1]).trust(variant_files[28])
    assert np.flatnonzero(model[-1].declared_normal_).tolist() == [27, 28]
    model.forget(["rare/01.png"])
    assert np.flatnonzero(model[-1].forgotten_images_).tolist() == [28]
    with pytest.raises(
        ValueError, match=r"'02.png' is the name of 2 images: 'usual/02.png' \(image"
    ):
        model.forget("02.png")
    model.partial_fit([np.zeros((64, 64, 3), np.uint8)])
    assert model.image_names_[29:] == ["rare/02.png", "image 30"]
    assert np.flatnonzero(model.trust(["image 30"])[-1].declared_normal_).tolist() == [27, 30]


@pytest.mark.parametrize("memory_limit", [None, "1G"])
@pytest.mark.parametrize("routing", [False, True])
def test_trusted_by_name_in_fit(variant_files, memory_limit, routing):
    model = pipeline().set_params(softpatchdetector__memory_limit=memory_limit)
    with config_context(enable_metadata_routing=routing):
        if routing:
            model[-1].set_fit_request(trusted=True)
        model.fit(variant_files, trusted=[*RARE, 3])
        with pytest.raises(
            ValueError, match=r"no training image 'rare/03.png'; there are: 'rare/0"
        ):
            model.fit(variant_files, trusted=["rare/03.png"])
    assert np.flatnonzero(model[-1].declared_normal_).tolist() == [3, 27, 28, 29]


def test_names_are_saved(variant_files, tmp_path):
    path = tmp_path / "model.skpatch"
    model = pipeline().fit(variant_files)
    save(model, path)
    assert load(path).image_names_ == model.image_names_
    del model.image_names_
    save(model, path)
    unnamed = load(path)
    assert not hasattr(unnamed, "image_names_")
    with pytest.raises(ValueError, match="names of the training images are not known"):
        unnamed.trust(RARE)
    assert unnamed.trust([27])[-1].declared_normal_[27]
    # Numbers stay right: a name for some of the images only would be wrong.
    new = np.zeros((1, 64, 64, 3), np.uint8)
    assert not hasattr(unnamed.partial_fit(new), "image_names_")


def test_copies_have_names(variant_files, tmp_path):
    copy = tmp_path / "copy.png"
    copy.write_bytes(variant_files[28].read_bytes())
    model = pipeline()
    with pytest.warns(UserWarning, match=r"copy\.png of .*rare.01\.png"):
        model.fit([*variant_files, copy], trusted=["copy.png"])
    assert len(model.image_names_) == 31
    assert np.flatnonzero(model[-1].declared_normal_).tolist() == [28, 30]
    save(model, tmp_path / "model.skpatch")
    loaded = load(tmp_path / "model.skpatch")
    assert loaded.image_names_ == model.image_names_
    loaded.forget(["rare/01.png"])
    assert np.flatnonzero(loaded[-1].declared_normal_).tolist() == [30]
    assert loaded[-1].copy_of_[28] == 30
    assert np.flatnonzero(loaded.trust(["rare/02.png"])[-1].declared_normal_).tolist() == [29, 30]


@pytest.mark.parametrize("memory_limit", [None, "1G"])
def test_warnings_have_the_names_of_files(variant_files, tmp_path, memory_limit):
    copies = [tmp_path / name for name in ("one.png", "two.png")]
    for copy, original in zip(copies, variant_files[3:], strict=False):
        copy.write_bytes(original.read_bytes())
    model = pipeline().set_params(softpatchdetector__memory_limit=memory_limit)
    names = [os.path.basename(path) for path in variant_files[3:5]]
    with pytest.warns(UserWarning, match=rf"one\.png of .*{re.escape(names[0])}"):
        model.fit([*variant_files, copies[0]])
    with pytest.warns(UserWarning, match=rf"two\.png of .*{re.escape(names[1])}"):
        model.partial_fit([copies[1]])
    with pytest.warns(UserWarning, match=rf"one\.png of .*{re.escape(names[0])}"):
        model.fit_predict([*variant_files, copies[0]])


def test_fit_predict_names_the_images(variant_files):
    model, expected = pipeline(), pipeline()
    predicted = model.fit_predict(variant_files[3:], trusted=["rare/01.png"])
    expected.fit(variant_files[3:], trusted=["rare/01.png"])
    np.testing.assert_array_equal(predicted, expected.predict(variant_files[3:]))
    assert model.image_names_ == expected.image_names_
    np.testing.assert_array_equal(model[-1].declared_normal_, expected[-1].declared_normal_)
    model.fit_predict(variant_files[:5])
    assert model.image_names_ == expected.fit(variant_files[:5]).image_names_
