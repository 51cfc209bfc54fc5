# SPDX-License-Identifier: BSD-3-Clause
import matplotlib.pyplot as plt
import numpy as np

from skpatch.bench.demo import _say_outcomes
from skpatch.plotting import AnomalyMapDisplay


def test_each_map_says_whether_its_defect_was_found():
    display = AnomalyMapDisplay.from_predictions(
        np.full((5, 8, 8), 128, np.uint8),
        np.zeros((5, 8, 8)),
        scores=[0.5, 1.5, 0.5, 1.5, 1],
        colorbar=False,
    )
    _say_outcomes(display, [0, 0, 1, 1, 1])
    titles = [ax.get_title() for ax in display.axes_[-1]]
    assert titles == [
        "passed, score 0.50",
        "false alarm, score 1.50",
        "missed, score 0.50",
        "found, score 1.50",
        "missed, score 1.00",
    ]
    colours = [ax.spines["top"].get_edgecolor() for ax in display.axes_[-1]]
    assert len(set(colours)) == 4
    assert colours[2] == colours[4]
    plt.close(display.figure_)
