# SPDX-License-Identifier: BSD-3-Clause
"""By how much the maps of a network are smaller than its images."""

import math

__all__ = ["PROBE_SIZE", "stride"]

# Of the image with which a network's strides are measured, unless it is for another size alone.
PROBE_SIZE = (224, 224)


def stride(size, shape):
    """By how much a map (c, h, w) is smaller than an image of a size (H, W).

    Networks that do not pad give maps a little smaller than the power of two that they are made
    for. Those of transformers are cut into patches, whose side may be any number.
    """
    if size[0] % shape[1] == 0:
        return size[0] // shape[1]
    return 2 ** round(math.log2(size[0] / shape[1]))
