# SPDX-License-Identifier: BSD-3-Clause
"""The protocol of the paper, accuracy against the share of defects, and a demonstration of it.

Imports plotting, pipeline, inspection, detector, datasets, features, networks, images, metrics and
runtime. Loaded by the commands `skpatch bench` and `skpatch demo` only.
"""
