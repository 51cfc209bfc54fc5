# SPDX-License-Identifier: BSD-3-Clause
"""A region of interest from the painted mask to maps, reports and the command line."""

import json
import warnings

import numpy as np
import pytest
from _cli import SMALL, read_csv, run
from _networks import small_extractor, with_parameters
from _persistence import assert_same, saved
from _photographs import IMAGES
from PIL import Image
from sklearn.base import clone

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.bank.bank import average_worst
from skpatch.features.region import patches_inside, read_region
from skpatch.images.collection import check_images
from skpatch.inspection.heat import heat_picture
from skpatch.inspection.maps import image_map
from skpatch.metrics import pixel_auroc
from skpatch.report import score_report

pytestmark = pytest.mark.usefixtures("one_thread")

# Of images of 64 x 64 pixels with 8 x 8 patches: the lower right, 6 x 5 patches.
MASK = np.zeros((64, 64), bool)
MASK[16:, 24:] = True
CELLS = MASK[::8, ::8]


@pytest.fixture(scope="module")
def mask_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("region") / "mask.png"
    Image.fromarray(MASK).save(path)
    return path


@pytest.fixture(scope="module")
def model(data, mask_file):
    extractor = PatchFeatureExtractor(image_size=64, region=mask_file)
    detector = SoftPatchDetector(noise_threshold=0.05, random_state=0)
    return make_pipeline(extractor, detector).fit(data.images)


@pytest.fixture(scope="module")
def audit(model, data):
    return model.audit(data.images)


def inspected(region, sizes=((70, 80),), grid=(8, 10), crop_share=None):
    """Inspected patches of images of some sizes, without a network."""
    images = check_images([np.zeros(size, np.uint8) for size in sizes])
    return patches_inside(read_region(region), images, sizes, crop_share, grid)


# The mask


def test_features_outside_are_nan(fitted, features, tmp_path):
    mask = np.zeros((70, 80), bool)
    mask[:, :40] = True
    extractor = clone(fitted).set_params(region=mask).fit(IMAGES)
    found = extractor.transform(IMAGES)
    np.testing.assert_array_equal(found[:, :, :5], features[:, :, :5])
    assert np.isnan(found[:, :, 5:]).all()
    on_disk = extractor.set_params(output=tmp_path / "features.npy").transform(IMAGES)
    np.testing.assert_array_equal(on_disk, found)
    assert fitted.inspected_.all()
    assert fitted.inspected_.shape == fitted.grid_size_


def test_forms_of_a_mask(tmp_path):
    mask = np.zeros((70, 80), bool)
    mask[20:50, 10:60] = True
    expected = inspected(mask)
    assert 0 < expected.sum() < expected.size
    grey = 255 * mask.astype(np.uint8)
    colour = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    for index, picture in enumerate((mask, grey, colour, np.where(mask, 200, 60).astype(np.uint8))):
        path = tmp_path / f"{index}.png"
        Image.fromarray(picture).save(path)
        np.testing.assert_array_equal(inspected(path), expected)
        np.testing.assert_array_equal(inspected(str(path)), expected)
    for array in (grey, mask.astype(float), mask.tolist(), np.kron(mask, np.ones((3, 3)))):
        np.testing.assert_array_equal(inspected(array), expected)


def test_half_of_a_cell_is_enough():
    mask = np.zeros((64, 64), bool)
    mask[:4, :8] = True  # half of the first
    mask[:3, 8:16] = True  # less of the second
    mask[8:16, 4:12] = True  # half of two
    expected = np.zeros((8, 8), bool)
    expected[0, 0] = expected[1, 0] = expected[1, 1] = True
    np.testing.assert_array_equal(inspected(mask, [(64, 64)], (8, 8)), expected)
    # Cells of 2.5 x 2.5 pixels, whose borders are inside of pixels.
    mask = np.zeros((20, 20), bool)
    mask[:3, :2] = True  # 2.5 x 2 of the first
    mask[10:12, 18:] = mask[12, 19] = True  # 4.5 of the 6.25 of the last in its row
    expected[:] = False
    expected[0, 0] = expected[4, 7] = True
    np.testing.assert_array_equal(inspected(mask, [(64, 64)], (8, 8)), expected)
    mask[10:12, 18] = False
    expected[4, 7] = False
    np.testing.assert_array_equal(inspected(mask, [(64, 64)], (8, 8)), expected)


def test_the_mask_is_cropped_like_the_images():
    mask = np.zeros((70, 80), bool)
    mask[3:35, 8:40] = True  # the upper left quarter of the central square
    found = inspected(mask, grid=(8, 8), crop_share=64 / 70)
    np.testing.assert_array_equal(np.argwhere(found), np.argwhere(np.ones((4, 4))))


def test_a_reduced_mask_fits(mask_file):
    mask = np.zeros((107, 71), bool)
    mask[:50] = True
    assert inspected(mask, [(641, 427), (213, 142)]).any()
    with pytest.raises(ValueError, match=r"region has 64 x 64 .* image 1 has 213 x 142"):
        inspected(mask_file, [(200, 200), (213, 142)])


@pytest.mark.parametrize(
    ("region", "error", "message"),
    [
        ("lost.png", FileNotFoundError, r"region='lost\.png' is not a file"),
        (np.zeros((70, 80)), ValueError, "region leaves none of the 8 x 10 patches"),
        (np.ones((70, 81, 3)), ValueError, r"region has shape \(70, 81, 3\)"),
        (np.ones((80, 70)), ValueError, "80 x 70 pixels .* image 0 has 70 x 80"),
        (np.arange(5600).reshape(70, 80), ValueError, "region must be a mask of two values"),
    ],
    ids=["missing", "empty", "colours", "turned", "grey"],
)
def test_bad_masks(region, error, message):
    with pytest.raises(error, match=message):
        inspected(region)


def test_bad_masks_end_a_fit():
    with pytest.raises(ValueError, match="'region' parameter"):
        small_extractor(region=3).fit(IMAGES)
    with pytest.raises(ValueError, match=r"64 x 64 pixels .* image 0 has 70 x 80"):
        small_extractor(region=MASK).fit(IMAGES)


# Maps


def test_map_is_smoothed_inside_the_region_only():
    scores = np.random.RandomState(0).uniform(1, 2, size=(8, 8))
    scores[~CELLS] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = image_map(scores, (64, 64), (128, 128), (0, 0, 128, 128), sigma=4)
    np.testing.assert_array_equal(np.isnan(found), ~np.kron(MASK, np.ones((2, 2), bool)))
    assert np.nanmin(found) > np.nanmin(scores)
    assert np.nanmax(found) < np.nanmax(scores)
    constant = image_map(np.where(CELLS, 3.0, np.nan), (64, 64), (50, 70), (0, 0, 50, 70), sigma=4)
    np.testing.assert_allclose(constant[np.isfinite(constant)], 3, rtol=1e-5)
    # Far from the border of the region nothing changes.
    full = np.where(CELLS, scores, 0)
    everywhere = image_map(full, (64, 64), (128, 128), (0, 0, 128, 128), sigma=2)
    found = image_map(scores, (64, 64), (128, 128), (0, 0, 128, 128), sigma=2)
    np.testing.assert_allclose(found[64:, 80:], everywhere[64:, 80:], rtol=1e-4)


def test_maps_and_pixel_metrics(model, data):
    maps = model.predict_map(data.images[:6])
    for anomaly_map in maps:
        np.testing.assert_array_equal(np.isfinite(anomaly_map), MASK)
    masks = [np.zeros((64, 64), bool) for _ in maps]
    masks[0][20:30, 30:40] = masks[1][:30, :30] = True
    inside = [[values[16:, 24:] for values in arrays] for arrays in (masks, maps)]
    assert pixel_auroc(masks, maps) == pixel_auroc(*inside)


def test_heat_is_dark_outside():
    scores = np.array([[0.0, 1.0, np.nan, np.inf]])
    colours = np.asarray(heat_picture(scores).convert("RGBA"))[0]
    assert colours[[0, 2, 3], 3].tolist() == [0, 255, 0]
    assert 0 < colours[1, 3] < 255
    assert colours[2, :3].tolist() == [0, 0, 0]


# Models


def test_saved_pipeline(model, data, mask_file, tmp_path):
    scores = model.score_samples(data.images)
    loaded = saved(model, tmp_path)
    assert loaded[0].region == str(mask_file)
    as_array = make_pipeline(clone(model[0]).set_params(region=MASK), clone(model[1]))
    as_array = saved(as_array.fit(data.images), tmp_path)
    np.testing.assert_array_equal(as_array[0].region, MASK)
    for other in (loaded, as_array):
        np.testing.assert_array_equal(other[0].inspected_, CELLS)
        np.testing.assert_array_equal(other[1].inspected_, CELLS)
        refitted = clone(other).set_params(softpatchdetector__random_state=0).fit(data.images)
        assert_same(refitted[1], model[1], ["memory_bank_", "kept_", "inspected_"])
    np.testing.assert_array_equal(loaded.score_samples(data.images), scores)


def test_the_mask_is_not_needed_to_load(model, data, tmp_path):
    without = with_parameters(model[0], region=tmp_path / "lost.png")
    loaded = saved(skpatch.PatchPipeline([("extractor", without), model.steps[1]]), tmp_path)
    expected = model.score_samples(data.images)
    np.testing.assert_array_equal(loaded.score_samples(data.images), expected)


def test_steps_with_different_regions_cannot_be_saved(model, tmp_path):
    other = with_parameters(model[0])
    other.inspected_ = np.ones_like(CELLS)
    mixed = skpatch.PatchPipeline([("extractor", other), ("detector", model[-1])])
    with pytest.raises(ValueError, match="not fitted with the same region"):
        skpatch.save(mixed, tmp_path / "model.skpatch")


def test_audit(model, audit):
    for values, outside in ((audit.patch_scores, np.nan), (audit.removed, False)):
        assert values.shape == (30, 8, 8)
        np.testing.assert_array_equal(values[:, ~CELLS], np.full((30, 34), outside))
    assert np.isfinite(audit.patch_scores[:, CELLS]).all()
    assert audit.removed.any()
    np.testing.assert_allclose(
        -average_worst(audit.patch_scores, model[-1].n_worst_patches_, model[-1].peak_share_),
        audit.scores,
    )
    (anomaly_map,) = audit.maps([4])
    np.testing.assert_array_equal(np.isfinite(anomaly_map), MASK)


def test_plots(model, data):
    plotting = pytest.importorskip("skpatch.plotting")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    display = plotting.AnomalyMapDisplay.from_estimator(model, data.images[:2])
    expected = model.score_samples(data.images[:2]) / model[-1].offset_
    np.testing.assert_allclose(display.scores, expected, rtol=1e-5)
    np.testing.assert_array_equal(display.heatmaps_[0].get_array().mask, ~MASK)
    audit = plotting.NoiseAuditDisplay.from_estimator(model, data.images, n_shown=2)
    assert np.isfinite(audit.scores).all()
    pyplot.close("all")


def test_reports_say_what_is_dark(model, audit, data, tmp_path):
    path = tmp_path / "report.html"
    score_report(path, model, data.images[:3])
    assert "darkened: not inspected" in path.read_text(encoding="utf-8")
    audit.to_html(path)
    assert "darkened: not inspected" in path.read_text(encoding="utf-8")


def test_command_line(photos, mask_file, model, tmp_path, capsys):
    saved_model, rows, heat = tmp_path / "m.skpatch", tmp_path / "rows.csv", tmp_path / "heat"
    options = [*SMALL, "--region", mask_file, "--quiet"]
    assert run("fit", photos, "-o", saved_model, *options) == 0
    arguments = ["-o", rows, "--maps", heat, "--report", tmp_path / "r.html", "--quiet"]
    assert run("score", saved_model, photos, *arguments) == 0
    loaded = skpatch.load(saved_model)
    table = read_csv(rows)
    paths = [row["image"] for row in table]
    expected = loaded.score_samples(paths) / loaded[1].offset_
    np.testing.assert_allclose([float(row["score"]) for row in table], expected, rtol=1e-5)
    boxes = [one["box"] for row in table for one in json.loads(row["regions"])]
    assert boxes
    assert all(left >= 24 and top >= 16 for left, top, *_ in boxes)
    (picture,) = heat.rglob("*_0-good.png")
    with Image.open(picture) as image, Image.open(photos / "line0" / "0-good.png") as photo:
        outside = [np.asarray(one.convert("RGB"), float)[:8, :8] for one in (image, photo)]
    # What is not inspected is half as bright.
    np.testing.assert_allclose(outside[0], outside[1] / 2, atol=2)
    report, ranking = tmp_path / "audit.html", tmp_path / "audit.csv"
    assert run("audit", photos, "-o", report, "--csv", ranking, *options) == 0
    scores = {row["image"]: float(row["score"]) for row in read_csv(ranking)}
    detector = loaded[1]
    np.testing.assert_allclose(
        sorted(scores.values()), sorted(detector.training_scores_ / detector.offset_), rtol=1e-5
    )
    assert run("fit", photos, "-o", saved_model, *SMALL, "--region", tmp_path / "lost.png") == 1
    assert "lost.png' is not a file" in capsys.readouterr().err
