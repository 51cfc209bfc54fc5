# SPDX-License-Identifier: BSD-3-Clause
"""From images to patch features: what the network looks at, and the grid of patches it gives.

Imports images, networks, engines, distances and runtime.
"""
