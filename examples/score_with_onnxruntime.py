# SPDX-License-Identifier: BSD-3-Clause
"""
Score with onnxruntime alone
============================

An exported model needs neither skpatch nor torch: ``pip install onnxruntime numpy``. Export it with
``skpatch export line.skpatch -o line.onnx``, and run this with images as arrays (H, W, 3) or (H, W)
of 8 bits: ``python score_with_onnxruntime.py line.onnx a.npy b.npy``.
"""

import sys

import numpy as np
import onnxruntime

model, *paths = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

for path in paths:
    pixels = np.load(path)
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=-1)
    score, p_value, is_anomalous, heat = session.run(None, {"images": pixels[np.newaxis]})
    row, column = np.unravel_index(np.nanargmax(heat[0]), heat[0].shape)
    verdict = "anomalous" if is_anomalous[0] else "normal"
    print(f"{path}: {verdict}, score {score[0]:.6g}, p-value {p_value[0]:.3g}", end=", ")
    print(f"most suspicious at row {row}, column {column}")
