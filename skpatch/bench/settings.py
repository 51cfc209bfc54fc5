# SPDX-License-Identifier: BSD-3-Clause
"""What the robustness protocol compares; apart, so that the command line need not load torch."""

from typing import NamedTuple

__all__ = ["CONTAMINATION", "ELPV_SETS", "METHODS", "PRESETS", "Preset"]

_SOFTPATCH = {"noise_threshold": 0.15, "soft_weights": True}
# Parameters of SoftPatchDetector.
METHODS = {
    "PatchCore": {"discriminator": None},
    "SoftPatch nearest": {"discriminator": "nearest", **_SOFTPATCH},
    "SoftPatch lof": {"discriminator": "lof", **_SOFTPATCH},
    "SoftPatch gaussian": {"discriminator": "gaussian", **_SOFTPATCH},
    "skpatch": {},
}
ELPV_SETS = ("mono", "poly", "mono unaligned", "poly unaligned")
CONTAMINATION = 0.05


class Preset(NamedTuple):
    """What is measured unless options say otherwise.

    Attributes
    ----------
    extractor, detector : dict
        Parameters of PatchFeatureExtractor and, for all methods, of SoftPatchDetector.
    methods : tuple of str
        Of `METHODS`.
    noise : tuple of float
        Injected defects divided by normal training images.
    published : str
        Figures of others to compare with, and where they are from.
    """

    extractor: dict
    detector: dict
    methods: tuple[str, ...]
    noise: tuple[float, ...]
    published: str = ""


_PAPER = {
    "backbone": "wide_resnet50_2",
    "layers": ("layer2", "layer3"),
    "resize": 256,
    "crop": 224,
    "embedding_dim": 1024,
}
_MVTEC = "Image AUROC, mean of the 15 categories of MVTec AD"
# As published, but for what docs/guide/paper.rst says.
PRESETS = {
    "default": Preset(
        {}, {}, ("PatchCore", "SoftPatch lof", "SoftPatch gaussian", "skpatch"), (0, 0.1, 0.2, 0.4)
    ),
    "patchcore": Preset(
        _PAPER,
        {"coreset_size": 0.1},
        ("PatchCore",),
        (0,),
        f"{_MVTEC}, without noise: 0.990 (K. Roth et al., PatchCore, CVPR 2022, table 1).",
    ),
    "softpatch": Preset(
        _PAPER,
        {"coreset_size": 0.1},
        ("PatchCore", "SoftPatch nearest", "SoftPatch gaussian", "SoftPatch lof"),
        (0.1,),
        f"{_MVTEC}, 10 % noise, no overlap: PatchCore 0.984, SoftPatch lof 0.986 (X. Jiang et al., "
        "SoftPatch, NeurIPS 2022).",
    ),
    # S. Damm et al., "AnomalyDINO", WACV 2025; its memory is PatchCore's, of all patches.
    "anomalydino": Preset(
        {
            "backbone": "timm/vit_small_patch14_dinov2.lvd142m",
            "layers": "norm",
            "image_size": 448,
        },
        {"metric": "cosine", "coreset_size": 1.0, "worst_patches": 0.01},
        ("PatchCore",),
        (0,),
    ),
}
