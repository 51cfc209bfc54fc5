# SPDX-License-Identifier: BSD-3-Clause
"""A fit or an update is done or it is not, and only a fit changes how images are scored."""

import numpy as np
import pytest

from skpatch import ExactNeighbors, SoftPatchDetector, load, save


class SearchWithoutMemory(ExactNeighbors):
    """A search that can be told to run out of memory."""

    fails = False

    def fit(self, X, y=None, *, reaches=None):
        if SearchWithoutMemory.fails:
            raise MemoryError("no memory for the search")
        return super().fit(X, reaches=reaches)


@pytest.fixture
def out_of_memory(monkeypatch):
    return lambda: monkeypatch.setattr(SearchWithoutMemory, "fails", True)


def learned(detector):
    """Arrays and numbers of a fitted detector, copied."""
    return {
        name: np.array(value, copy=True)
        for name, value in vars(detector).items()
        if name.endswith("_") and isinstance(value, np.ndarray | int | float | tuple)
    }


def assert_unchanged(detector, before):
    after = learned(detector)
    assert after.keys() == before.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


@pytest.mark.parametrize("discriminator", ["support", "lof", None])
@pytest.mark.parametrize("change", ["partial_fit", "forget", "fit"])
def test_a_change_that_fails_leaves_the_old_model(
    patches, queries, discriminator, change, out_of_memory, monkeypatch, tmp_path
):
    detector = SoftPatchDetector(
        discriminator=discriminator, neighbors=SearchWithoutMemory(), random_state=0
    ).fit(patches)
    before, scores = learned(detector), detector.score_samples(queries)
    argument = {"partial_fit": queries, "forget": [1, 2], "fit": queries[..., :8]}[change]
    with monkeypatch.context() as context:
        context.setattr(SearchWithoutMemory, "fails", True)
        with pytest.raises(MemoryError, match="no memory for the search"):
            getattr(detector, change)(argument)
    assert_unchanged(detector, before)
    np.testing.assert_array_equal(detector.score_samples(queries), scores)
    # What comes next is what it would have been without the failure.
    other = SoftPatchDetector(discriminator=discriminator, random_state=0).fit(patches)
    for model in (detector, other):
        model.set_params(neighbors="exact").partial_fit(queries)
    assert_unchanged(detector, learned(other))
    assert len(detector.kept_) == len(detector.training_scores_) == len(patches) + len(queries)
    save(detector, tmp_path / "model.skpatch")
    loaded = load(tmp_path / "model.skpatch")
    np.testing.assert_array_equal(loaded.score_samples(queries), detector.score_samples(queries))


def test_a_first_fit_that_fails_leaves_an_unfitted_detector(patches, out_of_memory):
    detector = SoftPatchDetector(neighbors=SearchWithoutMemory())
    before = vars(detector).copy()
    out_of_memory()
    with pytest.raises(MemoryError):
        detector.fit(patches)
    assert vars(detector) == before


CHANGES = [
    {"metric": "sqeuclidean"},
    {"metric": "cosine"},
    {"n_neighbors": 4},
    {"worst_patches": 9},
    {"discriminator": "lof"},
    {"soft_weights": False},
    {"coreset_size": 3},
    {"neighbors": "pynndescent"},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_scores_depend_on_the_fit_alone(patches, queries, change):
    detector = SoftPatchDetector(random_state=0).fit(patches)
    scores, labels = detector.score_samples(queries), detector.predict(queries)
    maps, pvalues = detector.predict_map(queries), detector.predict_pvalue(queries)
    detector.set_params(**change)
    np.testing.assert_array_equal(detector.score_samples(queries), scores)
    np.testing.assert_array_equal(detector.predict(queries), labels)
    np.testing.assert_array_equal(detector.predict_map(queries), maps)
    np.testing.assert_array_equal(detector.predict_pvalue(queries), pvalues)


def test_contamination_is_read_later(patches):
    detector = SoftPatchDetector(random_state=0).fit(patches)
    before = detector.offset_
    detector.set_params(contamination=0.4)
    n = len(detector.calibration_scores_)
    expected = detector.calibration_scores_[int(0.4 * (n + 1)) - 1]
    assert detector.offset_ == pytest.approx(expected, rel=1.1e-3)
    assert detector.offset_ > before


@pytest.mark.parametrize("change", CHANGES[:5], ids=str)
def test_a_file_describes_how_the_model_scores(patches, tmp_path, change):
    detector = SoftPatchDetector(random_state=0).fit(patches)
    before = {name: getattr(detector, name) for name in change}
    detector.set_params(**change)
    with pytest.raises(ValueError, match="was changed after the fit"):
        save(detector, tmp_path / "model.skpatch")
    detector.set_params(**before)
    save(detector, tmp_path / "model.skpatch")


def test_an_update_learns_with_the_parameters_of_now(patches, queries):
    detector = SoftPatchDetector(discriminator="lof", random_state=0).fit(patches)
    distances = detector.predict_map(queries)
    detector.set_params(metric="sqeuclidean", soft_weights=False).forget([])
    assert (detector.memory_weights_ == 1).all()
    assert not np.allclose(detector.predict_map(queries), distances)
    plain = SoftPatchDetector(
        discriminator="lof", metric="sqeuclidean", soft_weights=False, random_state=0
    ).fit(patches)
    np.testing.assert_array_equal(plain.predict_map(queries), detector.predict_map(queries))
