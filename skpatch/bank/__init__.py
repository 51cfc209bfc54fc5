# SPDX-License-Identifier: BSD-3-Clause
"""The memory bank: candidates, their greedy selection, and scores of images by it.

Imports likeness, distances and runtime.
"""
