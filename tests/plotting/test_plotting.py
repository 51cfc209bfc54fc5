# SPDX-License-Identifier: BSD-3-Clause
import sys

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from sklearn.pipeline import Pipeline

from skpatch.inspection.heat import heat_picture
from skpatch.plotting import AnomalyMapDisplay, NoiseAuditDisplay, RobustnessDisplay

RATIOS = [0, 0, 0.4, 0.4, 0, 0.4, 0.4]
SCORES = [0.9, 0.8, 0.5, 0.7, 0.95, 0.9, np.nan]
METHODS = ["plain", "plain", "plain", "plain", "robust", "robust", "robust"]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def images():
    return np.random.RandomState(0).randint(0, 255, (3, 8, 12, 3), np.uint8)


@pytest.fixture
def maps():
    return np.random.RandomState(1).uniform(0, 6, (3, 8, 12))


def titles(axes):
    return [ax.get_title() for ax in axes]


def test_maps_of_an_estimator(model, data):
    shown = data.images[:4]
    display = AnomalyMapDisplay.from_estimator(model, shown, labels=data.labels[:4])
    threshold = -model[-1].offset_
    for artist, expected in zip(display.heatmaps_, model.predict_map(shown), strict=True):
        np.testing.assert_allclose(artist.get_array(), expected / threshold, rtol=1e-6)
    for artist, image in zip(display.photographs_, shown, strict=True):
        np.testing.assert_array_equal(artist.get_array(), image)
    np.testing.assert_allclose(display.scores, model.score_samples(shown) / -threshold, rtol=1e-6)
    assert titles(display.axes_[1]) == [f"score {score:.2f}" for score in display.scores]
    assert titles(display.axes_[0]) == [
        "defective" if label else "normal" for label in data.labels[:4]
    ]


def test_maps_of_a_stock_pipeline(model, data):
    display = AnomalyMapDisplay.from_estimator(Pipeline(model.steps), data.images[:2])
    np.testing.assert_array_equal(
        display.maps[1], model.predict_map(data.images[:2])[1] / -model[-1].offset_
    )


def test_maps_share_one_scale(images, maps):
    maps[1] /= 100
    display = AnomalyMapDisplay.from_predictions(images, maps, threshold=2)
    assert [artist.get_clim() for artist in display.heatmaps_] == [(0, 2)] * 3
    np.testing.assert_array_equal(display.heatmaps_[2].get_array(), maps[2] / 2)
    assert display.colorbar_.mappable is display.heatmaps_[0]
    display.plot(vmax=3, cmap="viridis", colorbar=False)
    assert [artist.get_clim() for artist in display.heatmaps_] == [(0, 3)] * 3
    assert display.heatmaps_[0].get_cmap().name == "viridis"
    assert display.heatmaps_[0].get_alpha() == 0.5
    assert display.colorbar_ is None


def test_maps_have_the_colours_of_overlays(images):
    """A drawn map is the picture of `heat`: the photograph shows well below the threshold."""
    scores = np.linspace(0, 2.5, 96).reshape(1, 8, 12)
    display = AnomalyMapDisplay.from_predictions(images[:1], scores)
    rgba = display.heatmaps_[0].to_rgba(scores[0])
    expected = np.asarray(heat_picture(scores[0]).convert("RGBA")) / 255
    np.testing.assert_allclose(rgba[..., :3], expected[..., :3], atol=0.06)
    np.testing.assert_allclose(rgba[..., 3], 0.5 * expected[..., 3], atol=0.08)
    assert not rgba[scores[0] < 0.85, 3].any()
    figure = display.figure_
    figure.canvas.draw()
    texts = [label.get_text() for label in display.colorbar_.ax.get_yticklabels()]
    assert texts[0] == "0"
    assert texts[-1] == "≥ 2"


def outlines(ax):
    """Lines that are drawn in an axes, white ones and then dark red ones."""
    return [np.array(found.get_segments()) for found in ax.collections]


def test_outlines_are_those_of_the_regions(model, data, audit):
    inspection = model.inspect(data.images[:12])
    worst = inspection.ranking[0]
    display = AnomalyMapDisplay.from_inspection(inspection, [worst, inspection.ranking[-1]])
    halo, line = outlines(display.axes_[1, 0])
    np.testing.assert_allclose(line.reshape(-1, 4) + 0.5, inspection.outline(worst))
    np.testing.assert_array_equal(halo, line)
    boxes = np.array([region["box"] for region in inspection.regions(worst)])
    x, y = line[..., 0] + 0.5, line[..., 1] + 0.5
    assert [x.min(), y.min()] == boxes[:, :2].min(axis=0).tolist()
    assert [x.max(), y.max()] == boxes[:, 2:].max(axis=0).tolist()
    assert [len(lines) for lines in outlines(display.axes_[1, 1])] == [0, 0]
    assert outlines(display.axes_[0, 0]) == []
    top = NoiseAuditDisplay.from_audit(audit, n_shown=1).top
    _, line = outlines(top.axes_[1, 0])
    np.testing.assert_allclose(
        line.reshape(-1, 4) + 0.5, audit.inspection.outline(audit.ranking[0])
    )


def test_outlines_of_maps(images, maps):
    """Without patches, around the pixels above the threshold."""
    maps[0] = 0
    maps[0, 2:4, 5] = 3
    display = AnomalyMapDisplay.from_predictions(images, maps, threshold=2)
    _, line = outlines(display.axes_[1, 0])
    found = {tuple(one) for one in (line.reshape(-1, 4) + 0.5).tolist()}
    assert found == {(5, 2, 6, 2), (5, 4, 6, 4), (5, 2, 5, 4), (6, 2, 6, 4)}


def test_maps_of_an_inspection(model, data):
    inspection = model.inspect(data.images[:5])
    top = inspection.ranking[:2]
    display = AnomalyMapDisplay.from_inspection(inspection, top, labels=[1, 0])
    np.testing.assert_array_equal(display.images, data.images[top])
    np.testing.assert_array_equal(display.scores, inspection.scores[top])
    np.testing.assert_array_equal(display.maps, inspection.maps(top))
    assert titles(display.axes_[0]) == ["defective", "normal"]
    assert AnomalyMapDisplay.from_inspection(inspection).axes_.shape == (2, 5)
    with pytest.raises(ValueError, match="labels has 5 entries, but there are 2 images"):
        AnomalyMapDisplay.from_inspection(inspection, top, labels=[0] * 5)


def test_maps_in_given_axes(images, maps):
    figure = Figure()
    axes = figure.subplots(2, 3)
    display = AnomalyMapDisplay.from_predictions(images, maps, axes=axes)
    assert display.figure_ is figure
    assert display.axes_.tolist() == axes.tolist()
    assert plt.get_fignums() == []
    np.testing.assert_array_equal(axes[0, 1].images[0].get_array(), images[1])


def test_maps_without_photographs(images, maps):
    axes = Figure().subplots(1, 3)
    labels = ["a", "b", "x" * 40]
    display = AnomalyMapDisplay.from_predictions(
        images, maps, threshold=2, scores=[1, 2, 3], labels=labels, axes=axes
    )
    assert display.axes_.shape == (1, 3)
    assert display.photographs_ == []
    assert titles(axes[:2]) == ["a\nscore 0.50", "b\nscore 1.00"]
    assert 10 < len(axes[2].get_title().splitlines()[0]) < 30
    assert display.labels == labels


def test_many_photographs_keep_their_order(images, maps):
    many = np.tile(images, (3, 1, 1, 1))
    display = AnomalyMapDisplay.from_predictions(many, np.tile(maps, (3, 1, 1)))
    assert display.axes_.shape == (2, 9)
    places = [[ax.get_position().bounds[:2] for ax in row] for row in display.axes_]
    assert places[0][0][1] > places[1][0][1] > places[0][6][1] > places[1][6][1]
    assert places[0][6][0] == places[1][6][0] == places[0][0][0]
    np.testing.assert_array_equal(display.axes_[1, 7].images[-1].get_array(), maps[1])


def test_maps_with_a_margin(images, maps):
    maps[0, :2] = np.nan
    display = AnomalyMapDisplay.from_predictions(images, maps)
    rgba = display.heatmaps_[0].to_rgba(display.heatmaps_[0].get_array())
    # What is not inspected is darkened, as in a report.
    assert (rgba[:2, :, :3] == 0).all()
    np.testing.assert_allclose(rgba[:2, :, 3], 0.5)
    assert (rgba[2:, :, :3] > 0).any(axis=-1).all()


def test_photographs_from_files(images, maps, tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    display = AnomalyMapDisplay.from_predictions(paths, maps)
    np.testing.assert_array_equal(display.images, images)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"axes": 5}, r"axes has 5 axes; expected 3 \(a map .*\) or 6 \(the photographs"),
        ({"threshold": 0}, "threshold == 0"),
        ({"labels": [1, 0]}, "labels has 2 entries, but there are 3 images"),
        ({"scores": [1.0]}, "scores has 1 entries, but there are 3 images"),
        ({"labels": [1, -1, 1]}, "For the output of predict, pass `y == -1`"),
    ],
)
def test_wrong_input_of_maps(images, maps, changed, message):
    if "axes" in changed:
        changed = {"axes": Figure().subplots(1, changed["axes"])}
    with pytest.raises(ValueError, match=message):
        AnomalyMapDisplay.from_predictions(images, maps, **changed)
    assert plt.get_fignums() == []


def test_maps_of_another_size(images, maps):
    with pytest.raises(ValueError, match=r"maps\[0\] has shape \(4, 12\), but image 0 has 8 x 12"):
        AnomalyMapDisplay.from_predictions(images, maps[:, ::2])
    with pytest.raises(ValueError, match="maps has 2 entries, but there are 3 images"):
        AnomalyMapDisplay.from_predictions(images, maps[:2])


def test_audit_of_a_labelled_dataset(model, data):
    display = NoiseAuditDisplay.from_estimator(model, [(one, 0) for one in data.images], n_shown=1)
    worst = np.argmin(model[-1].training_scores_)
    np.testing.assert_array_equal(display.top.images[0], data.images[worst])


def test_audit(audit, model, data):
    display = NoiseAuditDisplay.from_audit(audit, labels=data.labels, n_shown=4)
    found = display.lines_["suspicious"], display.lines_["not suspicious"]
    ranks, scores = np.hstack([points.get_data() for points in found])
    np.testing.assert_array_equal(ranks, np.arange(1, 31))
    np.testing.assert_array_equal(scores, audit.scores[audit.ranking] / model[-1].offset_)
    assert len(found[0].get_xdata()) == audit.is_suspicious.sum()
    truth = np.flatnonzero(data.labels[audit.ranking]) + 1
    np.testing.assert_array_equal(display.lines_["defective (truth)"].get_xdata(), truth)
    top = audit.ranking[:4]
    np.testing.assert_array_equal(display.top.images, np.asarray(data.images)[top])
    for artist, expected in zip(display.top.heatmaps_, audit.maps(top), strict=True):
        np.testing.assert_array_equal(artist.get_array(), expected / -model[-1].offset_)
    assert display.top.axes_[0, 0].get_title() == f"1. image {top[0]}\ndefective"
    assert display.ax_.get_title().startswith(f"{audit.is_suspicious.sum()} of 30 ")


def test_audit_of_an_estimator(audit, model, data):
    display = NoiseAuditDisplay.from_estimator(model, data.images)
    np.testing.assert_array_equal(display.scores, audit.scores / model[-1].offset_)
    assert set(display.lines_) == {"suspicious", "not suspicious"}
    assert len(display.figure_.axes) == 1 + 2 * 6 + 1


def test_audit_in_given_axes(audit):
    figure = Figure()
    ax = figure.subplots()
    display = NoiseAuditDisplay.from_audit(audit, n_shown=2, axes=ax)
    assert display.ax_ is ax
    assert figure.axes == [ax]
    axes = Figure().subplots(5)
    display.plot(axes, colorbar=False)
    assert display.top.axes_.ravel().tolist() == axes[1:].tolist()
    assert plt.get_fignums() == []
    with pytest.raises(ValueError, match=r"axes has 4 axes; expected 1 \(the suspicion\) or 3"):
        display.plot(axes[1:])


def test_audit_keeps_the_threshold_it_was_made_with(audit, model):
    before = NoiseAuditDisplay.from_audit(audit, axes=Figure().subplots()).scores
    model[-1].set_params(contamination=0.5)
    try:
        after = NoiseAuditDisplay.from_audit(audit, axes=Figure().subplots())
    finally:
        model[-1].set_params(contamination="auto")
    np.testing.assert_array_equal(after.scores, before)


def test_wrong_input_of_audit(audit):
    with pytest.raises(ValueError, match="labels has 2 entries, but there are 30 images"):
        NoiseAuditDisplay.from_audit(audit, labels=[0, 1])
    with pytest.raises(ValueError, match=r"must hold 1 \(defective\) and 0 \(normal\), got"):
        NoiseAuditDisplay.from_audit(audit, labels=["good"] * 30)
    with pytest.raises(ValueError, match="n_shown == 0, must be >= 1"):
        NoiseAuditDisplay.from_audit(audit, n_shown=0)


def test_robustness():
    display = RobustnessDisplay.from_predictions(RATIOS, SCORES, METHODS)
    assert list(display.lines_) == ["plain", "robust"]
    plain, robust = display.lines_.values()
    np.testing.assert_allclose(plain.get_data(), [[0, 0.4], [0.85, 0.6]])
    np.testing.assert_allclose(robust.get_data(), [[0, 0.4], [0.95, 0.9]])
    band = display.bands_["plain"].get_paths()[0].vertices
    for ratio, low, high in [(0, 0.8, 0.9), (0.4, 0.5, 0.7)]:
        drawn = band[band[:, 0] == ratio, 1]
        np.testing.assert_allclose([drawn.min(), drawn.max()], [low, high])
    legend = display.ax_.get_legend().get_texts()
    assert [text.get_text() for text in legend] == ["plain", "robust"]
    assert plain.get_color() != robust.get_color()
    assert plain.get_marker() != robust.get_marker()


def test_robustness_in_given_axes():
    figure = Figure()
    ax = figure.subplots()
    display = RobustnessDisplay.from_predictions(
        RATIOS,
        SCORES,
        METHODS,
        score_name="AUPRO",
        ax=ax,
        curve_kwargs={"robust": {"color": "black", "linestyle": "--"}},
        legend=False,
    )
    assert (display.ax_, display.figure_) == (ax, figure)
    assert plt.get_fignums() == []
    assert ax.get_legend() is None
    assert ax.get_ylabel() == "AUPRO"
    assert display.lines_["robust"].get_linestyle() == "--"
    np.testing.assert_array_equal(display.bands_["robust"].get_facecolor()[0, :3], [0, 0, 0])


def test_wrong_input_of_robustness():
    with pytest.raises(ValueError, match=r"got the shapes \(7,\), \(6,\) and \(7,\)"):
        RobustnessDisplay.from_predictions(RATIOS, SCORES[1:], METHODS)
    with pytest.raises(ValueError, match=r"curve_kwargs names \['lof'\]; the methods are"):
        RobustnessDisplay.from_predictions(RATIOS, SCORES, METHODS, curve_kwargs={"lof": {}})


def test_figures_are_saved(model, data, tmp_path):
    """The layout finds room for everything: matplotlib warns if it does not."""
    display = NoiseAuditDisplay.from_estimator(model, data.images, labels=data.labels)
    display.figure_.savefig(tmp_path / "audit.png")
    with Image.open(tmp_path / "audit.png") as picture:
        assert picture.width > 1000


def test_without_matplotlib(monkeypatch, images, maps, audit):
    display = AnomalyMapDisplay.from_predictions(images, maps)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    calls = [
        lambda: display.plot(),
        lambda: AnomalyMapDisplay.from_estimator(None, None),
        lambda: NoiseAuditDisplay.from_audit(audit),
        lambda: RobustnessDisplay.from_predictions(RATIOS, SCORES, METHODS),
    ]
    for call in calls:
        with pytest.raises(ImportError, match=r'needs matplotlib.*pip install "skpatch\[plot\]"'):
            call()
