# SPDX-License-Identifier: BSD-3-Clause
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import f1_score, roc_auc_score

from skpatch.metrics import (
    aupro,
    f1_max,
    image_auroc,
    image_average_precision,
    pixel_auroc,
    pixel_average_precision,
    pixel_f1_max,
)

IMAGE_METRICS = [image_auroc, image_average_precision, f1_max]
PIXEL_METRICS = [pixel_auroc, pixel_average_precision, pixel_f1_max, aupro]


def brute_force_curve(masks, maps):
    """False positive rates and mean overlaps at every threshold, by counting."""
    normal = np.concatenate([m[~mask & ~np.isnan(m)] for mask, m in zip(masks, maps, strict=True)])
    regions = []
    for mask, map_ in zip(masks, maps, strict=True):
        labels, n_labels = ndimage.label(mask, np.ones((3, 3)))
        inside = [map_[(labels == i) & ~np.isnan(map_)] for i in range(1, n_labels + 1)]
        regions += [values for values in inside if len(values)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(np.concatenate([normal, *regions]))[::-1]:
        overlaps = [np.mean(values >= threshold) for values in regions]
        points.append((np.mean(normal >= threshold), np.mean(overlaps)))
    return points


def brute_force_aupro(masks, maps, max_fpr):
    points = brute_force_curve(masks, maps)
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > max_fpr:
            y1 = y0 + (y1 - y0) * (max_fpr - x0) / (x1 - x0)
            return (area + (max_fpr - x0) * (y0 + y1) / 2) / max_fpr
        area += (x1 - x0) * (y0 + y1) / 2
    return area / max_fpr


def random_pixels(seed, *, n_values=8, nan=False):
    """Masks with several regions, one image without any, and maps of few distinct values."""
    rng = np.random.default_rng(seed)
    shapes = [(9, 12), (7, 7), (10, 6)]
    masks = [rng.random(shape) < 0.15 for shape in shapes]
    masks[1][:] = False
    masks[0][:2, :3] = True
    maps = [
        rng.integers(0, n_values, shape) / n_values + 0.4 * mask * rng.integers(0, 2, shape)
        for shape, mask in zip(shapes, masks, strict=True)
    ]
    if nan:
        maps[0][:3] = np.nan
        maps[2][:, -2:] = np.nan
    return masks, maps


def test_image_metrics_hand_computed():
    y_true = [0, 1, 0, 1, 0]
    scores = [1.0, 2.0, 2.0, 4.0, 3.0]
    # Pairs: 2 > 1, 2 = 2, 2 < 3, 4 > all.
    assert image_auroc(y_true, scores) == pytest.approx(4.5 / 6)
    # Thresholds 4: P = 1, R = 1/2; 3: R same; 2: P = 2/4, R = 1.
    assert image_average_precision(y_true, scores) == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert f1_max(y_true, scores) == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", IMAGE_METRICS)
def test_image_metrics_perfect_and_direction(metric):
    y_true = np.array([False, False, True, True])
    assert metric(y_true, [0.0, 1.0, 2.0, 3.0]) == 1.0
    assert metric(y_true, [3.0, 2.0, 1.0, 0.0]) < 1.0
    assert isinstance(metric(y_true, [0.0, 1.0, 2.0, 3.0]), float)


def test_f1_max_equals_all_thresholds():
    rng = np.random.default_rng(0)
    for _ in range(20):
        y_true = rng.permutation(np.arange(30) < 8)
        scores = rng.integers(0, 10, 30) + 2.0 * y_true
        expected = max(f1_score(y_true, scores >= t) for t in np.unique(scores))
        assert f1_max(y_true, scores) == pytest.approx(expected)


@pytest.mark.parametrize("metric", IMAGE_METRICS)
@pytest.mark.parametrize(
    ("y_true", "scores", "message"),
    [
        ([], [], "empty"),
        ([0, 1], [0.1, 0.2, 0.3], "2 labels, but scores has 3"),
        ([0, 1], [0.1, np.nan], r"scores\[1\] is NaN or infinite"),
        ([0, 1], [np.inf, 0.0], r"scores\[0\] is NaN or infinite"),
        ([1, 1], [0.1, 0.2], "only defective"),
        ([0, 0], [0.1, 0.2], "only normal"),
        ([1, -1], [0.1, 0.2], "y == -1"),
        (["good", "bad"], [0.1, 0.2], "1 .defective. and 0 .normal."),
        ([[0], [1]], [0.1, 0.2], r"y_true has shape \(2, 1\)"),
        ([0, 1], [[0.1], [0.2]], r"scores has shape \(2, 1\)"),
    ],
)
def test_image_metric_errors(metric, y_true, scores, message):
    with pytest.raises(ValueError, match=message):
        metric(y_true, scores)


@pytest.mark.parametrize(
    ("pixel", "image"),
    [
        (pixel_auroc, image_auroc),
        (pixel_average_precision, image_average_precision),
        (pixel_f1_max, f1_max),
    ],
)
def test_pixel_metrics_pool_the_inspected_pixels(pixel, image):
    masks, maps = random_pixels(0, nan=True)
    labels = np.concatenate([mask.ravel() for mask in masks])
    scores = np.concatenate([map_.ravel() for map_ in maps])
    inspected = ~np.isnan(scores)
    expected = image(labels[inspected], scores[inspected])
    assert pixel(masks, maps) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("metric", PIXEL_METRICS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint8, bool])
def test_pixel_metrics_count_part_by_part(metric, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    masks = rng.random((3, 30, 20)) < 0.3
    maps = (rng.integers(0, 40, masks.shape) + 10 * masks).astype(dtype)
    expected = metric(masks, maps.astype(float))
    monkeypatch.setattr("skpatch.metrics.pixels._PART", 50)
    assert metric(masks, maps) == pytest.approx(
        metric(masks, maps > 0) if dtype is bool else expected, rel=1e-14
    )


@pytest.mark.parametrize("metric", PIXEL_METRICS)
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_pixel_metrics_take_little_memory(metric, share, monkeypatch):
    monkeypatch.setattr("skpatch.metrics.pixels._PART", 5000)
    rng = np.random.default_rng(0)
    masks = [ndimage.uniform_filter(rng.random((500, 400)), 20) > 0.5 for _ in range(2)]
    masks[0] &= rng.random(masks[0].shape) < share
    maps = [rng.random(mask.shape, np.float32) + mask for mask in masks]
    tracemalloc.start()
    try:
        metric(masks, maps)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * 2 * masks[0].size


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_pixel_metrics_accept_every_form(metric):
    rng = np.random.default_rng(1)
    masks = rng.random((3, 8, 8)) < 0.2
    masks[2] = False
    maps = rng.random((3, 8, 8)) + 0.5 * masks
    expected = metric(masks, maps)
    assert metric(list(masks), list(maps)) == expected
    assert metric([*masks[:2], None], maps) == expected
    assert metric(masks.astype(np.uint8) * 255, maps) == expected
    assert metric(masks.tolist(), maps.tolist()) == expected
    assert metric(masks, (maps > 0.6)) == metric(masks, (maps > 0.6).astype(np.float32))


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_pixel_metrics_of_tensors(metric):
    masks, maps = random_pixels(7)
    expected = metric(masks, maps)
    masks, maps = ([torch.tensor(one) for one in both] for both in (masks, maps))
    assert metric(masks, [one.requires_grad_() for one in maps]) == expected
    assert metric([one.bfloat16() for one in masks], maps) == expected
    rounded = [one.detach().bfloat16() for one in maps]
    assert metric(masks, rounded) == metric(masks, [one.float() for one in rounded])
    whole = [torch.stack([one[:5, :5] for one in both]) for both in (masks, rounded)]
    assert metric(*whole) == metric(*(one.float().numpy() for one in whole))


@pytest.mark.parametrize("metric", IMAGE_METRICS)
def test_image_metrics_of_tensors(metric):
    labels = torch.tensor([0, 1, 0, 1, 1])
    scores = torch.tensor([0.5, 1, 0.25, 2, 0.375], requires_grad=True)
    expected = metric(labels.numpy(), scores.tolist())
    assert metric(labels, scores) == expected
    assert metric(labels.bfloat16(), scores.bfloat16()) == expected


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_pixel_metrics_sanity(metric):
    masks, maps = random_pixels(2, n_values=100)
    expected = metric(masks, maps)
    assert metric(masks, [np.exp(3 * map_) - 7 for map_ in maps]) == pytest.approx(expected)
    assert metric(masks[::-1], maps[::-1]) == pytest.approx(expected)
    assert metric([m.T for m in masks], [m.T for m in maps]) == pytest.approx(expected)
    assert metric(masks, [mask.astype(float) for mask in masks]) == pytest.approx(1)
    assert metric(masks, [-map_ for map_ in maps]) < expected


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_cropping_with_nan_equals_cropping(metric):
    rng = np.random.default_rng(3)
    masks = rng.random((2, 10, 10)) < 0.1
    masks[:, :, 7] = False
    masks[:, :, 8] = True
    maps = rng.random((2, 10, 10)) + 0.3 * masks
    cropped = metric(masks[:, :, :8], maps[:, :, :8])
    maps[:, :, 8:] = np.nan
    assert metric(masks, maps) == pytest.approx(cropped)


@pytest.mark.parametrize("max_fpr", [0.05, 0.3, 0.77, 1.0, 1])
@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize("n_values", [2, 8, 1000])
def test_aupro_equals_brute_force(n_values, nan, max_fpr):
    for seed in range(5):
        masks, maps = random_pixels(seed, n_values=n_values, nan=nan)
        expected = brute_force_aupro(masks, maps, max_fpr)
        assert aupro(masks, maps, max_fpr=max_fpr) == pytest.approx(expected, abs=1e-12)


def test_aupro_curve_point_at_max_fpr():
    # Ten normal pixels, one region of two: its pixels rank after 2 and 3 false positives.
    mask = np.array([[False] * 10 + [True] * 2])
    map_ = np.array([[9.0, 8, 6, 5, 4, 3, 2, 1, 0, -1, 7, 5.5]])
    # 0 up to 0.2, then 1/2 up to 0.3, then 1; the rise at exactly 0.3 adds no area.
    assert aupro([mask], [map_]) == pytest.approx(0.05 / 0.3)
    assert aupro([mask], [map_], max_fpr=0.2) == pytest.approx(0.0)
    assert aupro([mask], [map_], max_fpr=0.4) == pytest.approx(0.15 / 0.4)
    assert aupro([mask], [map_], max_fpr=0.35) == pytest.approx(0.1 / 0.35)


def test_aupro_weighs_regions_equally():
    # The large region is found at once, the small one never before the normal pixels.
    mask = np.zeros((20, 20), bool)
    mask[:5, :5] = True
    mask[15, 15] = True
    map_ = np.zeros((20, 20))
    map_[:5, :5] = 1
    map_[15, 15] = -1
    assert aupro([mask], [map_]) == pytest.approx(0.5)
    assert pixel_auroc([mask], [map_]) == pytest.approx(25 / 26)


def test_aupro_regions_touch_at_corners():
    mask = np.zeros((6, 6), bool)
    mask[0, 0] = mask[1, 1] = mask[4, 4] = True
    map_ = np.zeros((6, 6))
    map_[0, 0] = 1
    map_[1, 1] = map_[4, 4] = -1
    # Two regions, the first of two pixels: overlap (1/2 + 0) / 2.
    assert aupro([mask], [map_]) == pytest.approx(0.25)


@pytest.mark.parametrize("max_fpr", [0.1, 0.3, 1.0])
def test_aupro_of_a_constant_map(max_fpr):
    masks, maps = random_pixels(4)
    constant = [np.full_like(map_, 3.0) for map_ in maps]
    assert aupro(masks, constant, max_fpr=max_fpr) == pytest.approx(max_fpr / 2)


def test_aupro_of_single_pixels_is_partial_auroc():
    # With one-pixel regions the overlap is the recall of the pixels.
    rng = np.random.default_rng(5)
    mask = np.zeros((30, 30), bool)
    mask[::5, ::5] = True
    map_ = rng.random((30, 30)) + 0.5 * mask
    expected = roc_auc_score(mask.ravel(), map_.ravel())
    assert aupro([mask], [map_], max_fpr=1.0) == pytest.approx(expected)


def test_aupro_leaves_its_input_alone():
    masks, maps = random_pixels(6, nan=True)
    before = [map_.copy() for map_ in maps]
    aupro(masks, maps)
    for old, new in zip(before, maps, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("max_fpr", [0.0, -0.1, 1.5])
def test_aupro_max_fpr_error(max_fpr):
    masks, maps = random_pixels(0)
    with pytest.raises(ValueError, match="max_fpr"):
        aupro(masks, maps, max_fpr=max_fpr)


ONES = np.ones((2, 2))
HALF = np.array([[0, 1], [0, 0]])


@pytest.mark.parametrize("metric", PIXEL_METRICS)
@pytest.mark.parametrize(
    ("masks", "maps", "error", "message"),
    [
        ([], [], ValueError, "empty"),
        ([HALF], [ONES, ONES], ValueError, "1 masks, but 2 maps"),
        ([HALF, HALF[:1]], [ONES, ONES], ValueError, r"masks\[1\] has shape \(1, 2\)"),
        ([HALF], [HALF[0]], ValueError, r"maps\[0\] has shape \(2,\)"),
        ([HALF], [["a", "b"]], ValueError, r"maps\[0\] has shape \(2,\) and type <U1"),
        ([HALF], [ONES * np.inf], ValueError, r"maps\[0\] has infinite"),
        ([HALF * np.nan], [ONES], ValueError, r"masks\[0\] has NaN"),
        ([None], [ONES], ValueError, "no defective pixel"),
        ([ONES], [ONES], ValueError, "no normal pixel"),
        ([HALF], [ONES * np.nan], ValueError, "no defective pixel"),
        (["a_mask.png"], [ONES], TypeError, "read_mask"),
        (None, [ONES], TypeError, "masks must be a list"),
        ("abc", [ONES], TypeError, "masks must be a list"),
        ([HALF], iter([ONES]), TypeError, "maps must be a list"),
    ],
)
def test_pixel_metric_errors(metric, masks, maps, error, message):
    with pytest.raises(error, match=message):
        metric(masks, maps)
