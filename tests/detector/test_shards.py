# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from _references import map_without
from joblib import parallel_config
from scipy.spatial.distance import cdist

from skpatch import PatchFeatureExtractor, SoftPatchDetector, load, make_pipeline, save
from skpatch.bank.composing import condense
from skpatch.bank.coreset import greedy_coreset
from skpatch.detector.estimator import fitted_state
from skpatch.detector.learning import Fit
from skpatch.detector.shards import plan_shards
from skpatch.detector.state import Settings
from skpatch.discriminators import NearestDiscriminator

# Some shards of the fixture `patches`, whose selections are joined a few at a time.
LIMIT = 200_000


def sharded(**parameters):
    return SoftPatchDetector(
        **{"coreset_size": 50, "memory_limit": LIMIT, "random_state": 0, **parameters}
    )


def plan_of(detector, n_images):
    """How a fit of the detector on that many images is planned."""
    state = fitted_state(detector)
    fit = Fit(state.grid, state.components, Settings.of(detector))
    return plan_shards(n_images, detector.n_features_in_, fit)


def assert_same(one, two):
    names = "memory_bank_ memory_source_ memory_reaches_ memory_weights_ training_scores_ kept_"
    for name in names.split():
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), name)
    assert one.offset_ == two.offset_


def radius(detector, patches):
    """Largest distance of a kept patch to the memory bank."""
    return cdist(patches[detector.kept_], detector.memory_bank_).min(axis=1).max()


def test_shards_are_joined_in_a_tree(patches):
    detector = sharded().fit(patches)
    plan = plan_of(detector, len(patches))
    assert plan.n_shards > plan.fan_in > 1


@pytest.mark.parametrize("random_state", range(5))
def test_the_radius_is_bounded_and_hardly_larger(patches, random_state):
    parameters = {"discriminator": None, "random_state": random_state}
    at_once = sharded(memory_limit=None, **parameters).fit(patches)
    assert at_once.coreset_radius_ == pytest.approx(radius(at_once, patches))
    detector = sharded(**parameters).fit(patches)
    assert len(detector.memory_bank_) == 50
    reached = radius(detector, patches)
    # All that no selection has kept is near the leaders, so the bound is hardly above.
    assert reached * (1 - 1e-9) <= detector.coreset_radius_ <= 1.05 * reached
    assert reached <= 1.05 * at_once.coreset_radius_


def test_what_stands_for_a_shard(patches):
    points = patches[:10].reshape(-1, 16)
    leaders, rows = np.arange(20), np.arange(300)
    selected, from_selected, from_leaders = condense(points, 40, leaders, rows, "cpu")
    # Leaders, as many greedy picks, and twice as many that are farthest from the leaders.
    assert len(set(selected)) == len(selected) == 80
    np.testing.assert_array_equal(selected[:40], greedy_coreset(points, 40, leaders)[0])
    left = np.setdiff1d(rows, selected)
    distances = cdist(points, points[:20]).min(axis=1)
    assert distances[left].max() == pytest.approx(from_leaders)
    assert distances[selected[40:]].min() >= from_leaders
    assert cdist(points, points[selected]).min(axis=1).max() <= from_selected


@pytest.mark.parametrize("start", [3, np.arange(5)])
def test_all_of_a_small_shard_is_selected(patches, start):
    points = patches[0].reshape(-1, 16)
    selected, *bounds = condense(points, 100, start, np.arange(30), "cpu")
    assert sorted(selected) == list(range(30))
    assert bounds == [0, 0]


@pytest.mark.parametrize("discriminator", ["support", "lof", "gaussian", None])
def test_what_is_learned_fits_together(patches, discriminator):
    detector = sharded(discriminator=discriminator).fit(patches)
    source = tuple(detector.memory_source_.T)
    np.testing.assert_array_equal(detector.memory_bank_, patches[source])
    assert len(set(zip(*source, strict=True))) == len(detector.memory_bank_)
    assert detector.kept_[source].all()
    if discriminator in ("lof", "gaussian"):
        assert 1 - detector.kept_.mean() == pytest.approx(0.15, abs=0.01)
        np.testing.assert_array_equal(detector.memory_weights_, detector.noise_scores_[source])


def test_training_images_are_scored_without_themselves(patches):
    detector = sharded().fit(patches)
    for number in range(len(patches)):
        expected = -map_without(detector, patches[number], number).max()
        assert detector.training_scores_[number] == pytest.approx(expected, rel=1e-6)


def test_support_is_the_distance_to_other_images(patches):
    detector = sharded(noise_threshold=0.0).fit(patches)
    image = detector.memory_source_[:, 0]
    flat = patches[detector.trusted_images_].reshape(-1, 16)
    owner = np.repeat(np.flatnonzero(detector.trusted_images_), 30)
    distances = cdist(detector.memory_bank_, flat)
    distances[image[:, np.newaxis] == owner] = np.inf
    ratio = detector.memory_reaches_ / distances.min(axis=1)
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=5e-3)


@pytest.mark.parametrize("discriminator", ["support", "lof"])
def test_a_limit_that_suffices_changes_nothing(patches, discriminator):
    plain = sharded(discriminator=discriminator, memory_limit=None).fit(patches)
    assert_same(sharded(discriminator=discriminator, memory_limit="1G").fit(patches), plain)


class Numbers(NearestDiscriminator):
    """Remembers which images were compared with each other."""

    compared = []

    def score_patches(self, patches):
        self.compared.append(patches[:, 0, 0, 0])
        return super().score_patches(patches)


def test_shards_are_random():
    """One of defective images only, from the end of a sorted folder, could not tell that."""
    patches = np.random.RandomState(0).normal(size=(40, 5, 6, 16)).astype(np.float32)
    patches[:, 0, 0, 0] = np.arange(40)
    Numbers.compared.clear()
    sharded(discriminator=Numbers()).fit(patches)
    assert len(Numbers.compared) > 2
    assert sorted(np.concatenate(Numbers.compared)) == list(range(40))
    assert all(np.ptp(images) > 20 for images in Numbers.compared)


def test_updates_and_files_work_after_shards(patches, queries, tmp_path):
    detector = sharded().fit(patches)
    save(detector, tmp_path / "model.skpatch")
    loaded = load(tmp_path / "model.skpatch")
    np.testing.assert_array_equal(loaded.score_samples(queries), detector.score_samples(queries))
    loaded.partial_fit(queries).forget([0, 1])
    assert len(loaded.training_scores_) == 49
    assert np.isfinite(loaded.score_samples(queries)).all()


def test_the_error_names_a_limit_that_suffices(patches):
    with pytest.raises(ValueError, match=r"memory_limit=50000 is too small: 40 images") as caught:
        sharded(memory_limit=50_000).fit(patches)
    needed = str(caught.value).split(" need ")[1].split(". ")[0]
    sharded(memory_limit=needed).fit(patches)


@pytest.mark.parametrize("limit", ["2X", "", "much", "-1G", "2", "2 GiBs", "1.2.3G", 0, 1.5])
def test_a_limit_that_is_none(patches, limit):
    with pytest.raises(ValueError, match="memory_limit"):
        sharded(memory_limit=limit).fit(patches)


@pytest.mark.parametrize(
    "limit", ["2e-4G", "0.2MB", "200kb", "200 KiB", " .2 m", "2E-7 TiB", "0.0000002T"]
)
def test_a_limit_as_text(patches, limit):
    assert plan_of(sharded(memory_limit=limit).fit(patches), len(patches)).n_shards > 1


@pytest.mark.slow
def test_other_processes_learn_the_same(patches):
    alone = sharded().fit(patches)
    with parallel_config(backend="loky", n_jobs=2):
        assert_same(sharded().fit(patches), alone)


@pytest.fixture(scope="module")
def in_shards(data):
    """Pipeline fitted to `data` shard by shard."""
    detector = SoftPatchDetector(coreset_size=100, memory_limit="2M", random_state=0)
    model = make_pipeline(PatchFeatureExtractor(image_size=64), detector).fit(data.images)
    assert plan_of(detector, 30).n_shards > 1
    return model


class TestPipeline:
    def test_it_learns_from_images_what_it_learns_from_features(self, data, in_shards):
        features = in_shards[0].transform(data.images)
        parameters = in_shards[1].get_params()
        assert_same(SoftPatchDetector(**parameters).fit(features), in_shards[1])

    def test_so_does_a_lazy_sequence(self, data, in_shards):
        class Lazy:
            def __len__(self):
                return len(data.images)

            def __getitem__(self, index):
                assert isinstance(index, int)
                return data.images[index]

        model = make_pipeline(
            PatchFeatureExtractor(image_size=64),
            SoftPatchDetector(**in_shards[1].get_params()),
        )
        assert_same(model.fit(Lazy())[1], in_shards[1])

    def test_a_file_of_features_is_written_once(self, data, in_shards, tmp_path):
        model = make_pipeline(
            PatchFeatureExtractor(image_size=64, output=tmp_path / "features.npy"),
            SoftPatchDetector(**in_shards[1].get_params()),
        )
        assert_same(model.fit(data.images)[1], in_shards[1])
        assert len(np.load(tmp_path / "features.npy", mmap_mode="r")) == 30

    def test_defective_images_are_found(self, data, in_shards):
        audit = in_shards.audit(data.images)
        assert data.labels[audit.ranking[:3]].all()


class TestScoringInParts:
    @pytest.fixture(autouse=True)
    def _small_parts(self, monkeypatch):
        """Seven images at a time."""
        monkeypatch.setattr("skpatch.features.lazy._PART", 7 * 8 * 8 * 152 * 4)

    @pytest.mark.parametrize(
        "method", ["score_samples", "decision_function", "predict", "predict_pvalue"]
    )
    def test_the_scores_are_those_of_all_at_once(self, data, model, method):
        expected = getattr(model[1], method)(model[0].transform(data.images))
        np.testing.assert_array_equal(getattr(model, method)(data.images), expected)

    def test_no_more_images_are_decoded_than_fit_into_a_part(self, data, model, monkeypatch):
        counts = []
        transform = PatchFeatureExtractor.transform
        monkeypatch.setattr(
            PatchFeatureExtractor,
            "transform",
            lambda self, images: counts.append(len(images)) or transform(self, images),
        )
        model.predict_map(data.images)
        assert counts == [6] * 5

    def test_an_audit_too(self, data, model, audit):
        again = model.audit(data.images)
        np.testing.assert_array_equal(again.patch_scores, audit.patch_scores)
        others = [*data.images[:-1], data.images[0]]
        with pytest.raises(ValueError, match="Image 29 is not the one"):
            model.audit(others)


def test_what_is_not_inspected_is_left_out(patches, queries):
    patches, queries = patches.copy(), queries.copy()
    patches[:, 0], queries[:, 0] = np.nan, np.nan
    detector = sharded(memory_limit=220_000).fit(patches)
    assert plan_of(detector, 40).n_shards > 1
    cut = sharded(memory_limit=220_000).fit(patches[:, 1:])
    np.testing.assert_array_equal(detector.memory_bank_, cut.memory_bank_)
    np.testing.assert_array_equal(detector.memory_source_ - [0, 1, 0], cut.memory_source_)
    np.testing.assert_array_equal(detector.training_scores_, cut.training_scores_)
    np.testing.assert_array_equal(detector.kept_[:, 1:], cut.kept_)
    assert not detector.kept_[:, 0].any()
    np.testing.assert_array_equal(
        detector.score_samples(queries), cut.score_samples(queries[:, 1:])
    )
