# SPDX-License-Identifier: BSD-3-Clause
"""The memory bank: candidates, their greedy selection, and scores from the nearest of them.

Imports distances and runtime.
"""
