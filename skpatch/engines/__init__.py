# SPDX-License-Identifier: BSD-3-Clause
"""Run a network fast: steps in one, padding in the weights, and whose kernels compute it.

Knows networks and their inputs, but no features. Imports runtime.
"""
