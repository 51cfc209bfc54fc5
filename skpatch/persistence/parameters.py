# SPDX-License-Identifier: BSD-3-Clause
"""Parameters of estimators as JSON, and back: numbers, texts, and parts that are skpatch's own."""

import os

import numpy as np

from ..discriminators import (
    FusionDiscriminator,
    GaussianDiscriminator,
    LOFDiscriminator,
    NearestDiscriminator,
    SupportDiscriminator,
)
from ..distances.exact import ExactNeighbors
from ..distances.graph import PyNNDescentNeighbors
from .container import entries

__all__ = ["pack_parameters", "pack_value", "unpack_parameters", "unpack_value"]

_PARTS = {
    part.__name__: part
    for part in (
        ExactNeighbors,
        FusionDiscriminator,
        GaussianDiscriminator,
        LOFDiscriminator,
        NearestDiscriminator,
        PyNNDescentNeighbors,
        SupportDiscriminator,
    )
}


def pack_parameters(estimator, **replaced):
    """Parameters of an estimator as JSON."""
    _validate(estimator)
    params = estimator.get_params(deep=False)
    return {
        name: replaced[name] if name in replaced else pack_value(value, name)
        for name, value in params.items()
    }


def unpack_parameters(kind, params):
    """Unfitted estimator with these parameters."""
    unknown = set(params) - set(kind().get_params(deep=False))
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no parameters {sorted(unknown)}; was it saved by a newer skpatch?"
        )
    estimator = kind(**{name: unpack_value(value) for name, value in params.items()})
    _validate(estimator)
    return estimator


def _validate(estimator):
    """Raise for parameters that a fit would refuse: those of a fitted one may have been changed."""
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()


def pack_value(value, name):
    """Value of a parameter as JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.random.RandomState):
        return None
    if isinstance(value, list | tuple | np.ndarray):
        packed = [pack_value(one, name) for one in value]
        return {"tuple": packed} if isinstance(value, tuple) else packed
    if _PARTS.get(type(value).__name__) is type(value):
        return {"class": type(value).__name__, "params": pack_parameters(value)}
    hint = "set_params(discriminator=None) before saving (it is used in fit only), or "
    raise ValueError(
        f"{name}={value!r} cannot be saved: it is not one of {', '.join(_PARTS)}. Use "
        f"{hint if 'discriminator' in name else ''}joblib, whose files run code when loaded."
    )


def unpack_value(packed):
    """Value of a parameter that :func:`pack_value` made JSON of."""
    if isinstance(packed, list):
        return [unpack_value(one) for one in packed]
    if not isinstance(packed, dict):
        return packed
    if set(packed) == {"tuple"}:
        return tuple(unpack_value(packed["tuple"]))
    name, params = entries(packed, "class", "params")
    if name not in _PARTS:
        raise ValueError(f"its part {name!r} is not one of {', '.join(_PARTS)}")
    return unpack_parameters(_PARTS[name], params)
