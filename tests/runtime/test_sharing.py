# SPDX-License-Identifier: BSD-3-Clause
"""Caches are run as code: who else may write to them."""

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from _system import another_user

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.runtime.sharing import others_in

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX")

ALICE, TEAM = 23456, 23458


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o500])
def test_a_folder_of_ones_own(folder, mode):
    os.chmod(folder, mode)
    assert others_in(folder) is None
    assert others_in(folder / "not" / "there") is None
    (folder.parent / "link").symlink_to(folder)
    assert others_in(folder.parent / "link") is None


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_folder_that_all_may_change(folder, mode):
    os.chmod(folder, mode)
    assert others_in(folder) == f"other users may write to {str(folder)!r}"
    (folder.parent / "link").symlink_to(folder)
    assert others_in(folder.parent / "link") == others_in(folder)


def test_a_folder_in_one_that_all_may_change(folder):
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    os.chmod(folder, 0o777)
    assert others_in(inner) == f"other users may write to {str(folder)!r}"
    assert others_in(inner / "new") == others_in(inner)
    # As /tmp: nobody else can rename what is in it.
    os.chmod(folder, 0o1777)
    assert others_in(inner) is None


def test_groups_and_owners():
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        folder = Path(parent, "cache")
        folder.mkdir()
        os.chmod(folder, 0o770)
        # The group of root is that of one user.
        assert others_in(folder) is None
        os.chown(folder, -1, TEAM)
        assert others_in(folder) == f"other users may write to {str(folder)!r}"
        os.chmod(folder, 0o700)
        os.chown(folder, ALICE, ALICE)
        assert others_in(folder) == f"{str(folder)!r} belongs to another user"
        with another_user(ALICE, ALICE):
            assert others_in(folder) is None
            # Root may do anything.
            assert others_in(parent) is None


@pytest.mark.parametrize(("form", "method"), [(str, "fit"), (joblib.Memory, "fit_predict")])
def test_a_fit_warns_of_a_cache_of_others(folder, form, method):
    images = np.random.RandomState(0).randint(0, 256, (5, 64, 64), np.uint8)
    extractor = PatchFeatureExtractor(image_size=64, layers="features.2")
    detector = SoftPatchDetector(discriminator=None, coreset_size=5, random_state=0)
    model = make_pipeline(extractor, detector, memory=form(folder))
    fit = getattr(model, method)
    fit(images)
    os.chmod(folder, 0o777)
    with pytest.warns(UserWarning, match=r"memory=.*run as code .* other users may") as found:
        fit(images)
    assert {one.filename for one in found if "run as code" in str(one.message)} == {__file__}


def test_no_cache_no_warning(folder):
    images = np.random.RandomState(0).randint(0, 256, (5, 64, 64), np.uint8)
    extractor = PatchFeatureExtractor(image_size=64, layers="features.2")
    detector = SoftPatchDetector(discriminator=None, coreset_size=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "The threshold was learned")
        make_pipeline(extractor, detector, memory=joblib.Memory(None)).fit(images)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_compiled_code_of_others_is_not_run(folder, mode):
    os.chmod(folder, mode)
    code = "import numpy as np; from skpatch.distances.kernels import _squared_distance as d\n"
    code += "a = np.ones(2, np.float32); assert d(a, 0 * a) == 2"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "NUMBA_DISABLE_JIT": "0"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    is_shared = mode == 0o777
    assert ("is not used by skpatch" in ran.stderr) == is_shared
    assert (not any(folder.rglob("*.nbc"))) == is_shared
