# SPDX-License-Identifier: BSD-3-Clause
"""Write the graph of a fitted pipeline as an ONNX file, once it scores as the pipeline does."""

import hashlib
import warnings
from importlib.util import find_spec

import numpy as np

from ..detector.estimator import SoftPatchDetector, fitted_state
from ..distances.exact import ExactNeighbors
from ..features.extractor import PatchFeatureExtractor
from ..features.patches import check_patches
from ..inspection.maps import image_maps
from ..inspection.result import check_threshold
from ..networks.tracing import tracing
from ..runtime.files import check_output, replacing
from ..runtime.parameters import check_is_fitted
from ..runtime.products import require_torch
from ..runtime.text import first_line
from ..runtime.versions import installed_versions

__all__ = ["write_onnx"]

# What onnxruntime, OpenVINO and TensorRT all read.
_OPSET = 18
# With maps, each patch is compared with all memory patches (benchmarks/export.py).
_LARGEST_BANK = 20_000
_TOLERANCE = 1e-3


def write_onnx(model, path, maps):
    """Export a fitted pipeline; see :meth:`PatchPipeline.to_onnx`."""
    check_output(path, ".onnx", "path")
    require_torch("to_onnx")
    _check_installed()
    _check_model(model)
    extractor, detector = (step for _, step in model.steps)
    _tell_range(extractor)
    exported = _exported(extractor, detector, maps)
    _describe(exported, extractor, detector)
    content = exported.SerializeToString()
    _check_scores(content, extractor, detector, maps)
    with replacing(path) as file:
        file.write(content)


def _check_installed():
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"to_onnx needs packages that are missing, {', '.join(missing)}: "
            "pip install 'skpatch[onnx]'"
        )


def _check_model(model):
    """Raise for a model that one graph cannot stand for."""
    kinds = [type(step) for _, step in model.steps]
    if kinds != [PatchFeatureExtractor, SoftPatchDetector]:
        raise ValueError(
            "Only a pipeline of a PatchFeatureExtractor and a SoftPatchDetector can be exported; "
            f"got {', '.join(kind.__name__ for kind in kinds)}."
        )
    extractor, detector = (step for _, step in model.steps)
    check_is_fitted(extractor)
    check_is_fitted(detector)
    check_threshold(detector)
    reasons = {
        f"tile_size={extractor.tile_size}: a graph has the network on the whole image": (
            tuple(extractor._tile) != tuple(extractor.image_size_)
        ),
        "it has a region, and a graph inspects the whole image": not detector.inspected_.all(),
        f"dtype={extractor.dtype!r}: a graph computes in float32, and would score otherwise. Its "
        "threshold may be learned anew with dtype='float32'": extractor.dtype != "float32",
        f"neighbors={detector.neighbors!r}: a graph compares with all memory patches, as "
        "neighbors='exact' does": type(detector.neighbors_) is not ExactNeighbors,
        f"its memory bank has {len(detector.memory_bank_):,} patches, and a graph, which compares "
        f"with each of them, may have {_LARGEST_BANK:,}. Fit with coreset_size={_LARGEST_BANK} or "
        "less": len(detector.memory_bank_) > _LARGEST_BANK,
    }
    for reason, applies in reasons.items():
        if applies:
            raise ValueError(f"The model cannot be exported: {reason}.")


def _tell_range(extractor):
    """Say what is to be done with images that are not 8-bit, which a graph does not take."""
    if extractor.intensity_range_ is not None:
        warnings.warn(
            "The graph takes 8-bit pixels, and the model was fitted on others. Convert them first: "
            f"{_conversion(extractor.intensity_range_)}",
            stacklevel=4,
        )


def _conversion(intensity_range):
    black, white = map(float, intensity_range)
    return (
        f"np.rint(np.clip((pixels - {black}) * {255 / (white - black)}, 0, 255)).astype(np.uint8)"
    )


def _exported(extractor, detector, maps):
    """ONNX model of all that a pipeline does with pixels."""
    import torch

    from .graph import OUTPUTS, ScoringGraph

    # Any sizes: they, and the number of images, are free.
    images = torch.zeros(2, 70, 80, 3, dtype=torch.uint8)
    with tracing(), torch.no_grad(), warnings.catch_warnings():
        # Of torch's own making.
        warnings.simplefilter("ignore")
        graph = ScoringGraph(extractor, detector, maps).eval()
        try:
            return torch.onnx.export(
                graph,
                (images,),
                dynamo=True,
                opset_version=_OPSET,
                input_names=["images"],
                output_names=list(OUTPUTS if maps else OUTPUTS[:-1]),
                dynamic_shapes=({0: "n", 1: "height", 2: "width"},),
                verbose=False,
            ).model_proto
        except Exception as error:
            # Of many classes, for what a network of one's own may do.
            raise ValueError(
                f"The model cannot be exported: torch.onnx does not convert its network: "
                f"{first_line(error)}"
            ) from error


def _describe(exported, extractor, detector):
    """Write into an ONNX model what it is, and from what it was made."""
    import onnx
    import PIL

    backbone = extractor.backbone
    if not isinstance(backbone, str):
        backbone = type(backbone).__name__
    said = {
        **installed_versions(),
        "pillow": PIL.__version__,
        "onnx": onnx.__version__,
        "score": "1 = threshold, high = anomalous",
        "threshold": repr(float(-detector.offset_)),
        "normal_images": str(len(detector.calibration_scores_)),
        "memory_patches": str(len(detector.memory_bank_)),
        "backbone": backbone,
        "input_size": " x ".join(map(str, extractor.image_size_)),
    }
    if extractor.intensity_range_ is not None:
        said["pixels"] = _conversion(extractor.intensity_range_)
    content = exported.graph.SerializeToString(deterministic=True)
    said["graph_sha256"] = hashlib.sha256(content).hexdigest()
    exported.producer_name, exported.producer_version = "skpatch", said["skpatch"]
    onnx.helper.set_model_props(exported, said)


def _check_scores(content, extractor, detector, maps):
    """Raise unless onnxruntime gives the pipeline's own score and map of an image of noise."""
    import onnxruntime
    import torch

    height, width = extractor.image_size_
    images = np.random.RandomState(0).randint(0, 256, (1, height + 9, width + 5, 3), np.uint8)
    # Not by the detector's methods, which would warn of such an image, rightly.
    bank = fitted_state(detector).bank.on("cpu")
    features = check_patches(extractor.transform(images), unit=bank.rule.metric == "cosine")[0]
    threshold = check_threshold(detector)
    expected = {"score": bank.score_images(features)[0] / threshold}
    if maps:
        whole = np.array(image_maps(extractor, bank.score_patches(features), images))
        expected["map"] = whole / threshold
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    found = session.run(list(expected), {"images": images})
    for (name, own), one in zip(expected.items(), found, strict=True):
        difference = np.nanmax(np.abs(one - own)) / np.nanmax(own)
        if not difference <= _TOLERANCE:
            raise ValueError(
                f"The model cannot be exported: {name}s of the graph differ from its own by "
                f"{difference:.2g} of their size, for a random image. Nothing was written."
            )
