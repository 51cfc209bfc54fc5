# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of images and of pixels."""

from collections.abc import Sequence
from numbers import Real
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.utils import check_scalar

from . import pixels
from .checks import check_image_scores, check_pixels

__all__ = [
    "aupro",
    "f1_max",
    "image_auroc",
    "image_average_precision",
    "pixel_auroc",
    "pixel_average_precision",
    "pixel_f1_max",
]

# One for each image, in a sequence or in one array.
Maps: TypeAlias = Sequence[ArrayLike] | NDArray
Masks: TypeAlias = Sequence[ArrayLike | None] | NDArray


def image_auroc(y_true: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve of image scores.

    The probability that a defective image scores higher than a normal one; ties count half [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_images,)
        1 or True for a defective image, 0 or False for a normal one.
    scores : array-like of shape (n_images,)
        Anomaly scores, high = anomalous, as ``-model.score_samples(X)``.

    Returns
    -------
    float
        Between 0 and 1; 0.5 for scores that tell nothing.

    Raises
    ------
    ValueError
        If the lengths differ, an input is empty, a label is neither 0 nor 1, a score is NaN or
        infinite, or only one class is present.

    See Also
    --------
    pixel_auroc : The same for pixels.

    References
    ----------
    .. [1] J. A. Hanley and B. J. McNeil, "The meaning and use of the area under a receiver
       operating characteristic (ROC) curve", Radiology 143(1), 1982.

    Examples
    --------
    >>> from skpatch.metrics import image_auroc
    >>> image_auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return float(_measure(roc_auc_score, *check_image_scores(y_true, scores)))


def image_average_precision(y_true: ArrayLike, scores: ArrayLike) -> float:
    """Average precision of image scores, often called AUPR.

    The mean precision over the thresholds, weighted with the gain in recall, as in
    `sklearn.metrics.average_precision_score`; not the trapezoidal area, which is too optimistic
    [1]_. The share of defective images is what scores that tell nothing reach.

    Parameters
    ----------
    y_true : array-like of shape (n_images,)
        1 or True for a defective image, 0 or False for a normal one.
    scores : array-like of shape (n_images,)
        Anomaly scores, high = anomalous, as ``-model.score_samples(X)``.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As `image_auroc`.

    References
    ----------
    .. [1] J. Davis and M. Goadrich, "The relationship between precision-recall and ROC curves",
       ICML 2006.

    Examples
    --------
    >>> from skpatch.metrics import image_average_precision
    >>> round(image_average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    return float(_measure(average_precision_score, *check_image_scores(y_true, scores)))


def f1_max(y_true: ArrayLike, scores: ArrayLike) -> float:
    """Best F1 score of image scores over all thresholds.

    The F1 score (the harmonic mean of precision and recall) at the threshold that makes it
    largest [1]_. An image counts as found where its score reaches the threshold.

    Parameters
    ----------
    y_true : array-like of shape (n_images,)
        1 or True for a defective image, 0 or False for a normal one.
    scores : array-like of shape (n_images,)
        Anomaly scores, high = anomalous, as ``-model.score_samples(X)``.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As `image_auroc`.

    Notes
    -----
    The threshold is chosen with the labels, so this is an upper bound of what a threshold chosen
    without them reaches.

    References
    ----------
    .. [1] J. Jeong et al., "WinCLIP: Zero-/few-shot anomaly classification and segmentation",
       CVPR 2023.

    Examples
    --------
    >>> from skpatch.metrics import f1_max
    >>> f1_max([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.8
    """
    precision, recall, _ = _measure(precision_recall_curve, *check_image_scores(y_true, scores))
    total = precision + recall
    return float(np.max(2 * precision * recall / np.where(total > 0, total, 1)))


def pixel_auroc(masks: Masks, maps: Maps) -> float:
    """Area under the ROC curve of anomaly maps, all pixels of all images pooled [1]_.

    Parameters
    ----------
    masks : sequence of array-like of shape (height, width), or array (n_images, height, width)
        Nonzero where the pixel is defective. None stands for an image without a defect, not for
        one without an annotation: leave those out.
    maps : sequence of array-like of shape (height, width), or array (n_images, height, width)
        Anomaly maps, high = anomalous, each of the size of its mask. NaN = not inspected.

    Returns
    -------
    float
        Between 0 and 1; 0.5 for maps that tell nothing.

    Raises
    ------
    ValueError
        If the numbers of masks and maps differ or are 0, a map and its mask differ in shape, a
        map has infinite values, or the inspected pixels are all normal or all defective. The
        message names the image.
    TypeError
        If an input is not a sequence, or holds paths.

    See Also
    --------
    skpatch.datasets.read_mask : Read a mask from a file.
    aupro : Gives small defects the same weight as large ones.

    References
    ----------
    .. [1] P. Bergmann, K. Batzner, M. Fauser, D. Sattlegger and C. Steger, "The MVTec anomaly
       detection dataset", International Journal of Computer Vision 129, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skpatch.metrics import pixel_auroc
    >>> masks = [None, np.array([[0, 255], [0, 0]])]
    >>> maps = np.array([[[0.1, 0.2], [0.1, np.nan]], [[0.3, 0.9], [0.2, 1.0]]])
    >>> round(pixel_auroc(masks, maps), 4)
    0.8333
    """
    return float(pixels.auroc(*pixels.pool_scores(check_pixels(masks, maps))))


def pixel_average_precision(masks: Masks, maps: Maps) -> float:
    """Average precision of anomaly maps, all pixels of all images pooled.

    Defective pixels are rare, so this falls with every false alarm, where `pixel_auroc` hardly
    moves. See `image_average_precision` for the definition.

    Parameters
    ----------
    masks : sequence of array-like of shape (height, width), or array (n_images, height, width)
        Nonzero where the pixel is defective; None for an image without a defect.
    maps : sequence of array-like of shape (height, width), or array (n_images, height, width)
        Anomaly maps, high = anomalous, each of the size of its mask. NaN = not inspected.

    Returns
    -------
    float
        Between 0 and 1; the share of defective pixels for maps that tell nothing.

    Raises
    ------
    ValueError, TypeError
        As `pixel_auroc`.

    Examples
    --------
    >>> from skpatch.metrics import pixel_average_precision
    >>> pixel_average_precision([[[0, 1], [0, 0]]], [[[0.3, 0.9], [0.2, 1.0]]])
    0.5
    """
    return float(pixels.average_precision(*pixels.pool_scores(check_pixels(masks, maps))))


def pixel_f1_max(masks: Masks, maps: Maps) -> float:
    """Best F1 score of anomaly maps over all thresholds, all pixels of all images pooled.

    See `f1_max` for the definition.

    Parameters
    ----------
    masks : sequence of array-like of shape (height, width), or array (n_images, height, width)
        Nonzero where the pixel is defective; None for an image without a defect.
    maps : sequence of array-like of shape (height, width), or array (n_images, height, width)
        Anomaly maps, high = anomalous, each of the size of its mask. NaN = not inspected.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError, TypeError
        As `pixel_auroc`.

    Examples
    --------
    >>> from skpatch.metrics import pixel_f1_max
    >>> round(pixel_f1_max([[[0, 1], [0, 0]]], [[[0.3, 0.9], [0.2, 1.0]]]), 4)
    0.6667
    """
    return float(pixels.best_f1(*pixels.pool_scores(check_pixels(masks, maps))))


def aupro(masks: Masks, maps: Maps, *, max_fpr: float = 0.3) -> float:
    """Area under the per-region overlap curve.

    At a threshold, the per-region overlap is the share of a defect region's pixels that reach
    it, averaged over all regions of all images, so that a small defect counts as much as a large
    one [1]_. It is integrated against the false positive rate of the normal pixels from 0 to
    `max_fpr`, and divided by `max_fpr`. Regions are connected over edges and corners.

    Parameters
    ----------
    masks : sequence of array-like of shape (height, width), or array (n_images, height, width)
        Nonzero where the pixel is defective; None for an image without a defect.
    maps : sequence of array-like of shape (height, width), or array (n_images, height, width)
        Anomaly maps, high = anomalous, each of the size of its mask. NaN = not inspected: a
        region consists of its inspected pixels, and does not count if it has none.
    max_fpr : float in (0, 1], default=0.3
        Largest false positive rate.

    Returns
    -------
    float
        Between 0 and 1; ``max_fpr / 2`` for constant maps.

    Raises
    ------
    ValueError, TypeError
        As `pixel_auroc`, or if `max_fpr` is not in (0, 1].

    Notes
    -----
    Every distinct map value is a threshold, and the curve is linear in between, so the result is
    exact; equal values are passed together.

    References
    ----------
    .. [1] P. Bergmann, K. Batzner, M. Fauser, D. Sattlegger and C. Steger, "The MVTec anomaly
       detection dataset", International Journal of Computer Vision 129, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skpatch.metrics import aupro
    >>> mask = np.zeros((10, 10), bool)
    >>> mask[2:4, 2:4] = mask[7, 7] = True
    >>> round(aupro([mask], [mask.astype(float)]), 4)
    1.0
    >>> round(aupro([mask], [np.zeros((10, 10))]), 4)
    0.15
    """
    check_scalar(max_fpr, "max_fpr", Real, min_val=0, max_val=1, include_boundaries="right")
    if np.isnan(max_fpr):
        raise ValueError("max_fpr is NaN; it must be in (0, 1].")
    checked = check_pixels(masks, maps)
    shares = pixels.region_shares(checked)
    defective, normal = pixels.pool_scores(checked)
    return float(pixels.mean_overlap(defective, shares, normal, max_fpr))


def _measure(metric, y_true, scores):
    # scikit-learn takes differences and sums of the scores, which may be infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        return metric(y_true, scores)
