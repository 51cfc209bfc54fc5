# SPDX-License-Identifier: BSD-3-Clause
"""Patches that are not inspected: NaN in the features of all images alike."""

import numpy as np
import pytest
from _persistence import LEARNED, assert_same, saved

from skpatch import LOFDiscriminator, SoftPatchDetector
from skpatch.bank.bank import average_worst

INSPECTED = np.ones((5, 6), bool)
INSPECTED[:, 0] = INSPECTED[4] = INSPECTED[1, 3] = False
SETTINGS = {
    "support": {"projection_dim": 8},
    "LOF": {"discriminator": "lof"},
    "PatchCore": {"discriminator": None, "n_neighbors": 3, "worst_patches": 0.2},
    "number": {"coreset_size": 40, "noise_threshold": 0.1, "worst_patches": 4},
}
# These have one entry for each patch, and are compared where the patches are inspected.
ON_GRID = ["noise_scores_", "kept_"]


def outside_nan(features):
    return np.where(INSPECTED[..., np.newaxis], features, np.nan).astype(np.float32)


def cut_away(features):
    return features[:, INSPECTED][:, np.newaxis]


def places(detector):
    """Image and number of the inspected patch of each memory patch."""
    numbers = np.cumsum(INSPECTED).reshape(INSPECTED.shape) - 1
    images, rows, columns = detector.memory_source_.T
    assert INSPECTED[rows, columns].all()
    return np.stack([images, numbers[rows, columns]], axis=1)


def assert_like_cut_away(found, expected):
    for name in LEARNED:
        values, reference = getattr(found, name), getattr(expected, name)
        if name in ON_GRID:
            outside = values[:, ~INSPECTED]
            assert not outside.any() if name == "kept_" else np.isnan(outside).all()
            values, reference = values[:, INSPECTED], reference[:, 0]
        elif name == "memory_source_":
            values, reference = places(found), reference[:, [0, 2]]
        elif name == "grid_shape_":
            assert (values, reference) == ((5, 6), (1, INSPECTED.sum()))
            continue
        np.testing.assert_array_equal(values, reference, err_msg=name)
    np.testing.assert_array_equal(found.inspected_, INSPECTED)


def assert_scores_like_cut_away(found, expected, queries):
    masked, cut = outside_nan(queries), cut_away(queries)
    for method in ("score_samples", "predict", "predict_pvalue", "decision_function"):
        np.testing.assert_array_equal(
            getattr(found, method)(masked), getattr(expected, method)(cut)
        )
    maps = found.predict_map(masked)
    assert maps.shape == (len(queries), 5, 6)
    np.testing.assert_array_equal(maps[:, INSPECTED], expected.predict_map(cut)[:, 0])
    assert np.isnan(maps[:, ~INSPECTED]).all()
    matched = found.match(masked)
    assert (matched[:, ~INSPECTED] == -1).all()
    known = {tuple(place) for place in found.memory_source_}
    assert {tuple(place) for place in matched[:, INSPECTED].reshape(-1, 3)} <= known
    np.testing.assert_allclose(
        average_worst(maps, found.n_worst_patches_, found.peak_share_),
        -found.score_samples(masked),
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_equals_a_fit_on_features_cut_away_by_hand(patches, queries, name):
    parameters = {**SETTINGS[name], "random_state": 0}
    found = SoftPatchDetector(**parameters).fit(outside_nan(patches))
    expected = SoftPatchDetector(**parameters).fit(cut_away(patches))
    assert_like_cut_away(found, expected)
    assert_scores_like_cut_away(found, expected, queries)


@pytest.mark.parametrize("name", ["support", "LOF"])
def test_partial_fit_and_forget(patches, queries, name):
    parameters = {**SETTINGS[name], "random_state": 0}
    found, expected = SoftPatchDetector(**parameters), SoftPatchDetector(**parameters)
    for part in (patches[:25], patches[25:]):
        found.partial_fit(outside_nan(part))
        expected.partial_fit(cut_away(part))
        assert_like_cut_away(found, expected)
    for detector in (found, expected):
        detector.forget([1, 30])
    assert_like_cut_away(found, expected)
    assert_scores_like_cut_away(found, expected, queries)


def test_one_patch_left(patches):
    single = np.full_like(patches, np.nan)
    single[:, 1, 2] = patches[:, 1, 2]
    found = SoftPatchDetector(random_state=0).fit(single)
    expected = SoftPatchDetector(random_state=0).fit(patches[:, 1, 2])
    np.testing.assert_array_equal(found.training_scores_, expected.training_scores_)
    np.testing.assert_array_equal(found.memory_source_[:, 1:], [[1, 2]] * len(found.memory_bank_))


def test_saved_detector(patches, queries, tmp_path):
    detector = SoftPatchDetector(random_state=0).fit(outside_nan(patches))
    loaded = saved(detector, tmp_path)
    assert_same(loaded, detector, [*LEARNED, "inspected_"])
    masked = outside_nan(queries)
    np.testing.assert_array_equal(loaded.predict_map(masked), detector.predict_map(masked))
    for model in (loaded, detector):
        model.partial_fit(masked)
    assert_same(loaded, detector)


def test_all_patches_are_inspected_without_nan(patches, queries):
    detector = SoftPatchDetector(random_state=0).fit(patches)
    assert detector.inspected_.all()
    assert detector.inspected_.shape == (5, 6)
    with pytest.raises(ValueError, match=r"contains NaN at X\[0, 0, 0, 0\]"):
        detector.predict(outside_nan(queries))
    assert SoftPatchDetector().fit(patches[:, 0, 0]).inspected_.shape == (1, 1)


def changed(features, place, value):
    features = outside_nan(features)
    features[place] = value
    return features


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((3, 2, 5, 1), np.nan, r"Input X contains NaN at X\[3, 2, 5, 1\]"),
        ((3, 2, 5), np.nan, r"Input X contains NaN at X\[3, 2, 5, 0\]"),
        ((3, 2, 5, 1), -np.inf, r"Input X contains infinity at X\[3, 2, 5, 1\]"),
        ((3, 2, 0), 1, r"X\[3, 2, 0\] has features, but in .* this patch is NaN"),
        ((3, 2, 0, 7), 1, r"X\[3, 2, 0\] has features"),
        ((0, 2, 0, 7), 1, r"contains NaN at X\[0, 2, 0, 0\]|X\[0, 2, 0\] has features"),
        ((0,), np.nan, r"NaN: no patch of X\[0\] has features|NaN at X\[0, 0, 1, 0\]"),
    ],
    ids=["one number", "one patch", "infinity", "a patch outside", "a number", "first", "image"],
)
def test_other_nan(patches, queries, place, value, message):
    with pytest.raises(ValueError, match=message):
        SoftPatchDetector().fit(changed(patches, place, value))
    detector = SoftPatchDetector(random_state=0).fit(outside_nan(patches))
    with pytest.raises(ValueError, match=message):
        detector.score_samples(changed(queries, place, value))
    with pytest.raises(ValueError, match=message):
        detector.partial_fit(changed(queries, place, value))


def test_another_region_is_an_error(patches, queries):
    detector = SoftPatchDetector(random_state=0).fit(outside_nan(patches))
    with pytest.raises(ValueError, match=r"X\[0, 0, 0\] has features, but in the training images"):
        detector.predict(queries)


def test_a_discriminator_alone_takes_no_nan(patches):
    with pytest.raises(ValueError, match=r"Input X contains NaN at X\[0, 0, 0, 0\]"):
        LOFDiscriminator().fit(outside_nan(patches))
