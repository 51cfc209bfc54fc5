# SPDX-License-Identifier: BSD-3-Clause
"""Display of what noise costs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import check_matplotlib

__all__ = ["RobustnessDisplay"]

# Okabe and Ito's colours, which colour-blind people can tell apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#1A1A1A")
_MARKERS = "osD^vPX"


class RobustnessDisplay:
    """Score against noise in the training set: one line for each method.

    A line goes through the means over the repetitions (seeds), in a band from the lowest to the
    highest. It is recommended to use :meth:`from_predictions`. All parameters are stored as
    attributes.

    Parameters
    ----------
    noise : ndarray of shape (n,)
        Noise ratio of each measurement.
    score : ndarray of shape (n,)
        What was measured; NaN is left out.
    method : ndarray of shape (n,), str
        The method that was measured.
    score_name : str, default="image AUROC"
        What the score is.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    lines_ : dict of str to Line2D
        The line of each method, in the order of their first measurements.
    bands_ : dict of str to PolyCollection
        The band of each method.

    See Also
    --------
    skpatch.datasets.inject_noise : Makes the training sets to measure with.

    Examples
    --------
    >>> from skpatch.plotting import RobustnessDisplay
    >>> display = RobustnessDisplay.from_predictions(
    ...     noise=[0, 0, 0.1, 0.1, 0, 0.1],
    ...     score=[0.98, 0.96, 0.85, 0.79, 0.95, 0.94],
    ...     method=["PatchCore", "PatchCore", "PatchCore", "PatchCore", "skpatch", "skpatch"],
    ... )
    >>> display.lines_["PatchCore"].get_ydata().round(2).tolist()
    [0.97, 0.82]
    """

    def __init__(
        self,
        noise: NDArray[np.float64],
        score: NDArray[np.float64],
        method: NDArray[np.str_],
        *,
        score_name: str = "image AUROC",
    ) -> None:
        self.noise = noise
        self.score = score
        self.method = method
        self.score_name = score_name

    @classmethod
    def from_predictions(
        cls,
        noise: ArrayLike,
        score: ArrayLike,
        method: ArrayLike,
        *,
        score_name: str = "image AUROC",
        ax: Any = None,
        **kwargs: Any,
    ) -> "RobustnessDisplay":
        """Plot measurements, for instance columns of the CSV of ``skpatch bench``.

        Parameters
        ----------
        noise : array-like of shape (n,)
            Noise ratio of each measurement: injected per normal training image.
        score : array-like of shape (n,)
            What was measured, for instance :func:`skpatch.metrics.image_auroc`; NaN is left out.
        method : array-like of shape (n,)
            The method that was measured.
        score_name : str, default="image AUROC"
            What the score is.
        ax, **kwargs
            As for :meth:`plot`.

        Returns
        -------
        RobustnessDisplay

        Raises
        ------
        ValueError
            If the lengths differ.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        noise, score = np.asarray(noise, float), np.asarray(score, float)
        method = np.asarray(method, str)
        if not (noise.ndim == 1 and noise.shape == score.shape == method.shape):
            raise ValueError(
                "noise, score and method must have one entry for each measurement, got the shapes "
                f"{noise.shape}, {score.shape} and {method.shape}."
            )
        return cls(noise, score, method, score_name=score_name).plot(ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        curve_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
        legend: bool = True,
    ) -> "RobustnessDisplay":
        """Draw the lines.

        Parameters
        ----------
        ax : Axes, optional
            A new figure by default.
        curve_kwargs : dict of str to dict, optional
            Parameters of :meth:`matplotlib.axes.Axes.plot` by method.
        legend : bool, default=True
            Whether to draw a legend.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `curve_kwargs` names a method that was not measured.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        from matplotlib.ticker import PercentFormatter

        methods = list(dict.fromkeys(self.method.tolist()))
        styles = curve_kwargs or {}
        if unknown := [method for method in styles if method not in methods]:
            raise ValueError(f"curve_kwargs names {unknown}; the methods are {methods}.")
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.bands_ = {}, {}
        for number, method in enumerate(methods):
            levels, mean, low, high = self._summary(method)
            look = {
                "color": _COLORS[number % len(_COLORS)],
                "marker": _MARKERS[number % len(_MARKERS)],
                **styles.get(method, {}),
            }
            (line,) = ax.plot(levels, mean, label=method, **look)
            self.lines_[method] = line
            self.bands_[method] = ax.fill_between(
                levels, low, high, color=line.get_color(), alpha=0.12, linewidth=0
            )
        ax.set_xlabel("defective per normal training image")
        ax.set_ylabel(self.score_name)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.grid(axis="y", color="0.9")
        ax.spines[["top", "right"]].set_visible(False)
        if legend:
            ax.legend(frameon=False)
        return self

    def _summary(self, method):
        """Noise levels of a method, and mean, lowest and highest score at each."""
        known = (self.method == method) & ~np.isnan(self.score)
        levels = np.unique(self.noise[known])
        groups = [self.score[known & (self.noise == level)] for level in levels]
        return levels, *(
            np.array([statistic(group) for group in groups]) for statistic in (np.mean, min, max)
        )
