# SPDX-License-Identifier: BSD-3-Clause
"""A network run by OpenVINO, for Intel's processors and others."""

import warnings
from collections import deque

import numpy as np
import torch
from torch import nn

from ..runtime.text import shown
from .fusing import fuse

__all__ = ["OpenVinoNetwork"]

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoNetwork:
    """A network run by OpenVINO on the CPU; parameters and call are those of `TorchNetwork`.

    Whoever calls it lends its own thread, and images pass one by one: both were faster than
    OpenVINO's streams and batches of two.

    Raises
    ------
    ValueError
        If OpenVINO does not know one of the network's operations.
    """

    def __init__(self, model, size, mean, std, dtype):
        import openvino

        network = _Maps(fuse(model, size))
        try:
            converted = _convert(network, size)
            pixels = _from_pixels(converted, size, mean, std)
            self._compiled = openvino.Core().compile_model(
                pixels,
                "CPU",
                {
                    # Without, it computes in bfloat16 where the processor can.
                    "INFERENCE_PRECISION_HINT": _PRECISIONS[dtype],
                    "INFERENCE_NUM_THREADS": 1,
                    "NUM_STREAMS": 1,
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except Exception as error:
            # OpenVINO's errors have no class of their own; the last line says what is the matter.
            said = shown(str(error).strip().splitlines()[-1].lstrip("- "))
            raise ValueError(
                f"engine='openvino' cannot run this network: {said}. Use engine='torch'."
            ) from error
        self._layers = network.layers
        # A request is for one thread at a time.
        self._idle = deque()

    def __call__(self, pixels):
        """Maps of uint8 images (n, 3, H, W) whose colours lie side by side in memory."""
        images = pixels.permute(0, 2, 3, 1).contiguous().numpy()
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        shapes = [tuple(output.shape)[1:] for output in self._compiled.outputs]
        maps = [np.empty((len(images), *shape), np.float32) for shape in shapes]
        for number in range(len(images)):
            found = request.infer([images[number : number + 1]], share_inputs=True)
            for one, values in zip(maps, found.values(), strict=True):
                one[number] = values[0]
        self._idle.append(request)
        maps = [torch.from_numpy(one).permute(0, 3, 1, 2) for one in maps]
        return dict(zip(self._layers, maps, strict=True))


class _Maps(nn.Module):
    """A network that gives a tuple of its maps; `layers` are their names, once it has run."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.layers = None

    def forward(self, x):
        maps = self.model(x)
        self.layers = tuple(maps)
        return tuple(maps.values())


def _convert(network, size):
    """OpenVINO's form of a network.

    `openvino.convert_model` does the same, but sends to its makers that it was called.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(1, 3, *size)
    with warnings.catch_warnings(), torch.no_grad():
        # torch.jit is deprecated, but the form that OpenVINO reads soonest.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network.eval(), example, check_trace=False)
        frontend = FrontEndManager().load_by_framework("pytorch")
        # The frontend does not keep the decoder.
        decoder = TorchScriptPythonDecoder(traced)
        return frontend.convert(frontend.load(decoder))


def _from_pixels(model, size, mean, std):
    """The network from one uint8 image (1, H, W, 3) to maps (1, h, w, c)."""
    from openvino import Layout, Type, preprocess

    # All at once, so that each step from pixels to the input is a part of the network.
    steps = preprocess.PrePostProcessor(model)
    image = steps.input(0)
    image.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC")).set_shape([1, *size, 3])
    image.model().set_layout(Layout("NCHW"))
    colours = image.preprocess().convert_element_type(Type.f32)
    colours.mean([255 * one for one in mean]).scale([255 * one for one in std])
    for index in range(len(model.outputs)):
        output = steps.output(index)
        output.model().set_layout(Layout("NCHW"))
        output.tensor().set_layout(Layout("NHWC")).set_element_type(Type.f32)
    return steps.build()
