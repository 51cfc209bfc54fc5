# SPDX-License-Identifier: BSD-3-Clause
"""Exact arithmetic on rows of numbers: kernels, bounds, projection and nearest neighbours.

Without words of the domain: noise models and memory bank both stand on it. Imports runtime.
"""
