# SPDX-License-Identifier: BSD-3-Clause
"""Display of the suspicion of training images."""

from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar

from ..images.collection import Images
from ..inspection.audit import NoiseAudit
from .checks import check_axes, check_labels, check_lengths, check_matplotlib
from .maps import AnomalyMapDisplay, inspected, label_texts, photograph_axes

__all__ = ["NoiseAuditDisplay"]

# Inches.
_RANKS_HEIGHT = 2.8


class NoiseAuditDisplay:
    """Suspicion of the training images by rank, and the most suspicious ones with their maps.

    It is recommended to use :meth:`from_estimator` or :meth:`from_audit`. All parameters are stored
    as attributes.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Anomaly score of each training image without itself, 1 = threshold; NaN is left out.
    top : AnomalyMapDisplay
        The most suspicious images, in their order.
    labels : ndarray of shape (n,), bool, optional
        The truth, if it is known: which images are defective.

    Attributes
    ----------
    ax_ : Axes
        That of the suspicion.
    figure_ : Figure
    lines_ : dict of str to Line2D
        The points: "suspicious", "not suspicious", and "defective (truth)" if there are labels.

    See Also
    --------
    skpatch.audit.NoiseAudit : The figures behind it.

    Examples
    --------
    >>> from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
    >>> from skpatch.datasets import make_contaminated_images
    >>> from skpatch.plotting import NoiseAuditDisplay
    >>> data = make_contaminated_images(n_normal=27, n_defective=3, image_size=64, random_state=0)
    >>> model = make_pipeline(
    ...     PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0)
    ... )
    >>> display = NoiseAuditDisplay.from_estimator(
    ...     model.fit(data.images), data.images, labels=data.labels, n_shown=3
    ... )
    >>> display.lines_["defective (truth)"].get_xdata()  # their ranks
    array([1, 2, 3])
    """

    def __init__(
        self,
        scores: NDArray[np.float64],
        top: AnomalyMapDisplay,
        *,
        labels: NDArray[np.bool_] | None = None,
    ) -> None:
        self.scores = scores
        self.top = top
        self.labels = labels

    @classmethod
    def from_estimator(
        cls,
        model: Pipeline,
        images: Images,
        *,
        labels: ArrayLike | None = None,
        n_shown: int = 6,
        axes: Any = None,
        **kwargs: Any,
    ) -> "NoiseAuditDisplay":
        """Audit the training images of a pipeline, and plot what was found.

        Parameters
        ----------
        model : Pipeline
            A fitted pipeline of a :class:`~skpatch.PatchFeatureExtractor` and a
            :class:`~skpatch.SoftPatchDetector`.
        images : sequence of images
            The training images, in their order; their features are extracted once more.
        labels, n_shown, axes, **kwargs
            As for :meth:`from_audit`.

        Returns
        -------
        NoiseAuditDisplay

        Raises
        ------
        ValueError
            If these are not the images that the model was fitted on.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        audit = NoiseAudit.from_estimator(model, images)
        return cls.from_audit(audit, labels=labels, n_shown=n_shown, axes=axes, **kwargs)

    @classmethod
    def from_audit(
        cls,
        audit: NoiseAudit,
        *,
        labels: ArrayLike | None = None,
        n_shown: int = 6,
        axes: Any = None,
        **kwargs: Any,
    ) -> "NoiseAuditDisplay":
        """Plot an audit.

        Parameters
        ----------
        audit : NoiseAudit
            As :meth:`skpatch.PatchPipeline.audit` returns it.
        labels : array-like of shape (n,), optional
            The truth, if it is known: 1 for defective and 0 for normal training images.
        n_shown : int, default=6
            Number of the most suspicious images to show.
        axes, **kwargs
            As for :meth:`plot`.

        Returns
        -------
        NoiseAuditDisplay

        Raises
        ------
        ValueError
            If the labels are not one of 0 and 1 for each training image.
        """
        check_matplotlib(f"{cls.__name__}.from_audit")
        check_scalar(n_shown, "n_shown", Integral, min_val=1)
        check_lengths(len(audit.scores), labels=labels)
        labels = None if labels is None else check_labels(labels, texts=False)
        found = audit.inspection
        shown = found.ranking[: min(n_shown, np.isfinite(found.scores).sum())]
        names = [Path(found.images.name(index)).name for index in shown]
        captions = [f"{rank}. {name}" for rank, name in enumerate(names, start=1)]
        if labels is not None:
            truths = label_texts(labels[shown])
            captions = [f"{name}\n{truth}" for name, truth in zip(captions, truths, strict=True)]
        top = inspected(found, shown, captions)
        return cls(found.scores, top, labels=labels).plot(axes, **kwargs)

    def plot(self, axes: Any = None, **kwargs: Any) -> "NoiseAuditDisplay":
        """Draw the suspicion, and the most suspicious images.

        Parameters
        ----------
        axes : array-like of Axes, optional
            One for the suspicion alone; or that and those of :meth:`AnomalyMapDisplay.plot`. A new
            figure by default.
        **kwargs
            Parameters of :meth:`AnomalyMapDisplay.plot`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the number of axes is wrong.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        n_shown = len(self.top.images)
        if axes is None:
            axes = photograph_axes(self.top.images, above=_RANKS_HEIGHT)
        purposes = {
            1: "the suspicion",
            1 + n_shown: "the suspicion, then the maps",
            1 + 2 * n_shown: "the suspicion, the photographs, then the maps",
        }
        self.ax_, *others = check_axes(axes, purposes)
        self.figure_ = self.ax_.figure
        self._plot_ranks(self.ax_)
        if others:
            self.top.plot(others, **kwargs)
        return self

    def _plot_ranks(self, ax):
        """Draw the scores in descending order."""
        order = np.argsort(-self.scores, kind="stable")
        ranks, scores = np.arange(1, len(order) + 1), self.scores[order]
        suspicious = scores > 1
        marked = {
            "suspicious": (suspicious, {"marker": "o", "color": "#D55E00"}),
            "not suspicious": (~suspicious, {"marker": "o", "color": "#56B4E9"}),
        }
        if self.labels is not None:
            ring = {"marker": "o", "color": "#1A1A1A", "fillstyle": "none", "markersize": 9}
            marked["defective (truth)"] = (self.labels[order], ring)
        self.lines_ = {
            name: ax.plot(
                ranks[chosen], scores[chosen], label=name, linestyle="", **{"markersize": 4, **look}
            )[0]
            for name, (chosen, look) in marked.items()
        }
        ax.axhline(1, color="0.4", linewidth=1, linestyle="--", label="threshold", zorder=1)
        ax.set_xlim(0, len(scores) + 1)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel("rank of the training image")
        ax.set_ylabel("anomaly score\n(1 = threshold)")
        ax.set_title(f"{suspicious.sum()} of {len(scores)} training images are suspicious")
        ax.legend(frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
