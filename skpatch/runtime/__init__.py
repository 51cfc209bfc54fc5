# SPDX-License-Identifier: BSD-3-Clause
"""Threads, progress, devices, errors of memory, files that are written, texts that are printed.

Knows nothing of images or patches. Imports no other room.
"""
