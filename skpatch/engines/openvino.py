# SPDX-License-Identifier: BSD-3-Clause
"""A network run by OpenVINO, for Intel's processors and others."""

import os
import tempfile
from collections import deque

from .graph import Graph

__all__ = ["OpenVinoGraph", "pack", "unpack"]

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoGraph(Graph):
    """A network run by OpenVINO on the CPU.

    Parameters
    ----------
    model : openvino.Model
    dtype : {"float32", "bfloat16"}
    """

    def __init__(self, model, dtype):
        import openvino

        self._compiled = openvino.Core().compile_model(
            model,
            "CPU",
            {
                # Without, it computes in bfloat16 where the processor can.
                "INFERENCE_PRECISION_HINT": _PRECISIONS[dtype],
                "INFERENCE_NUM_THREADS": 1,
                "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False,
            },
        )
        self.inputs, self.outputs = (
            [tuple(port.shape)[1:] for port in ports]
            for ports in (self._compiled.inputs, self._compiled.outputs)
        )
        # A request is for one thread at a time.
        self._idle = deque()

    def run(self, arrays):
        """Outputs of one image."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        outputs = list(request.infer(arrays, share_inputs=True).values())
        self._idle.append(request)
        return outputs


def pack(model):
    """Parts of a file, bytes, from an openvino.Model: the operations, and the weights."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("model.xml", "model.bin")]
        # `openvino.save_model` would round the weights to float16.
        openvino.serialize(model, *paths)
        parts = []
        for path in paths:
            with open(path, "rb") as file:
                parts.append(file.read())
    return parts


def unpack(parts):
    """The openvino.Model that :func:`pack` took parts from."""
    import openvino

    operations, weights = parts
    if not operations.startswith(b"<?xml"):
        # It would be read as one of other formats, some of which name further files.
        raise ValueError("its network is not in OpenVINO's form")
    return openvino.Core().read_model(operations, weights)
