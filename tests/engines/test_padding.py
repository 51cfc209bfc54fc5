# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
import torch
from torch.nn import functional

from skpatch.engines.padding import SameConv2d, padded_evenly


def same_convolution(x, weight, step, dilation):
    """TensorFlow's SAME convolution of (c, h, w) by loops over positions."""
    outputs, _, *kernel = weight.shape
    sizes = [-(-side // step) for side in x.shape[1:]]
    pads = []
    for side, out, k in zip(x.shape[1:], sizes, kernel, strict=True):
        total = max((out - 1) * step + (k - 1) * dilation + 1 - side, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, [(0, 0), *pads])
    result = np.zeros((outputs, *sizes))
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            rows = i * step + dilation * np.arange(kernel[0])
            columns = j * step + dilation * np.arange(kernel[1])
            window = padded[:, rows[:, None], columns]
            result[:, i, j] = (weight * window).sum(axis=(1, 2, 3))
    return result


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (8, 11), (5, 6)])
@pytest.mark.parametrize("kernel", [3, 5, 2])
@pytest.mark.parametrize(("step", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_same_convolution(size, kernel, step, dilation):
    torch.manual_seed(0)
    module = SameConv2d(2, 3, kernel, step, dilation=dilation, bias=False)
    x = np.random.RandomState(0).normal(size=(2, *size)).astype(np.float32)
    with torch.inference_mode():
        result = module(torch.from_numpy(x)[None])[0].numpy()
    expected = same_convolution(x, module.weight.detach().numpy(), step, dilation)
    assert result.shape == (3, -(-size[0] // step), -(-size[1] // step))
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (8, 11), (5, 6)])
@pytest.mark.parametrize("kernel", [1, 3, 5, 2])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_even_padding_gives_the_same(size, kernel, step):
    torch.manual_seed(0)
    module = SameConv2d(2, 3, kernel, step).eval()
    weight, padding = padded_evenly(module, size)
    x = torch.rand(1, 2, *size)
    found = functional.conv2d(x, weight, module.bias, step, padding)
    torch.testing.assert_close(found, module(x))


def test_even_padding_of_dilated_kernels():
    torch.manual_seed(0)
    module, x = SameConv2d(2, 3, 2, dilation=2), torch.rand(1, 2, 8, 8)
    weight, padding = padded_evenly(module, (8, 8))
    torch.testing.assert_close(functional.conv2d(x, weight, module.bias, 1, padding, 2), module(x))
    # One zero more on one side is half a step of the kernel.
    with pytest.raises(ValueError, match="between its taps"):
        padded_evenly(SameConv2d(2, 3, 3, 2, dilation=2), (8, 8))


@pytest.mark.parametrize("padding", [{"padding": "same"}, {"padding_mode": "reflect"}])
def test_other_paddings_are_refused(padding):
    with pytest.raises(ValueError, match="so many zeros"):
        padded_evenly(torch.nn.Conv2d(2, 3, 3, **padding), (8, 8))
