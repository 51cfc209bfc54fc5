# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark prints."""

import numpy as np
import pytest

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.bench.protocol import ImageSet
from skpatch.bench.report import print_goals, print_settings


def rows_at(noise):
    cell = {"dataset": "mono", "noise": noise, "overlap": "no", "seed": 3}
    metrics = {"image_auroc": 0.5, "audit_ap": np.nan, "false_alarm_rate": 0.2}
    return [{**cell, **metrics, "method": method} for method in ("PatchCore", "skpatch")]


def test_only_what_is_known_is_compared(capsys):
    print_goals(rows_at(0.1))
    one = capsys.readouterr().out
    assert "Loss on clean data" not in one
    assert "Audit" not in one
    assert "| mono | 0.000 (PatchCore, no overlap) |" in one
    print_goals(rows_at(0) + rows_at(0.1))
    both = capsys.readouterr().out
    assert "| method | mean loss | largest loss | drop at 10%, no overlap |" in both
    assert "40%" not in both


@pytest.mark.parametrize("style", ["markdown", "latex"])
def test_settings_say_what_differs_between_presets(style, capsys):
    images = np.zeros((6, 64, 80), np.uint8)
    data = ImageSet("mono", images, np.arange(6) > 3, np.arange(3, 6))
    data.extractor = PatchFeatureExtractor(image_size=64, patch_size=1).fit(images)
    print_settings("patchcore", [data], SoftPatchDetector(coreset_size=0.1), style)
    out = capsys.readouterr().out
    for text in (
        "preset patchcore",
        "backbone=efficientnet_lite0",
        "patch_size=1",
        "layers=features.3 features.5",
        "coreset_size=0.1",
        "80 x 64",
        "none: no pixel metrics",
    ):
        assert text in out
    data.mask_paths = {4: "mask.png", 5: None}
    print_settings("patchcore", [data], SoftPatchDetector(), style)
    assert "of 2 images" in capsys.readouterr().out
