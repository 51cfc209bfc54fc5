# SPDX-License-Identifier: BSD-3-Clause
"""Whatever users have as images, read one by one as uint8 RGB arrays.

Imports runtime.
"""
