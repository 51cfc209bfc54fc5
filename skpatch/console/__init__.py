# SPDX-License-Identifier: BSD-3-Clause
"""What commands share: options, help, decisions on images, and which files they may replace.

Imports inspection, images and runtime.
"""
