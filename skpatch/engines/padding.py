# SPDX-License-Identifier: BSD-3-Clause
"""Convolutions with TensorFlow's "SAME" padding, and the same ones padded evenly."""

from torch import nn
from torch.nn import functional

__all__ = ["SameConv2d", "padded_evenly"]


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "SAME" padding, which is uneven where strides leave a rest."""

    def paddings(self, size):
        """Zeros (before, after) each axis for an output of ceil(h / stride), ceil(w / stride)."""
        pads = []
        for length, kernel, stride, dilation in zip(
            size, self.kernel_size, self.stride, self.dilation, strict=True
        ):
            extent = (kernel - 1) * dilation + 1
            total = max((-(length // -stride) - 1) * stride + extent - length, 0)
            pads.append((total // 2, total - total // 2))
        return pads

    def forward(self, x):
        """Pad (n, c, h, w), and convolve."""
        pads = self.paddings(x.shape[-2:])
        if all(before == after for before, after in pads):
            padding = pads[0][0], pads[1][0]
        else:
            x = functional.pad(x, (*pads[1], *pads[0]))
            padding = 0
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


def padded_evenly(convolution, size):
    """Weights and padding with which a convolution of maps of a size (h, w) pads evenly.

    A kernel that begins with zeros reaches as far back as ahead, so no map is copied to pad it.

    Returns
    -------
    weight : Tensor
    padding : list of int
        Zeros before, and as many after, each axis.

    Raises
    ------
    ValueError
        If the convolution does not pad with zeros, or a dilated kernel cannot be widened so.
    """
    weight = convolution.weight.detach()
    if not isinstance(convolution, SameConv2d):
        if convolution.padding_mode != "zeros" or isinstance(convolution.padding, str):
            raise ValueError("padded with other than so many zeros")
        return weight, list(convolution.padding)
    zeros = []
    for (before, after), dilation in zip(
        convolution.paddings(size), convolution.dilation, strict=True
    ):
        more, rest = divmod(after - before, dilation)
        if rest:
            raise ValueError("a dilated kernel that would begin between its taps")
        zeros.append(more)
    return (
        functional.pad(weight, (zeros[1], 0, zeros[0], 0)),
        [after for _, after in convolution.paddings(size)],
    )
