# SPDX-License-Identifier: BSD-3-Clause
"""What commands share: their options, their help, and which files they may replace.

Imports inspection and runtime.
"""
