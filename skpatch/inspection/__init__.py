# SPDX-License-Identifier: BSD-3-Clause
"""What a model says of a set of images: audit, table, maps, regions, heat pictures, HTML page.

Imports detector, bank, features, images, likeness and runtime.
"""
