# SPDX-License-Identifier: BSD-3-Clause
"""What images are as a whole: known before, copies of each other, or unlike all others.

Imports distances and runtime.
"""
