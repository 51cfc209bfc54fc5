# SPDX-License-Identifier: BSD-3-Clause
"""From images to patch features: what the network looks at, the network, and its grid of patches.

Imports images, engines, distances and runtime.
"""
