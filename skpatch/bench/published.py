# SPDX-License-Identifier: BSD-3-Clause
"""Figures of the papers and of their authors, which stand beside the measured ones."""

from typing import NamedTuple

__all__ = ["PATCHCORE", "SOFTPATCH", "SOFTPATCH_PLUS", "Published"]


class Published(NamedTuple):
    """Figures of one source that were all measured in one way.

    Attributes
    ----------
    images : str
        What a mean of all is the mean of.
    noise : float
        Injected defects divided by normal training images.
    overlap : str
        "yes" where injected images are tested too, else "no".
    figures : dict
        From (metric, method) to figures by dataset; that of None is the mean of all.
    source : str
        Where they are from, and what is not as in the preset.
    copies : str or None
        How injected images differ from those that are tested.
    """

    images: str
    noise: float
    overlap: str
    figures: dict
    source: str
    copies: str | None = None


_MVTEC = "MVTec AD, 15 categories"
_VISA = "VisA, 12 categories"
_BTAD = "BTAD, 3 categories"
_PAPER = "X. Jiang et al., NeurIPS 2022"
_REPOSITORY = "Repository TencentYoutuResearch/AnomalyDetection-SoftPatch"
_PLUS = "SoftPatch+, arXiv 2412.20870"
# Image and pixel AUROC of SoftPatch lof in the README of its authors.
_OF_CATEGORIES = {
    "bottle": (1.0000, 0.9878),
    "cable": (0.9904, 0.9862),
    "capsule": (0.9654, 0.9883),
    "carpet": (0.9965, 0.9920),
    "grid": (1.0000, 0.9939),
    "hazelnut": (1.0000, 0.9906),
    "leather": (1.0000, 0.9931),
    "metal_nut": (0.9987, 0.9845),
    "pill": (0.9562, 0.9798),
    "screw": (0.9526, 0.9944),
    "tile": (0.9866, 0.9645),
    "toothbrush": (0.9931, 0.9860),
    "transistor": (0.9974, 0.9064),
    "wood": (0.9854, 0.9714),
    "zipper": (0.9753, 0.9892),
    None: (0.9865, 0.9805),
}
_OF_BTAD = {
    "01": (0.9981, 0.9761),
    "02": (0.9343, 0.9662),
    "03": (0.9969, 0.9935),
    None: (0.9764, 0.9786),
}


def _of_both(method, figures):
    """Figures of one method from pairs of image and pixel AUROC by dataset."""
    return {
        (metric, method): {name: pair[place] for name, pair in figures.items()}
        for place, metric in enumerate(("image_auroc", "pixel_auroc"))
    }


def _means(**figures):
    """Image AUROC of methods, means of all."""
    return {("image_auroc", method): {None: figure} for method, figure in figures.items()}


PATCHCORE = (
    Published(
        _MVTEC,
        0,
        "no",
        _means(**{"PatchCore reweighted": 0.990}),
        "K. Roth et al., CVPR 2022, table 1",
    ),
    Published(
        _MVTEC,
        0,
        "no",
        {
            ("image_auroc", "PatchCore"): {None: 0.992},
            ("pixel_auroc", "PatchCore"): {None: 0.981},
            ("aupro", "PatchCore"): {None: 0.944},
        },
        "Repository amazon-science/patchcore-inspection, README, WR50-baseline",
    ),
)
SOFTPATCH = (
    Published(_MVTEC, 0.1, "no", _means(**{"PatchCore": 0.984, "SoftPatch lof": 0.986}), _PAPER),
    Published(
        _MVTEC, 0.1, "no", _of_both("SoftPatch lof", _OF_CATEGORIES), f"{_REPOSITORY}, README"
    ),
    *(
        Published(
            _MVTEC,
            0.1,
            "yes",
            _means(**{"PatchCore": figure, "SoftPatch lof": 0.984}),
            f"{_PAPER}, with altered copies ({copies})",
            copies,
        )
        for copies, figure in zip(
            ("noise", "blur", "rotation", "affine"), (0.760, 0.848, 0.950, 0.933), strict=True
        )
    ),
    Published(_BTAD, 0, "no", _means(PatchCore=0.957), _PAPER),
    Published(
        _BTAD,
        0,
        "no",
        _of_both("SoftPatch lof", _OF_BTAD),
        f"{_REPOSITORY}, README, with --resize 512 --crop 512 --coreset-size 0.01",
    ),
)
SOFTPATCH_PLUS = tuple(
    Published(images, noise, overlap, _of_both("SoftPatch+", {None: pair}), source)
    for images, noise, overlap, pair, source in (
        (_MVTEC, 0.1, "no", (0.982, 0.981), _PLUS),
        (_MVTEC, 0.1, "yes", (0.976, 0.978), _PLUS),
        (_VISA, 0.1, "no", (0.933, 0.984), f"{_PLUS}, about 8 % of noise"),
        (_VISA, 0.1, "yes", (0.910, 0.981), f"{_PLUS}, about 8 % of noise"),
    )
)
