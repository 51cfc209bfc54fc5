# SPDX-License-Identifier: BSD-3-Clause
"""SoftPatchDetector: fitting at once, in shards and bit by bit, and what its scores mean.

Imports discriminators, bank, features, likeness, metrics, distances and runtime.
"""
