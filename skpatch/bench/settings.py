# SPDX-License-Identifier: BSD-3-Clause
"""What the robustness protocol compares; apart, so that the command line need not load torch."""

__all__ = ["CONTAMINATION", "ELPV_SETS", "METHODS"]

_SOFTPATCH = {"noise_threshold": 0.15, "soft_weights": True}
# Parameters of SoftPatchDetector.
METHODS = {
    "PatchCore": {"discriminator": None},
    "SoftPatch lof": {"discriminator": "lof", **_SOFTPATCH},
    "SoftPatch gaussian": {"discriminator": "gaussian", **_SOFTPATCH},
    "skpatch": {},
}
ELPV_SETS = ("mono", "poly", "mono unaligned", "poly unaligned")
CONTAMINATION = 0.05
