# SPDX-License-Identifier: BSD-3-Clause
"""What commands share: options, images that are given, decisions on them, help, and which files they may replace.

Imports inspection, datasets, images and runtime.
"""
