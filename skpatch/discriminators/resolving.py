# SPDX-License-Identifier: BSD-3-Clause
"""From a `discriminator` parameter to a discriminator."""

from sklearn.base import BaseEstimator, clone, is_outlier_detector

from ..runtime.parameters import seed_nested
from .base import KeepAll, NoiseDiscriminator
from .fusion import FusionDiscriminator
from .positionwise import (
    GaussianDiscriminator,
    LOFDiscriminator,
    NearestDiscriminator,
    PositionwiseDiscriminator,
)
from .support import SupportDiscriminator

__all__ = ["DISCRIMINATORS", "make_discriminator"]

DISCRIMINATORS = {
    "support": SupportDiscriminator,
    "nearest": NearestDiscriminator,
    "gaussian": GaussianDiscriminator,
    "lof": LOFDiscriminator,
    "fusion": FusionDiscriminator,
}


def make_discriminator(discriminator, *, random_state=None, n_jobs=None):
    """Resolve a `discriminator` parameter to an unfitted discriminator.

    Parameters
    ----------
    discriminator : str, NoiseDiscriminator, outlier detector or None
        A name ("support", "nearest", "gaussian", "lof", "fusion"), a discriminator, or a
        scikit-learn outlier detector to be fitted at each position; None keeps all patches.
    random_state : RandomState instance, optional
        Seeds what the discriminator leaves unseeded.
    n_jobs : int, optional
        Passed on to a :class:`PositionwiseDiscriminator` made here.

    Returns
    -------
    NoiseDiscriminator
    """
    known = ", ".join(map(repr, DISCRIMINATORS))
    if discriminator is None:
        return KeepAll()
    if isinstance(discriminator, str):
        if discriminator not in DISCRIMINATORS:
            raise ValueError(
                f"discriminator={discriminator!r} is unknown. Known are {known}, None for plain "
                "PatchCore, a NoiseDiscriminator, or a scikit-learn outlier detector."
            )
        return DISCRIMINATORS[discriminator]()
    if isinstance(discriminator, NoiseDiscriminator):
        resolved = clone(discriminator)
    elif isinstance(discriminator, BaseEstimator) and is_outlier_detector(discriminator):
        resolved = PositionwiseDiscriminator(estimator=clone(discriminator), n_jobs=n_jobs)
    else:
        raise ValueError(
            f"discriminator={discriminator!r} must be a name ({known}), None for plain PatchCore, "
            "a NoiseDiscriminator instance, or a scikit-learn outlier detector instance."
        )
    return resolved if random_state is None else seed_nested(resolved, random_state)
