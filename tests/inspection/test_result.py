# SPDX-License-Identifier: BSD-3-Clause
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from _cli import COLUMNS, read_csv, run
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

import skpatch
from skpatch import Inspection
from skpatch.runtime.text import number


class _Detector(BaseEstimator):
    """What an inspection asks of a fitted detector: threshold 4, the mean of two worst patches."""

    grid_shape_ = (2, 3)
    n_worst_patches_, peak_share_ = 2, 0.0
    offset_ = -4.0
    inspected_ = np.array([[True, True, True], [True, True, False]])
    unlike_limit_ = 3.0
    verbose = False
    calibration_scores_ = np.array([-6.0, -4, -3, -1])
    kept_, memory_bank_ = np.ones((4, 2, 3), bool), np.zeros((4, 5))

    def fit(self, X, y=None):
        return self

    def match(self, X):
        return np.zeros((len(X), *self.grid_shape_, 3), int)

    def __sklearn_is_fitted__(self):
        return True


class _Extractor(BaseEstimator):
    crop_share_, n_jobs, image_size_ = None, 1, (20, 60)

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.zeros((len(X), 2, 3, 5))

    def __sklearn_is_fitted__(self):
        return True


# In feature units; the threshold is 4.
DISTANCES = np.array(
    [
        [[0, 1, 0], [0, 1, 3]],
        [[0, 8, 8], [4, 0, 0]],
        [[4, 4, 0], [0, 0, np.nan]],
        [[0, 0, 0], [6, 0, 6]],
    ]
)
IMAGES = np.zeros((4, 20, 60, 3), np.uint8)


@pytest.fixture
def by_hand():
    return Pipeline([("extractor", _Extractor()), ("detector", _Detector())])


@pytest.fixture
def inspection(by_hand):
    return Inspection.from_patch_scores(by_hand, IMAGES, DISTANCES, list("abcd"))


def test_units(inspection):
    assert inspection.threshold == 4
    np.testing.assert_array_equal(inspection.scores, [0.5, 2, 1, 1.5])
    np.testing.assert_array_equal(inspection.patch_scores, DISTANCES / 4)
    # Of four images that pass for normal, 2, 0, 2 and 1 score at least as much.
    np.testing.assert_allclose(inspection.pvalues, [4 / 5, 1 / 5, 3 / 5, 2 / 5])
    assert inspection.names == ["a", "b", "c", "d"]


def test_repr_says_how_many_are_anomalous(inspection):
    assert repr(inspection) == (
        "Inspection: 2 of 4 images are anomalous (score above 1). The threshold is 4."
    )


def test_at_the_threshold_an_image_is_normal(inspection):
    assert inspection.is_anomalous.tolist() == [False, True, False, True]
    assert inspection.to_dict()["label"] == ["normal", "anomalous", "normal", "anomalous"]
    assert inspection.regions(2) == []


def test_labels_are_those_of_the_detector(by_hand):
    """Just above and below any threshold too, where a quotient is rounded."""
    for threshold in np.random.RandomState(0).uniform(0.1, 9, 200):
        by_hand[-1].offset_ = -threshold
        scores = np.nextafter(threshold, [0, threshold, 99])
        patch_scores = np.broadcast_to(scores[:, None, None], (3, 2, 3))
        found = Inspection.from_patch_scores(by_hand, IMAGES[:3], patch_scores)
        assert found.is_anomalous.tolist() == [False, False, True]


def test_ranking(by_hand, inspection):
    np.testing.assert_array_equal(inspection.ranking, [1, 3, 2, 0])
    assert inspection.ranking.dtype == np.int64
    np.testing.assert_array_equal(inspection.to_dict()["rank"], [4, 1, 3, 2])
    scores = np.array([1.0, np.nan, 7, 7])
    found = Inspection(by_hand, IMAGES, DISTANCES, scores, scores)
    np.testing.assert_array_equal(found.ranking, [2, 3, 0, 1])
    assert not found.is_anomalous[1]
    assert found.names == ["image 0", "image 1", "image 2", "image 3"]


def test_regions(inspection):
    assert inspection.regions(0) == []
    # The patch at the threshold, below, is not in it.
    assert inspection.regions(1) == [{"box": [20, 0, 60, 10], "area": 400, "score": 2.0}]
    assert [region["box"] for region in inspection.regions(3)] == [
        [0, 10, 20, 20],
        [40, 10, 60, 20],
    ]
    np.testing.assert_array_equal(inspection.to_dict()["n_regions"], [0, 1, 0, 2])


def test_changed_contamination(model, data):
    before = model.inspect(data.images[:3])
    scores = before.scores.copy()
    model[-1].set_params(contamination=0.5)
    try:
        assert before.threshold != model.inspect(data.images[:3]).threshold
        assert np.nanmax(before.patch_scores) >= before.scores.max()
        np.testing.assert_array_equal(before.scores, scores)
        np.testing.assert_array_equal(before.maps([0])[0], before.maps()[0])
    finally:
        model[-1].set_params(contamination="auto")


@pytest.fixture(scope="module")
def scored(model, photos, tmp_path_factory):
    """Paths, table and heat maps of the command line, and the inspection of the same images."""
    folder = tmp_path_factory.mktemp("scored")
    skpatch.save(model, folder / "m.skpatch")
    arguments = ["-o", folder / "scores.csv", "--maps", folder / "maps", "--quiet"]
    assert run("score", folder / "m.skpatch", photos, *arguments) == 0
    rows = read_csv(folder / "scores.csv")
    paths = [row["image"] for row in rows]
    return rows, model.inspect(paths), folder / "maps"


def test_frame_is_the_table_of_the_command_line(scored):
    pytest.importorskip("pandas")
    rows, inspection, _ = scored
    frame = inspection.to_frame()
    assert list(frame.columns) == COLUMNS
    assert len(frame) == len(rows) == 30
    for row, found in zip(rows, frame.to_dict("records"), strict=True):
        assert row == {
            "image": found["image"],
            "score": number(found["score"]),
            "p_value": number(found["p_value"]),
            "label": found["label"],
            "rank": str(found["rank"]),
            "n_regions": str(found["n_regions"]),
            "regions": json.dumps(found["regions"]),
            "noise_patches": "",
            "decision": "",
        }
    worst = frame.sort_values("rank").iloc[0]
    assert worst["image"] == inspection.names[inspection.ranking[0]]
    assert worst["score"] == frame["score"].max()


def test_an_anomalous_image_has_a_region(scored):
    _, inspection, _ = scored
    assert inspection.is_anomalous.any()
    for index, is_anomalous in enumerate(inspection.is_anomalous):
        assert bool(inspection.regions(index)) == is_anomalous


def test_overlay_is_the_picture_of_the_command_line(scored, photos):
    _, inspection, maps = scored
    for rank in (1, 2, 16):
        index = inspection.ranking[rank - 1]
        inside = Path(inspection.names[index]).relative_to(photos)
        (path,) = (maps / inside.parent).glob(f"{rank:02d}_*_{inside.name}")
        with Image.open(path) as picture:
            np.testing.assert_array_equal(inspection.overlay(index), picture)


def test_matches_are_those_of_the_detector(model, data):
    inspection = model.inspect(data.images[:4])
    found = inspection.matches(2)
    assert found.shape == (*model[-1].grid_shape_, 3)
    features = model[:-1].transform(data.images[:4])
    np.testing.assert_array_equal(found, model[-1].match(features)[2])
    # A training image is recognised, and compared with the others.
    assert (found[..., 0] != 2).all()


def test_report(inspection, model, data, tmp_path):
    path = tmp_path / "report.html"
    inspection.to_html(path)
    text = path.read_text(encoding="utf-8")
    assert text.index('data-name="b"') < text.index('data-name="d"') < text.index('data-name="c"')
    inspection.to_html(path, ["v", "w", "x", "y"])
    assert 'data-name="w"' in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="names has 1 names, but there are 4 images"):
        inspection.to_html(path, ["v"])


def test_without_pandas(inspection, audit, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for found, name in [(inspection, "Inspection"), (audit, "NoiseAudit")]:
        with pytest.raises(ImportError, match=f"{name}.to_frame needs pandas.*pip install pandas"):
            found.to_frame()


def test_wrong_input(by_hand, model, data, monkeypatch):
    with pytest.raises(ValueError, match=r"patch_scores has shape \(4, 3, 2\).* grid of \(2, 3\)"):
        Inspection.from_patch_scores(by_hand, IMAGES, DISTANCES.swapaxes(1, 2))
    with pytest.raises(ValueError, match="There are 3 images, but scores of 4"):
        Inspection.from_patch_scores(by_hand, IMAGES[:3], DISTANCES)
    with pytest.raises(ValueError, match="names has 2 names, but there are 4 images"):
        Inspection.from_patch_scores(by_hand, IMAGES, DISTANCES, ["a", "b"])
    # Before the work.
    monkeypatch.setattr(skpatch.PatchFeatureExtractor, "transform", None)
    with pytest.raises(ValueError, match="names has 2 names, but there are 3 images"):
        model.inspect(data.images[:3], ["a", "b"])


@pytest.mark.parametrize("offset", [0.0, 1.0, np.nan])
def test_a_threshold_that_is_no_unit(by_hand, monkeypatch, offset):
    monkeypatch.setattr(_Detector, "offset_", offset)
    with pytest.raises(ValueError, match="no score can be given in units of it"):
        Inspection.from_patch_scores(by_hand, IMAGES, DISTANCES)
