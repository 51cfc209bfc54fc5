# SPDX-License-Identifier: BSD-3-Clause
"""numba compiles the kernels, unless NUMBA_DISABLE_JIT=1 leaves them plain Python."""

import os
import subprocess
import sys

import numpy as np
import pytest

DISCRIMINATORS = ["support", "lof", "nearest", None]


def features(n_images, seed):
    """Patches with defects in every tenth image."""
    patches = np.random.RandomState(seed).normal(size=(n_images, 3, 4, 8)) / np.arange(1, 9)
    patches[::10, 1, 1] += 2
    return patches.astype(np.float32)


def results():
    """Everything that the kernels have a part in, by name."""
    import numba

    from skpatch import SoftPatchDetector
    from skpatch.bank.coreset import greedy_coreset
    from skpatch.distances.kernels import nearest_candidates

    found = {"is_compiled": not numba.config.DISABLE_JIT}
    train, test = features(20, 0), features(11, 1)
    for name in DISCRIMINATORS:
        detector = SoftPatchDetector(discriminator=name, coreset_size=0.3, random_state=0)
        detector.fit(train)
        found[f"{name}.picks"] = detector.memory_source_
        found[f"{name}.kept"] = detector.kept_
        found[f"{name}.noise"] = detector.noise_scores_
        found[f"{name}.training"] = detector.training_scores_
        found[f"{name}.scores"] = detector.score_samples(test)
        found[f"{name}.maps"] = detector.predict_map(test)
    for scale in ("1e-25", "1e20"):
        points = train.reshape(-1, 8) * np.float32(scale)
        found[f"{scale}.picks"], found[f"{scale}.radius"] = greedy_coreset(points, 50, 0)
    # The graph search, which takes a minute to build, ends in this kernel.
    bank, queries = train.reshape(-1, 8), test.reshape(-1, 8)
    candidates = np.random.RandomState(2).randint(-1, len(bank), size=(len(queries), 9))
    found["candidates.distances"] = np.full((len(queries), 3), np.inf)
    found["candidates.rows"] = np.full((len(queries), 3), -1)
    nearest_candidates(
        candidates,
        np.zeros(candidates.shape, np.float32),
        queries,
        bank,
        np.full(len(bank), 0.2),
        np.arange(len(queries)) % 7,
        np.arange(len(bank)) % 7,
        found["candidates.distances"],
        found["candidates.rows"],
    )
    return {name: np.asarray(value) for name, value in found.items()}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Results with compiled kernels, and without."""
    import numba

    if numba.config.DISABLE_JIT:
        pytest.skip("nothing is compiled here")
    path = tmp_path_factory.mktemp("jit") / "results.npz"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    # Of few training images it may warn.
    known = "ignore:The threshold was learned from:UserWarning"
    command = [sys.executable, "-W", "error", "-W", known, __file__, path]
    with subprocess.Popen(command, env=environment) as process:
        compiled = results()
    assert process.returncode == 0
    return compiled, np.load(path)


def test_one_of_them_is_compiled(both):
    assert [bool(found["is_compiled"]) for found in both] == [True, False]


@pytest.mark.parametrize("name", [*map(str, DISCRIMINATORS), "1e-25", "1e20", "candidates"])
def test_same_numbers(both, name):
    compiled, plain = both
    names = [key for key in compiled if key.startswith(f"{name}.")]
    assert names
    for key in names:
        if compiled[key].dtype.kind == "f":
            # Compiled loops may add in another order.
            np.testing.assert_allclose(plain[key], compiled[key], rtol=1e-12, err_msg=key)
        else:
            np.testing.assert_array_equal(plain[key], compiled[key], err_msg=key)


if __name__ == "__main__":
    np.savez(sys.argv[1], **results())
