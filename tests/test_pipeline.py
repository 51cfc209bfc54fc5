# SPDX-License-Identifier: BSD-3-Clause
import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
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
    make_pipeline,
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
    truth = np.where(data.labels == 1, -1, 1)
    grid = {
        "softpatchdetector__noise_threshold": [0.05, 0.15],
        "softpatchdetector__discriminator": [LOFDiscriminator(), GaussianDiscriminator()],
    }
    search = GridSearchCV(pipeline(), grid, scoring="roc_auc", cv=StratifiedKFold(2))
    search.fit(data.images, truth)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.best_estimator_.predict_map(data.images[:2])) == 2
