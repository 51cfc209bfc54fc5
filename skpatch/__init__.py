# SPDX-License-Identifier: BSD-3-Clause
"""Find defects in images when the training images are themselves contaminated with defects."""

from importlib import import_module

__version__ = "0.1.0.dev0"

_HOMES = {
    "ExactNeighbors": "_neighbors",
    "FusionDiscriminator": "discriminators",
    "GaussianDiscriminator": "discriminators",
    "LOFDiscriminator": "discriminators",
    "NearestDiscriminator": "discriminators",
    "NoiseDiscriminator": "discriminators",
    "PatchFeatureExtractor": "_extractor",
    "PatchPipeline": "_pipeline",
    "PositionwiseDiscriminator": "discriminators",
    "PyNNDescentNeighbors": "_neighbors",
    "SoftPatchDetector": "_detector",
    "load": "persistence",
    "make_pipeline": "_pipeline",
    "save": "persistence",
}
_MODULES = {"audit", "datasets", "discriminators", "metrics", "persistence", "plotting", "report"}

__all__ = sorted(["__version__", *_HOMES, *_MODULES])


def __getattr__(name):
    """Import a public name on first use: scikit-learn and torch take seconds to load."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
