# SPDX-License-Identifier: BSD-3-Clause
"""A network run by onnxruntime, which is small, and on many computers."""

import os

from .graph import Graph

__all__ = ["OnnxGraph"]

# Errors are raised, and warnings are of no use to whoever loads a model.
_ERRORS_ALONE = 3


class OnnxGraph(Graph):
    """A network run by onnxruntime on the CPU, in float32.

    Parameters
    ----------
    content : bytes
        An ONNX model.
    """

    def __init__(self, content):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ALONE
        # A model may name files that its weights are in. None can be below a device.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", os.path.join(os.devnull, "none")
        )
        self._session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        self.inputs, self.outputs = (
            [tuple(port.shape)[1:] for port in ports]
            for ports in (self._session.get_inputs(), self._session.get_outputs())
        )
        self._names = [port.name for port in self._session.get_inputs()]

    def run(self, arrays):
        """Outputs of one image."""
        return self._session.run(None, dict(zip(self._names, arrays, strict=True)))
