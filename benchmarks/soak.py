# SPDX-License-Identifier: BSD-3-Clause
"""Memory of one process that scores very many images.

    python benchmarks/soak.py

50,000 photographs, solar cells turned, mirrored and lit in other ways, are scored by one call of
score_samples in one process. Its resident memory is read all along; printed are the means over
each tenth of the images, and last the ratio of the last tenth to the second.
"""

import argparse
import threading
import time

import numpy as np
from _common import RepeatedCells, resident

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline


class Counted:
    """A sequence of images that knows how many were asked for."""

    def __init__(self, images):
        self._images, self.count = images, 0

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        self.count += 1
        return self._images[index]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--train", type=int, default=100)
    arguments = parser.parse_args()
    model = make_pipeline(PatchFeatureExtractor(), SoftPatchDetector(random_state=0))
    model.fit(RepeatedCells(arguments.train, seed=1))
    images, seen, stopped = Counted(RepeatedCells(arguments.images)), [], threading.Event()

    def watch():
        while not stopped.wait(0.5):
            seen.append((images.count, resident()))

    watcher = threading.Thread(target=watch)
    started = time.perf_counter()
    watcher.start()
    scores = model.score_samples(images)
    seconds = time.perf_counter() - started
    stopped.set()
    watcher.join()
    counts, memory = np.array(seen).T
    tenth = np.minimum(counts * 10 // arguments.images, 9).astype(int)
    means = [memory[tenth == number].mean() for number in range(10)]
    print(f"{len(scores)} images, {len(scores) / seconds:.1f} a second, scores finite: ", end="")
    print(bool(np.isfinite(scores).all()))
    print("MB in each tenth:", *(f"{mean:.0f}" for mean in means))
    print(f"last tenth / second tenth {means[9] / means[1]:.4f}")


if __name__ == "__main__":
    main()
