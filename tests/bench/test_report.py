# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark prints."""

import numpy as np
import pytest

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.bench.protocol import ImageSet
from skpatch.bench.published import Published
from skpatch.bench.report import ACCURACY, OF_FIT, print_goals, print_means, print_settings
from skpatch.bench.settings import METHODS, PRESETS


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


FIGURES = {
    ("image_auroc", "PatchCore"): {None: 0.9},
    ("image_auroc", "skpatch"): {None: 0.8, "mono": 0.9875},
}
PUBLISHED = [
    Published("Two sets", 0.1, "no", FIGURES, "A paper, table 1"),
    Published("Two sets", 0.2, "no", FIGURES, "A paper, table 2"),
    Published("Two sets", 0.1, "yes", FIGURES, "A paper, table 3"),
]


def rows_of_all_metrics():
    metrics = (*ACCURACY, *OF_FIT)
    return [{**dict.fromkeys(metrics, np.nan), **row} for row in rows_at(0.1)]


def test_published_figures_are_below_those_that_they_are_to_be_compared_with(capsys):
    rows = rows_of_all_metrics()
    print_means([*rows, *({**row, "dataset": "poly"} for row in rows)], "markdown", PUBLISHED)
    out = capsys.readouterr().out
    table = out.split("Image AUROC")[1].split("\n\n")[1].splitlines()
    assert table[2:] == [
        "| mono | 10% | no | 0.500 | 0.500 |",
        "| mono, published [1] | 10% | no | - | 0.988 |",
        "| poly | 10% | no | 0.500 | 0.500 |",
        "| mean of all | 10% | no | 0.500 | 0.500 |",
        "| Two sets, published [1] | 10% | no | 0.900 | 0.800 |",
    ]
    assert out.endswith("\nPublished figures are from\n[1] A paper, table 1\n")
    assert "published" not in out.split("False-alarm rate")[1].split("Published")[0]


def test_published_means_stand_beside_a_single_set(capsys):
    print_means(rows_of_all_metrics(), "latex", PUBLISHED)
    out = capsys.readouterr().out
    assert "mean of all" not in out
    assert r"Two sets, published [1] & 10\% & no & 0.900 & 0.800 \\" in out
    assert out.endswith("\n% Published figures are from\n% [1] A paper, table 1\n")


@pytest.mark.parametrize(
    ("style", "found"),
    [
        ("markdown", r"| a_b\|c^d~e\f | 10% |"),
        (
            "latex",
            r"a\_b|c\textasciicircum{}d\textasciitilde{}e\textbackslash{}f & 10\% &",
        ),
    ],
)
def test_names_of_sets_do_not_break_a_table(style, found, capsys):
    rows = [{**row, "dataset": r"a_b|c^d~e\f"} for row in rows_of_all_metrics()]
    print_means(rows, style)
    assert found in capsys.readouterr().out


def test_published_figures_are_of_metrics_and_methods_that_there_are():
    """A figure under another name would never be shown."""
    published = [one for preset in PRESETS.values() for one in preset.published]
    names = {name for one in published for name in one.figures}
    assert {metric for metric, _ in names} <= set(ACCURACY)
    assert {method for _, method in names} <= set(METHODS)
    for preset in PRESETS.values():
        known = {method for one in preset.published for _, method in one.figures}
        assert known <= set(preset.methods)
