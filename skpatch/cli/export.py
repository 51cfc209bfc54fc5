# SPDX-License-Identifier: BSD-3-Clause
"""The command that exports a saved model to ONNX."""

import os

from ..console.output import check_free
from ..runtime.text import say, shown
from .loading import open_pipeline

__all__ = ["run_export"]


def run_export(*, model, output, no_maps, force, weights):
    """Write the ONNX graph of a saved model, and say what goes in and what comes out."""
    check_free(output, ".onnx", "--output", force)
    os.stat(model)
    open_pipeline(model, weights).to_onnx(output, maps=not no_maps)
    say("Input:   images (n, height, width, 3), uint8, RGB, of any one size")
    say("Outputs: score (n), 1 = threshold, high = anomalous; p_value (n); is_anomalous (n)")
    if not no_maps:
        say("         map (n, height, width), 1 = threshold")
    say(f"Graph:   {shown(output)}, scores as the model does")
