# SPDX-License-Identifier: BSD-3-Clause
"""The protocol of the paper: accuracy against the share of defects in the training set.

Imports plotting, inspection, detector, datasets, features, networks, images, metrics and runtime.
Loaded by the command `skpatch bench` only.
"""
