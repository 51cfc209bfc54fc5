# SPDX-License-Identifier: BSD-3-Clause
"""A saved model on the line: images as they come, from a folder or over HTTP, and their drift.

Imports inspection, datasets, images and runtime.
"""
