# SPDX-License-Identifier: BSD-3-Clause
"""Networks up to the layers in use: built, traced once, measured, and given their weights.

Imports engines and runtime.
"""
