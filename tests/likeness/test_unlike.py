# SPDX-License-Identifier: BSD-3-Clause
"""Images unlike everything learned are told; defects are not."""

import numpy as np
import pytest
from _cli import read_csv, run
from PIL import Image

import skpatch
from skpatch import Inspection, PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import load_elpv
from skpatch.likeness.unlike import tell_unlike, unlike_limit
from skpatch.runtime.telling import told_once

MESSAGE = "unlike everything that the model has learned"


@pytest.fixture(scope="module")
def features():
    """Images (40, 20, 20, 8), the first four with a defect over a quarter of the image."""
    features = np.random.RandomState(0).normal(size=(40, 20, 20, 8)).astype(np.float32)
    features[:4, :10, :10] += 5
    return features


@pytest.fixture(scope="module")
def detector(features):
    return SoftPatchDetector(coreset_size=2000, random_state=0).fit(features[:30])


METHODS = ["predict", "predict_pvalue", "score_samples", "decision_function", "predict_map"]


@pytest.mark.parametrize("method", METHODS)
def test_only_images_that_are_far_everywhere_are_told(detector, features, method):
    getattr(detector, method)(features)
    foreign = np.concatenate([features[30:35], features[:3] + 5])
    with pytest.warns(UserWarning, match=f"^3 of 8 images are {MESSAGE}: image 5, image 6, im"):
        getattr(detector, method)(foreign)


@pytest.mark.parametrize("change", ["forget", "partial_fit", "save"])
def test_the_limit_stays(detector, features, tmp_path, change):
    skpatch.save(detector, tmp_path / "model.skpatch")
    model = skpatch.load(tmp_path / "model.skpatch")
    if change == "forget":
        model.forget([5, 6])
    elif change == "partial_fit":
        model.partial_fit(features[30:])
    assert model.unlike_limit_ == pytest.approx(detector.unlike_limit_, rel=0.05)
    with pytest.warns(UserWarning, match="1 of 2 images"):
        model.predict(np.stack([features[31], features[32] + 5]))


def test_shards_have_a_limit(features):
    model = SoftPatchDetector(coreset_size=500, memory_limit="2M", random_state=0).fit(features)
    with pytest.warns(UserWarning, match="1 of 2 images"):
        model.predict(np.stack([features[31], features[32] + 5]))


def test_the_limit_is_beyond_all_trusted_images_and_most_by_a_margin():
    typical = np.append(np.ones(20), np.nan)
    assert unlike_limit(typical, 400) == pytest.approx(1.5)
    typical[0] = 1.5
    assert unlike_limit(typical, 400) == 1.5
    assert unlike_limit(typical[:7], 400) == unlike_limit(typical, 399) == np.inf


def tell_in_parts(*parts, names=None):
    with told_once(names):
        for is_unlike in parts:
            tell_unlike(np.array(is_unlike))


def test_parts_are_told_once():
    names = ["a.png", "b.png", "c.png", "d.png"]
    with pytest.warns(UserWarning, match="2 of 4 images .* b.png, d.png") as told:
        tell_in_parts([False, True], [False, True], names=names)
    assert len(told) == 1


def test_nothing_is_told_after_an_error():
    with pytest.raises(ValueError, match="inhomogeneous"):
        tell_in_parts([True], [[0], [0, 1]])
    with pytest.warns(UserWarning, match="1 of 1"):
        tell_unlike(np.array([True]))


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A pipeline that knows solar cells, and a folder of two cells and a black image."""
    cells = load_elpv().images
    model = make_pipeline(
        PatchFeatureExtractor(image_size=160), SoftPatchDetector(random_state=0, coreset_size=1000)
    ).fit(cells[:16])
    folder = tmp_path_factory.mktemp("new")
    for number, path in enumerate(cells[20:22]):
        Image.open(path).save(folder / f"{number}.png")
    Image.new("L", (300, 300)).save(folder / "black.png")
    return model, folder


@pytest.mark.filterwarnings(f"default:.*{MESSAGE}")
def test_a_black_image_is_told_everywhere(line, tmp_path, capsys):
    model, folder = line
    images = sorted(map(str, folder.iterdir()))
    with pytest.warns(UserWarning, match="1 of 3 images .* image 2") as told:
        inspection = model.inspect(images)
    assert len(told) == 1
    assert isinstance(inspection, Inspection)
    np.testing.assert_array_equal(inspection.is_unlike, [False, False, True])
    inspection.to_html(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count('data-unlike="yes"') == 1
    skpatch.save(model, tmp_path / "model.skpatch")
    table = tmp_path / "new.csv"
    assert run("score", tmp_path / "model.skpatch", folder, "-o", table, "--quiet") == 0
    assert "1 of 3 images are unlike" in (printed := capsys.readouterr().err)
    assert "black.png" in printed
    assert [row["unlike"] for row in read_csv(table)] == ["no", "no", "yes"]


@pytest.mark.parametrize("discriminator", ["support", "lof"])
@pytest.mark.filterwarnings("ignore:.*unlike the rest")
def test_a_variant_that_is_declared_normal_is_like_what_was_learned(features, discriminator):
    variant = features[10:16] + 8
    train = np.concatenate([features[4:10], features[16:], variant])
    model = SoftPatchDetector(discriminator=discriminator, random_state=0).fit(train)
    model.trust(np.arange(30, 36))
    # Neither the variant is told, nor does it hide what is far from all.
    model.predict(np.concatenate([train, features[10:16] + 8.1]))
    with pytest.warns(UserWarning, match="6 of 6 images"):
        model.predict(features[10:16] - 8)
