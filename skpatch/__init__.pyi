# SPDX-License-Identifier: BSD-3-Clause
# `X as X` is what makes a name of a stub file public; without it editors do not offer the name.
from . import audit as audit
from . import datasets as datasets
from . import discriminators as discriminators
from . import metrics as metrics
from . import persistence as persistence
from . import plotting as plotting
from . import report as report
from .detector.estimator import SoftPatchDetector as SoftPatchDetector
from .discriminators import FusionDiscriminator as FusionDiscriminator
from .discriminators import GaussianDiscriminator as GaussianDiscriminator
from .discriminators import LOFDiscriminator as LOFDiscriminator
from .discriminators import NearestDiscriminator as NearestDiscriminator
from .discriminators import NoiseDiscriminator as NoiseDiscriminator
from .discriminators import PositionwiseDiscriminator as PositionwiseDiscriminator
from .discriminators import SupportDiscriminator as SupportDiscriminator
from .distances.exact import ExactNeighbors as ExactNeighbors
from .distances.graph import PyNNDescentNeighbors as PyNNDescentNeighbors
from .features.extractor import PatchFeatureExtractor as PatchFeatureExtractor
from .inspection.result import Inspection as Inspection
from .persistence import load as load
from .persistence import save as save
from .pipeline import PatchPipeline as PatchPipeline
from .pipeline import make_pipeline as make_pipeline

__version__: str
