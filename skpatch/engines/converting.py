# SPDX-License-Identifier: BSD-3-Clause
"""Networks of torch in the form of other engines."""

import io
import warnings

import torch
from torch import nn

from ..runtime.text import shown
from .fusing import fuse

__all__ = ["convert_embedding", "convert_network"]

# What onnxruntime has read for long; it is that of exported models, too.
_OPSET = 18


def convert_network(engine, model, size, mean, std):
    """Form of a network from uint8 images (1, H, W, 3) to its maps (1, h, w, c).

    Parameters
    ----------
    engine : {"openvino", "onnx"}
    model, size, mean, std
        As for `TorchNetwork`.

    Returns
    -------
    openvino.Model or bytes

    Raises
    ------
    ValueError
        If the engine does not know one of the network's operations.
    """
    network = _Maps(fuse(model, size))
    example = torch.zeros(1, 3, *size)
    pixels = torch.zeros(1, *size, 3, dtype=torch.uint8)

    def convert():
        if engine == "openvino":
            return _from_pixels(_to_openvino(network, example), size, mean, std)
        return _to_onnx(_FromPixels(network, mean, std), pixels)

    return _converted(engine, convert)


def convert_embedding(engine, embedding, shapes):
    """Form of an embedding from maps (1, h, w, c) of these shapes (h, w, c) to features.

    Returns
    -------
    openvino.Model or bytes
    """
    network = _FromChannelsLast(embedding)
    examples = tuple(torch.zeros(1, *shape) for shape in shapes)

    def convert():
        if engine == "onnx":
            return _to_onnx(network, *examples)
        converted = _to_openvino(network, *examples)
        converted.reshape(
            {port: list(one.shape) for port, one in zip(converted.inputs, examples, strict=True)}
        )
        return converted

    return _converted(engine, convert)


def _converted(engine, convert):
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # torch.jit and the exporter that reads it are deprecated. OpenVINO reads nothing
            # sooner, and the other exporter takes ten times as long.
            warnings.simplefilter("ignore")
            return convert()
    except Exception as error:
        # Such errors have no class of their own; OpenVINO's last line says what is the matter.
        lines = str(error).strip().splitlines()
        said = shown(lines[-1 if engine == "openvino" else 0].lstrip("- "))
        raise ValueError(
            f"engine={engine!r} cannot run this network: {said}. Use engine='torch'."
        ) from error


class _Maps(nn.Module):
    """A network that gives a tuple of its maps."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return tuple(self.model(x).values())


class _FromPixels(nn.Module):
    """From one uint8 image (1, H, W, 3) to maps (1, h, w, c)."""

    def __init__(self, network, mean, std):
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(mean))
        self.register_buffer("std", 255 * torch.tensor(std))

    def forward(self, pixels):
        images = (pixels.float() - self.mean) / self.std
        return tuple(one.permute(0, 2, 3, 1) for one in self.network(images.permute(0, 3, 1, 2)))


class _FromChannelsLast(nn.Module):
    """An embedding of maps (1, h, w, c)."""

    def __init__(self, embedding):
        super().__init__()
        self.embedding = embedding

    def forward(self, *maps):
        return self.embedding([one.permute(0, 3, 1, 2) for one in maps])


def _to_onnx(network, *examples):
    content, before = io.BytesIO(), torch.backends.mha.get_fastpath_enabled()
    # ONNX has no operation for torch's fast way to attend.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # It traces the network itself: of one that is traced it does not know the shapes.
        torch.onnx.export(network.eval(), examples, content, dynamo=False, opset_version=_OPSET)
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    return content.getvalue()


def _to_openvino(network, *examples):
    """OpenVINO's form of a network.

    `openvino.convert_model` does the same, but sends to its makers that it was called.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    # The frontend does not keep the decoder.
    traced = torch.jit.trace(network.eval(), examples, check_trace=False)
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
