# SPDX-License-Identifier: BSD-3-Clause
"""The kernels are compared with plain loops in test_coreset and test_exact; here, the edges."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skpatch.distances import kernels as _kernels
from skpatch.distances.kernels import nearest_rows
from skpatch.distances.scaling import Scaling, inner_products


@pytest.mark.parametrize("n", [1, 63, 64, 65, 130])
def test_chunks_of_the_bank(n):
    rng = np.random.RandomState(n)
    bank = rng.normal(size=(n, 5)).astype(np.float32)
    query = rng.normal(size=(1, 5)).astype(np.float32)
    scaling = Scaling(bank)
    rows, halves = scaling.apply(bank)
    scaled, query_halves = scaling.apply(query)
    k = min(n, 3)
    distances, indices = np.full((1, k), np.inf), np.full((1, k), -1)
    tolerance = scaling.tolerance(query_halves, halves.max())
    nearest_rows(
        inner_products(scaled, rows),
        query,
        bank,
        np.zeros(n),
        np.arange(n),
        0,
        halves,
        query_halves,
        tolerance,
        float(scaling.unit),
        distances,
        indices,
    )
    expected = np.square(query.astype(np.float64) - bank).sum(axis=1)
    np.testing.assert_array_equal(indices[0], np.argsort(expected)[:k])
    np.testing.assert_allclose(distances[0], np.sort(expected)[:k])


def test_part_without_rows_changes_nothing():
    empty = np.empty((0, 5), np.float32)
    distances, indices = np.full((1, 1), 4.0), np.full((1, 1), 7)
    query, none = np.ones((1, 5), np.float32), np.empty(0, np.float32)
    halves = np.full(1, 2.5, np.float32)
    nearest_rows(
        np.empty((1, 0), np.float32),
        query,
        empty,
        np.empty(0),
        np.empty(0, np.int64),
        0,
        none,
        halves,
        np.zeros(1, np.float32),
        1.0,
        distances,
        indices,
    )
    assert distances.item() == 4
    assert indices.item() == 7


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e20])
@pytest.mark.parametrize("shift", [0, 100])
def test_tolerance_bounds_the_rounding_error(scale, shift):
    rng = np.random.RandomState(0)
    points = ((rng.normal(size=(300, 512)) + shift) * scale).astype(np.float32)
    scaling = Scaling(points)
    scaled, halves = scaling.apply(points)
    approximate = halves[:, None] + halves - scaled @ scaled.T
    exact = np.square(points[:, None].astype(np.float64) - points).sum(axis=2) / 2 / scaling.unit
    tolerance = scaling.tolerance(halves, halves.max())
    assert (np.abs(approximate - exact) <= tolerance[:, None]).all()


def test_constant_points_have_a_scale():
    scaling = Scaling(np.full((3, 2), 7, np.float32))
    scaled, halves = scaling.apply(np.full((1, 2), 7, np.float32))
    assert scaled.tolist() == [[0, 0]]
    assert halves.tolist() == [0]


def test_nowhere_to_keep_compiled_code(tmp_path):
    """As in a container whose package and home cannot be written to."""
    room = Path(_kernels.__file__).parent
    shutil.copytree(room.parent / "runtime", tmp_path / "house" / "runtime")
    copied = tmp_path / "house" / "distances"
    copied.mkdir()
    shutil.copy(_kernels.__file__, copied)
    (copied / "__pycache__").touch()
    code = (
        "import numpy; from house.distances import kernels;"
        "print(kernels._smallest(numpy.array([3, 2], numpy.float32)))"
    )
    environment = {name: value for name, value in os.environ.items() if "NUMBA" not in name}
    nowhere = str(copied / "__pycache__" / "cache")
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **environment,
            "PYTHONPATH": str(tmp_path),
            "HOME": nowhere,
            "XDG_CACHE_HOME": nowhere,
        },
        capture_output=True,
        text=True,
    )
    assert printed.stdout == "2.0\n", printed.stderr
