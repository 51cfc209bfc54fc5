# SPDX-License-Identifier: BSD-3-Clause
"""What commands share: options, help, images and decisions on them, and files they may replace.

Imports inspection, datasets, images and runtime.
"""
