# SPDX-License-Identifier: BSD-3-Clause
"""What images are as a whole: copies of each other, of several kinds, unlike all others.

Imports distances and runtime.
"""
