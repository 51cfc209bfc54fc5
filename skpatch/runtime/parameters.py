# SPDX-License-Identifier: BSD-3-Clause
"""Constraints of parameters, and the private imports from scikit-learn."""

import inspect
import numbers
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import check_is_fitted

__all__ = [
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "changed_parameters",
    "check_is_fitted",
    "fit_context",
    "positive_integer",
    "seed_nested",
    "validate_parameter",
]


_Fit = TypeVar("_Fit", bound=Callable)


def changed_parameters(estimator):
    """Parameters of an estimator, without those of its parts, that are not as by default."""
    defaults = inspect.signature(type(estimator).__init__).parameters
    return {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if repr(value) != repr(defaults[name].default)
    }


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[_Fit], _Fit]:
    """scikit-learn's decorator of `fit`, typed so that checkers still see the method."""
    return _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)


def validate_parameter(estimator, name):
    """Raise if an estimator has a value of a parameter that its fit would refuse."""
    constraints = {name: estimator._parameter_constraints[name]}
    value = {name: getattr(estimator, name)}
    validate_parameter_constraints(constraints, value, caller_name=type(estimator).__name__)


def seed_nested(estimator, random_state):
    """Give every unset ``random_state`` inside an estimator a seed from `random_state`."""
    unset = {
        name: random_state.randint(np.iinfo(np.int32).max)
        for name, value in sorted(estimator.get_params().items())
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return estimator.set_params(**unset)


class _PositiveInteger(Interval):
    """Constraint that refuses True too, which Python counts among the integers."""

    def __init__(self):
        super().__init__(numbers.Integral, 1, None, closed="left")

    def is_satisfied_by(self, val):
        return not isinstance(val, bool | np.bool_) and super().is_satisfied_by(val)


def positive_integer():
    """Constraint of a parameter that counts something."""
    return _PositiveInteger()
