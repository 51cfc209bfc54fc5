# SPDX-License-Identifier: BSD-3-Clause
"""With scikit-learn's global switches, pandas and torch's data sets."""

import re

import numpy as np
import pytest
from PIL import Image
from sklearn import config_context
from sklearn.base import clone, is_outlier_detector
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.utils import estimator_html_repr, get_tags

from skpatch import (
    ExactNeighbors,
    FusionDiscriminator,
    LOFDiscriminator,
    PatchFeatureExtractor,
    PyNNDescentNeighbors,
    SoftPatchDetector,
    make_pipeline,
)
from skpatch.metrics import synthetic_defect_score


@pytest.fixture(scope="module")
def scores(model, data):
    return model.score_samples(data.images[:4])


@pytest.mark.parametrize("transform", ["default", "pandas", "polars", None])
def test_pipeline_with_set_output(model, data, scores, transform):
    again = clone(model).set_output(transform=transform).fit(data.images)
    np.testing.assert_array_equal(again.score_samples(data.images[:4]), scores)
    assert type(again[:-1].transform(data.images[:1])) is np.ndarray
    assert len(again.predict_map(data.images[:1])) == 1


def test_pandas_output_of_everything(model, data, scores):
    with config_context(transform_output="pandas"):
        again = clone(model).fit(data.images)
        np.testing.assert_array_equal(again.score_samples(data.images[:4]), scores)
        assert type(again[:-1].transform(data.images[:1])) is np.ndarray


def test_audit_as_columns(audit):
    columns = audit.to_dict()
    assert {len(column) for column in columns.values()} == {len(audit.scores)}
    np.testing.assert_array_equal(np.argsort(columns["rank"]), audit.ranking)
    assert columns["rank"].min() == 1
    np.testing.assert_array_equal(columns["score"], audit.inspection.scores)
    np.testing.assert_array_equal(columns["noise_patches"], audit.removed.sum(axis=(1, 2)))


def test_audit_as_a_frame(audit):
    pytest.importorskip("pandas")
    frame = audit.to_frame().sort_values("rank")
    assert list(frame.index) == list(audit.ranking)
    assert (frame["label"] == "suspicious").sum() == audit.is_suspicious.sum()
    assert frame["score"].is_monotonic_decreasing


def test_column_of_paths(model, data, audit, tmp_path):
    """A column keeps the numbers of the rows it was chosen from; images are counted from 0."""
    pandas = pytest.importorskip("pandas")
    paths = [str(tmp_path / f"{number}.png") for number in range(len(data.images))]
    for path, pixels in zip(paths, data.images, strict=True):
        Image.fromarray(pixels).save(path)
    table = pandas.DataFrame({"path": ["other", *paths], "keep": [False] + [True] * len(paths)})
    column = table.loc[table["keep"], "path"]
    again = clone(model).fit(column)
    np.testing.assert_array_equal(again.score_samples(column), model.score_samples(data.images))
    found = again.audit(column)
    last = len(paths) - 1
    np.testing.assert_array_equal(found.maps([last])[0], audit.maps([last])[0])
    assert found.to_html(tmp_path / "audit.html") is None


def test_audit_of_a_labelled_dataset(model, data, audit):
    """Items of a torch Dataset are tuples of an image and a label."""
    found = model.audit([(pixels, 0) for pixels in data.images])
    np.testing.assert_array_equal(found.scores, audit.scores)
    np.testing.assert_array_equal(found.maps([3])[0], audit.maps([3])[0])


@pytest.mark.parametrize("scoring", ["roc_auc", synthetic_defect_score])
def test_search_with_metadata_routing(model, data, scoring):
    # Ten normal ones, and two defective.
    rows = np.r_[np.flatnonzero(data.labels == 0)[:10], np.flatnonzero(data.labels)[:2]]
    images, truth = data.images[rows], np.repeat([1, -1], [10, 2])
    grid = {"softpatchdetector__noise_threshold": ["auto", 0.1]}
    found = []
    for routing in (False, True):
        with config_context(enable_metadata_routing=routing):
            search = GridSearchCV(clone(model), grid, scoring=scoring, cv=StratifiedKFold(2))
            found.append(search.fit(images, truth).cv_results_["mean_test_score"])
            assert len(search.best_estimator_.predict_map(images[:1])) == 1
    np.testing.assert_array_equal(*found)


def test_routed_pipeline(model, data, scores):
    with config_context(enable_metadata_routing=True):
        again = clone(model).fit(data.images)
        np.testing.assert_array_equal(again.score_samples(data.images[:4]), scores)
        np.testing.assert_array_equal(again.audit(data.images).scores, again[-1].training_scores_)
        # scikit-learn 1.6.0 cannot do without params.
        result = cross_validate(
            clone(model), data.images, scoring=synthetic_defect_score, cv=2, params={}
        )
    assert np.isfinite(result["test_score"]).all()


def test_tags(model):
    tags = get_tags(model)
    assert is_outlier_detector(model)
    assert tags.input_tags == get_tags(model[0]).input_tags
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert get_tags(model[1:]).input_tags.two_d_array
    assert get_tags(model[0]).transformer_tags.preserves_dtype == []


@pytest.mark.parametrize(
    "estimator",
    [
        PatchFeatureExtractor(),
        SoftPatchDetector(),
        LOFDiscriminator(),
        FusionDiscriminator(),
        ExactNeighbors(),
        PyNNDescentNeighbors(),
        make_pipeline(PatchFeatureExtractor(), SoftPatchDetector()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_html_repr(estimator):
    html = estimator_html_repr(estimator)
    assert type(estimator).__name__ in html
    # scikit-learn links to pages of its own documentation, which has none on these classes.
    assert re.findall(r'href="[^"]*"', html) == []


def test_html_repr_of_a_fitted_pipeline(model):
    html = model._repr_html_()
    assert "PatchPipeline" in html
    assert "SoftPatchDetector" in html
    assert re.findall(r'href="[^"]*"', html) == []
