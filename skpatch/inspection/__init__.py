# SPDX-License-Identifier: BSD-3-Clause
"""What a model says of a set of images: audit, maps, regions, heat pictures and the HTML page.

Imports detector, bank, features, images, likeness and runtime.
"""
