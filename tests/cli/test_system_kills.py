# SPDX-License-Identifier: BSD-3-Clause
import importlib.util
import os
import random
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"
spec = importlib.util.spec_from_file_location("kills", SCRIPT)
kills = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kills)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_killed_fits(tmp_path):
    kills.make_photographs(tmp_path)
    counts = kills.kill_command("fit", 3, tmp_path, random.Random(0))
    assert counts["all old"] + counts["all new"] == 3
    assert counts["broken"] == 0


def test_what_is_broken():
    old, new = {"a": b"1", "b": b"2"}, {"a": b"3", "b": b"4"}
    assert kills.judge(old, old, new) == ([], 0)
    assert kills.judge({"a": b"3", "b": b"2"}, old, new) == ([], 1)
    assert kills.judge({"a": b"", "b": b"4", "c": b""}, old, new) == (["a", "c"], 1)
    assert kills.judge({"a": b"3"}, old, new) == (["b"], 1)
