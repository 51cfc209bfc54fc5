# SPDX-License-Identifier: BSD-3-Clause
from . import audit, datasets, discriminators, metrics, persistence, plotting, report
from .detector.estimator import SoftPatchDetector
from .discriminators import (
    FusionDiscriminator,
    GaussianDiscriminator,
    LOFDiscriminator,
    NearestDiscriminator,
    NoiseDiscriminator,
    PositionwiseDiscriminator,
    SupportDiscriminator,
)
from .distances.exact import ExactNeighbors
from .distances.graph import PyNNDescentNeighbors
from .features.extractor import PatchFeatureExtractor
from .persistence import load, save
from .pipeline import PatchPipeline, make_pipeline

__version__: str

__all__ = [
    "ExactNeighbors",
    "FusionDiscriminator",
    "GaussianDiscriminator",
    "LOFDiscriminator",
    "NearestDiscriminator",
    "NoiseDiscriminator",
    "PatchFeatureExtractor",
    "PatchPipeline",
    "PositionwiseDiscriminator",
    "PyNNDescentNeighbors",
    "SoftPatchDetector",
    "SupportDiscriminator",
    "__version__",
    "audit",
    "datasets",
    "discriminators",
    "load",
    "make_pipeline",
    "metrics",
    "persistence",
    "plotting",
    "report",
    "save",
]
