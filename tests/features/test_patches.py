# SPDX-License-Identifier: BSD-3-Clause
"""Patch features in the forms that torch has."""

import warnings

import numpy as np
import pytest
import torch

from skpatch import SoftPatchDetector
from skpatch.features.patches import check_patches

FEATURES = np.random.RandomState(0).normal(size=(41, 4, 4, 8)).astype(np.float32)

FORMS = {
    "float32": torch.tensor,
    "with a gradient": lambda values: torch.tensor(values, requires_grad=True),
    "computed": lambda values: torch.tensor(values, requires_grad=True) * 1.0,
    "float64": lambda values: torch.tensor(values, dtype=torch.float64),
    "bfloat16": lambda values: torch.tensor(values).bfloat16(),
    "list": lambda values: list(torch.tensor(values, requires_grad=True)),
    "list of bfloat16": lambda values: list(torch.tensor(values).bfloat16()),
}


@pytest.mark.parametrize("memory_limit", [None, "1G"])
@pytest.mark.parametrize("form", FORMS)
def test_tensors_are_features_too(form, memory_limit):
    detector = SoftPatchDetector(
        discriminator=None, coreset_size=20, memory_limit=memory_limit, random_state=0
    )
    expected = clone_fit(detector, rounded(form)).score_samples(rounded(form)[:5])
    found = clone_fit(detector, FORMS[form](FEATURES)).score_samples(FORMS[form](FEATURES[:5]))
    np.testing.assert_array_equal(found, expected)


def clone_fit(detector, features):
    return type(detector)(**detector.get_params()).fit(features)


def rounded(form):
    values = torch.from_numpy(FEATURES)
    return (values.bfloat16().float() if "bfloat16" in form else values).numpy()


def test_rows_of_features_may_be_tensors():
    rows = torch.tensor(FEATURES[:, 0, 0], requires_grad=True)
    np.testing.assert_array_equal(check_patches(rows)[0][:, 0, 0], FEATURES[:, 0, 0])


@pytest.mark.parametrize("shape", [(512, 28, 28), (128, 56, 56), (1024, 14, 25), (64, 16, 9)])
def test_channels_first_are_warned_of(shape):
    features = np.zeros((2, *shape), np.float32)
    said = rf"grid of {shape[0]} x {shape[1]} patches with {shape[2]} features.*permute\(0, 2, 3, 1"
    with pytest.warns(UserWarning, match=said):
        check_patches(torch.from_numpy(features))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_patches(features.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("shape", [(28, 28, 152), (28, 28, 28), (28, 28, 8), (800, 28, 152)])
def test_grids_of_any_proportions_are_taken(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_patches(np.zeros((1, *shape), np.float32))
