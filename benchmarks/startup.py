# SPDX-License-Identifier: BSD-3-Clause
"""Import, first-use compilation, and the demonstration with cold and warm caches.

    python benchmarks/startup.py

Compilation is what a fit and a scoring of small features take longer in a process with an empty
cache of compiled code than in the next one. The demonstration runs as a user types it, first with
an empty cache. The last line is the compilation's.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIT = """
import numpy as np
from skpatch import SoftPatchDetector
features = np.random.RandomState(0).normal(size=(60, 12, 12, 64)).astype(np.float32)
for discriminator in ("lof", "gaussian", "nearest"):
    detector = SoftPatchDetector(discriminator=discriminator, coreset_size=0.6)
    detector.fit(features).score_samples(features)
    detector.predict_map(features)
"""


def seconds(command, cache):
    """Seconds that a command takes with a folder for compiled code, and what it prints."""
    started = time.perf_counter()
    output = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
    ).stdout
    return time.perf_counter() - started, output


def main():
    python = [sys.executable, "-c"]
    with tempfile.TemporaryDirectory() as folder:
        caches = [str(Path(folder) / name) for name in ("fit", "demo")]
        imported, _ = seconds([*python, "import skpatch"], caches[0])
        started, _ = seconds([*python, "pass"], caches[0])
        print(f"import skpatch        {imported - started:.2f} s")
        demo = [str(Path(sys.executable).with_name("skpatch")), "demo", "-o", f"{folder}/demo.png"]
        for state in ("cold", "warm"):
            taken, output = seconds(demo, caches[1])
            stages = re.search(r"^ *total +([\d.]+)", output, re.MULTILINE)[1]
            print(f"demo, {state}            {taken:.1f} s, of it {stages} s in its stages")
        cold, warm = (seconds([*python, FIT], caches[0])[0] for _ in range(2))
        print(f"first-use compilation {cold - warm:.1f} s ({cold:.1f} cold, {warm:.1f} warm)")


if __name__ == "__main__":
    main()
