# SPDX-License-Identifier: BSD-3-Clause
"""What the robustness protocol compares; apart, so that the command line need not load torch."""

from typing import NamedTuple

from .published import PATCHCORE, SOFTPATCH, SOFTPATCH_PLUS, Published

__all__ = [
    "CONTAMINATION",
    "ELPV_SETS",
    "MAP_THRESHOLDS",
    "METHODS",
    "PRESETS",
    "REWEIGHTING",
    "Preset",
]

_SOFTPATCH = {"noise_threshold": 0.15, "soft_weights": True}
# Parameters of SoftPatchDetector.
METHODS = {
    "PatchCore": {"discriminator": None},
    "PatchCore reweighted": {"discriminator": None},
    "SoftPatch nearest": {"discriminator": "nearest", **_SOFTPATCH},
    "SoftPatch lof": {"discriminator": "lof", **_SOFTPATCH},
    "SoftPatch gaussian": {"discriminator": "gaussian", **_SOFTPATCH},
    "SoftPatch+": {"discriminator": "fusion", **_SOFTPATCH},
    "skpatch": {},
}
# Neighbours in the bank that weigh the scores of images by a method; anomalib has as many.
REWEIGHTING = {"PatchCore reweighted": 9}
# Share that is dropped from the second memory bank of a method, which has the maps.
MAP_THRESHOLDS = {"SoftPatch+": 0.5}
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
    published : tuple of Published
        Figures of others to compare with.
    variant : str
        Which way is gone where a paper and its reference code part, unless options say otherwise.
    """

    extractor: dict
    detector: dict
    methods: tuple[str, ...]
    noise: tuple[float, ...]
    published: tuple[Published, ...] = ()
    variant: str = ""


_PAPER = {
    "backbone": "wide_resnet50_2",
    "layers": ("layer2", "layer3"),
    "resize": 256,
    "crop": 224,
    "n_scales": 1,
    "embedding_dim": 1024,
}
_OF_BOTH = (
    "As in the code, images are cropped; other than there, the coreset is selected exactly, and "
    "torchvision's weights are the newer ones; --weights takes a file of the older."
)
# As published, but for what docs/guide/paper.rst says.
PRESETS = {
    "default": Preset(
        {}, {}, ("PatchCore", "SoftPatch lof", "SoftPatch gaussian", "skpatch"), (0, 0.1, 0.2, 0.4)
    ),
    "patchcore": Preset(
        _PAPER,
        {"coreset_size": 0.1},
        ("PatchCore", "PatchCore reweighted"),
        (0,),
        PATCHCORE,
        "Scores of images are the distances of their worst patches, and beside them those that the "
        f"paper's equation weighs, with nine neighbours as in anomalib. {_OF_BOTH}",
    ),
    "softpatch": Preset(
        _PAPER,
        {"coreset_size": 0.1},
        ("PatchCore", "SoftPatch nearest", "SoftPatch gaussian", "SoftPatch lof"),
        (0.1,),
        SOFTPATCH,
        "As the paper where its code does otherwise: distances, not their squares, and local "
        f"outlier factors of six neighbours, not five. {_OF_BOTH}",
    ),
    "softpatch+": Preset(
        _PAPER,
        {"coreset_size": 0.1},
        ("PatchCore", "SoftPatch lof", "SoftPatch+"),
        (0.1,),
        SOFTPATCH_PLUS,
        "By the paper alone: the code of its authors has no fusion. Two memory banks, of which "
        "maps have the second; distances, not their squares.",
    ),
    # S. Damm et al., "AnomalyDINO", WACV 2025; its memory is PatchCore's, of all patches.
    "anomalydino": Preset(
        {
            "backbone": "timm/vit_small_patch14_dinov2.lvd142m",
            "layers": "norm",
            "image_size": 448,
            "n_scales": 1,
        },
        {"metric": "cosine", "coreset_size": 1.0, "worst_patches": 0.01},
        ("PatchCore",),
        (0,),
        variant="Without the turned copies and the masks of the background that the paper has for "
        "some sets; images are not cropped.",
    ),
}
