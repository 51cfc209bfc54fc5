# SPDX-License-Identifier: BSD-3-Clause
"""Display of photographs with their anomaly maps."""

import itertools
import math
from collections.abc import Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar

from ..images.collection import Images, check_images
from ..inspection.heat import COLOURS, HALO, LINE, STRENGTH, TOP, VEIL
from ..inspection.regions import find_outline
from ..inspection.result import Inspection
from ..runtime.text import score_text, shown
from .checks import check_axes, check_labels, check_lengths, check_matplotlib

__all__ = ["AnomalyMapDisplay", "draw_colorbar", "inspected", "label_texts", "photograph_axes"]

_COLUMNS = 6
# Inches: the width of a photograph, and the height of the captions above it.
_WIDTH, _CAPTION = 1.9, 0.28
# Widths of outlines.
_LINE_POINTS, _HALO_POINTS = 0.8, 2.4
# Characters that fit above a photograph.
_LONGEST = 24


class AnomalyMapDisplay:
    """Photographs, and beneath them the same with their anomaly maps laid over.

    Maps are in units of the model's threshold: above 1 an image is anomalous. All share the colour
    scale of the reports, so that colours can be compared between images and between models: orange
    begins shortly below the threshold, and magenta is twice the threshold and more. A dark red line
    surrounds what is above the threshold. It is recommended to use :meth:`from_estimator`,
    :meth:`from_inspection` or :meth:`from_predictions`. All parameters are stored as attributes.

    Parameters
    ----------
    images : sequence of ndarray of shape (H, W, 3), uint8
        The photographs.
    maps : sequence of ndarray of shape (H, W)
        Their anomaly maps, 1 = threshold; NaN, not inspected, is darkened.
    scores : ndarray of shape (n,), optional
        Their anomaly scores, 1 = threshold.
    labels : sequence of str, optional
        Their captions.
    outlines : sequence of ndarray of shape (k, 4), optional
        Lines in each image from x, y to x, y in pixels, as :meth:`skpatch.Inspection.outline`
        returns them; by default around what is above 1 in the maps.

    Attributes
    ----------
    axes_ : ndarray of shape (2, n) or (1, n), Axes
        Those of the photographs, if there are any, and those of the maps.
    figure_ : Figure
    photographs_ : list of AxesImage
        The photographs in the first row; empty if there are axes for the maps only.
    heatmaps_ : list of AxesImage
        The maps.
    colorbar_ : Colorbar or None

    See Also
    --------
    NoiseAuditDisplay : The most suspicious training images.

    Examples
    --------
    >>> from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
    >>> from skpatch.datasets import make_contaminated_images
    >>> from skpatch.plotting import AnomalyMapDisplay
    >>> data = make_contaminated_images(n_normal=27, n_defective=3, image_size=64, random_state=0)
    >>> model = make_pipeline(
    ...     PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0)
    ... )
    >>> display = AnomalyMapDisplay.from_estimator(
    ...     model.fit(data.images), data.images[:4], labels=data.labels[:4]
    ... )
    >>> display.axes_.shape
    (2, 4)
    """

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        maps: Sequence[NDArray],
        *,
        scores: NDArray | None = None,
        labels: Sequence[str] | None = None,
        outlines: Sequence[NDArray] | None = None,
    ) -> None:
        self.images = images
        self.maps = maps
        self.scores = scores
        self.labels = labels
        self.outlines = outlines

    @classmethod
    def from_estimator(
        cls,
        model: Pipeline,
        images: Images,
        *,
        labels: ArrayLike | None = None,
        axes: Any = None,
        colorbar: bool = True,
        **kwargs: Any,
    ) -> "AnomalyMapDisplay":
        """Score images, compute their maps, and plot both.

        Parameters
        ----------
        model : Pipeline
            A fitted pipeline of a :class:`~skpatch.PatchFeatureExtractor` and a
            :class:`~skpatch.SoftPatchDetector`.
        images : sequence of images
            As for :meth:`skpatch.PatchFeatureExtractor.transform`; a few, since all are drawn.
        labels, axes, colorbar, **kwargs
            As for :meth:`from_predictions`.

        Returns
        -------
        AnomalyMapDisplay
            The score above a map is the mean of the worst patches; the map is smoothed, so its own
            maximum may be lower. The outlines are those of the patches.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        inspection = Inspection.from_estimator(model, images)
        return cls.from_inspection(
            inspection, labels=labels, axes=axes, colorbar=colorbar, **kwargs
        )

    @classmethod
    def from_inspection(
        cls,
        inspection: Inspection,
        indices: ArrayLike | None = None,
        *,
        labels: ArrayLike | None = None,
        axes: ArrayLike | None = None,
        colorbar: bool = True,
        **kwargs: Any,
    ) -> "AnomalyMapDisplay":
        """Plot images that a model has inspected.

        Parameters
        ----------
        inspection : Inspection
            As :meth:`skpatch.PatchPipeline.inspect` returns it.
        indices : array-like of shape (k,), int, optional
            The images to plot, for instance ``inspection.ranking[:6]``; all by default.
        labels : array-like of shape (n,), optional
            Captions of these images, or 1 for defective and 0 for normal ones.
        axes, colorbar, **kwargs
            As for :meth:`plot`.

        Returns
        -------
        AnomalyMapDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_inspection")
        chosen = np.arange(len(inspection.images)) if indices is None else np.asarray(indices, int)
        check_lengths(len(chosen), labels=labels)
        labels = None if labels is None else label_texts(labels)
        display = inspected(inspection, chosen, labels)
        return display.plot(axes, colorbar=colorbar, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        images: Images,
        maps: Sequence[ArrayLike] | NDArray,
        *,
        threshold: float = 1.0,
        scores: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        axes: Any = None,
        colorbar: bool = True,
        **kwargs: Any,
    ) -> "AnomalyMapDisplay":
        """Plot images with maps that are known already.

        Parameters
        ----------
        images : sequence of images
            Paths, arrays or PIL images.
        maps : sequence of array-like of shape (H, W)
            One for each image, at its size; high = anomalous.
        threshold : float, default=1.0
            The anomaly score from which an image is an outlier, ``-offset_`` of a detector. Maps
            and scores are divided by it.
        scores : array-like of shape (n,), optional
            Anomaly scores of the images, high = anomalous, as ``-model.score_samples(images)``.
        labels : array-like of shape (n,), optional
            Captions, or 1 for defective and 0 for normal images.
        axes, colorbar, **kwargs
            As for :meth:`plot`.

        Returns
        -------
        AnomalyMapDisplay

        Raises
        ------
        ValueError
            If lengths or sizes differ, the threshold is not positive, or labels are numbers other
            than 0 and 1.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        images = check_images(images)
        check_scalar(threshold, "threshold", Real, min_val=0, include_boundaries="neither")
        check_lengths(len(images), maps=maps, scores=scores, labels=labels)
        pictures = [images.load(index) for index in range(len(images))]
        maps = [np.asarray(scores_map) / threshold for scores_map in maps]
        for index, (picture, scores_map) in enumerate(zip(pictures, maps, strict=True)):
            if scores_map.shape != picture.shape[:2]:
                raise ValueError(
                    f"maps[{index}] has shape {scores_map.shape}, but "
                    f"{shown(images.name(index))} has {picture.shape[0]} x {picture.shape[1]} "
                    "pixels (height x width)."
                )
        display = cls(
            pictures,
            maps,
            scores=None if scores is None else np.asarray(scores) / threshold,
            labels=None if labels is None else label_texts(labels),
        )
        return display.plot(axes, colorbar=colorbar, **kwargs)

    def plot(
        self, axes: Any = None, *, colorbar: bool = True, **kwargs: Any
    ) -> "AnomalyMapDisplay":
        """Draw the photographs and their maps.

        Parameters
        ----------
        axes : array-like of Axes, optional
            Axes for the n maps, or for the n photographs and then the n maps, as
            ``plt.subplots(2, n)`` makes them. A new figure by default, of six columns at most.
        colorbar : bool, default=True
            Whether to draw the colour scale beside the axes.
        **kwargs
            Parameters of :meth:`matplotlib.axes.Axes.imshow` for the maps. By default they have
            the colours of the reports, from 0 to 2.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the number of axes is wrong.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        n_images = len(self.images)
        if axes is None:
            axes = photograph_axes(self.images)
        axes = check_axes(
            axes,
            {n_images: "a map of each image", 2 * n_images: "the photographs and then the maps"},
        )
        self.axes_ = axes.reshape(-1, n_images)
        self.figure_ = axes[0].figure
        *first, overlays = self.axes_
        self.photographs_ = [
            ax.imshow(image) for row in first for ax, image in zip(row, self.images, strict=True)
        ]
        look = {"cmap": _colormap(), "vmin": 0, "vmax": TOP}
        if "cmap" in kwargs:
            look["alpha"] = STRENGTH
        look.update(kwargs)
        self.heatmaps_ = []
        for ax, image, scores_map in zip(overlays, self.images, self.maps, strict=True):
            ax.imshow(image)
            self.heatmaps_.append(ax.imshow(scores_map, **look))
        for ax, lines in zip(overlays, self._outlines(), strict=True):
            _draw_outline(ax, lines)
        for ax in axes:
            ax.set(xticks=[], yticks=[])
        self._set_titles()
        self.colorbar_ = None
        if colorbar:
            # Beside the first two rows.
            rows = len({round(ax.get_position().y0, 6) for ax in axes})
            place = {"aspect": 25, "shrink": min(1, 2 / rows), "anchor": (0, 1)}
            self.colorbar_ = draw_colorbar(self.figure_, self.heatmaps_[0], axes, **place)
        return self

    def _outlines(self):
        """Lines to draw in each image."""
        if self.outlines is not None:
            return self.outlines
        return [find_outline(found, (0, 0, *found.shape)) for found in self.maps]

    def _set_titles(self):
        """Labels above the first row and scores above the maps, or both above these."""
        nothing = [""] * len(self.images)
        labels = nothing if self.labels is None else self.labels
        scores = nothing
        if self.scores is not None:
            scores = [f"score {score_text(score)}" for score in self.scores]
        rows = [labels, scores]
        if len(self.axes_) == 1:
            rows = [[f"{label}\n{score}".strip() for label, score in zip(*rows, strict=True)]]
        for ax, caption in zip(self.axes_.flat, itertools.chain(*rows), strict=True):
            ax.set_title("\n".join(map(_shortened, caption.splitlines())), fontsize=9)


def inspected(inspection, indices, labels):
    """Display, not plotted yet, of some images of an inspection."""
    return AnomalyMapDisplay(
        [inspection.images.load(index) for index in indices],
        inspection.maps(indices),
        scores=inspection.scores[indices],
        labels=labels,
        outlines=[inspection.outline(index) for index in indices],
    )


def _draw_outline(ax, lines):
    """Draw lines (k, 4) dark red in a white halo, as reports do."""
    from matplotlib.collections import LineCollection

    # The centre of the first pixel is at 0.
    corners = np.reshape(lines, (-1, 2, 2)) - 0.5
    for width, colour in ((_HALO_POINTS, HALO), (_LINE_POINTS, LINE)):
        look = {"linewidths": width, "colors": [np.divide(colour, 255)], "capstyle": "projecting"}
        ax.add_collection(LineCollection(corners, **look), autolim=False)


def draw_colorbar(figure, heatmap, axes, **place):
    """Draw the colour scale beside axes."""
    form = partial(_tick_text, heatmap.norm.vmax)
    bar = figure.colorbar(heatmap, ax=list(axes), format=form, pad=0.02, **place)
    bar.set_label("anomaly score\n(1 = threshold)")
    bar.ax.axhline(1, color="black")
    # Colours let a photograph through. The scale of reports lies on the same grey.
    bar.ax.set_facecolor("#8c8c8c")
    return bar


def _tick_text(top, value, _):
    """Text of a tick; the last colour is that of all scores beyond `top` too."""
    return f"≥ {value:g}" if value >= top else f"{value:g}"


def _colormap():
    """The colours of reports, as strong as these begin with."""
    from matplotlib.colors import ListedColormap

    *colours, veil = np.vstack([COLOURS, VEIL]) / 255 * (1, 1, 1, STRENGTH)
    return ListedColormap(colours, "skpatch").with_extremes(bad=veil)


def label_texts(labels):
    """Captions (n,) of labels; texts stay as they are."""
    labels = check_labels(labels, texts=True)
    if labels.dtype == bool:
        labels = np.where(labels, "defective", "normal")
    return labels.tolist()


def photograph_axes(images, above=None):
    """Axes (2 n,) in a new figure: rows of at most six photographs, each above that of its maps.

    `above` is the height in inches of an axes over all of them, which then comes first.
    """
    import matplotlib.pyplot as plt

    columns = min(len(images), _COLUMNS)
    blocks = math.ceil(len(images) / columns)
    height = _WIDTH * max(image.shape[0] / image.shape[1] for image in images) + _CAPTION
    heights = [height] * (2 * blocks)
    if above is not None:
        heights = [above, *heights]
    figure = plt.figure(figsize=(_WIDTH * columns + 1.2, sum(heights)), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.06, w_pad=0.06)
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    first = len(heights) - 2 * blocks
    cells = [
        grid[first + 2 * (index // columns) + row, index % columns]
        for row in range(2)
        for index in range(len(images))
    ]
    return [figure.add_subplot(cell) for cell in ([grid[0, :]] if first else []) + cells]


def _shortened(text):
    """Text with its middle left out if it is too long to stand above a photograph."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[: half - 1]}…{text[-half:]}"
