# SPDX-License-Identifier: BSD-3-Clause
"""A fitted pipeline as one ONNX graph, from pixels to scores and maps, compared with itself.

Imports bank, inspection, detector, features, networks, engines, distances and runtime.
"""
