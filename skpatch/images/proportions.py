# SPDX-License-Identifier: BSD-3-Clause
"""Whether a picture that belongs to an image can be laid over it."""

__all__ = ["have_same_proportions"]


def have_same_proportions(first, second):
    """Whether two sizes (H, W) have the same proportions.

    Sides that were rounded, when a picture was reduced, are off by half a pixel.
    """
    rounding = max(sum(first), sum(second)) / 2
    return abs(first[0] * second[1] - first[1] * second[0]) <= rounding
