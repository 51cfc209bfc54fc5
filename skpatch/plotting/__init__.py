# SPDX-License-Identifier: BSD-3-Clause
"""Plots in scikit-learn's manner: what a model sees, what an audit finds, what noise costs.

A display stores what it draws. Its class methods compute and draw at once; its method ``plot``
draws again, into axes of your own if you pass them. Nothing is shown or saved by itself: in a
script, call ``plt.show()`` or ``display.figure_.savefig("plot.png")``. The plots need matplotlib:
``pip install "skpatch[plot]"``.

Imports inspection, images and runtime.
"""

from .audit import NoiseAuditDisplay
from .maps import AnomalyMapDisplay
from .robustness import RobustnessDisplay

__all__ = ["AnomalyMapDisplay", "NoiseAuditDisplay", "RobustnessDisplay"]
