# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmarks share: solar cells and their features, and times taken in turns."""

import resource
import statistics
import threading
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.random_projection import GaussianRandomProjection

from skpatch import PatchFeatureExtractor
from skpatch.bench.protocol import permute_classes, timed
from skpatch.datasets import load_elpv


def solar_cell_features(n_images, kind="mono", **extractor):
    """Patch features (n, h, w, d) of the first photographs of one kind."""
    return PatchFeatureExtractor(**extractor).fit_transform(load_elpv(kind=kind).images[:n_images])


def split_cells(n_train, n_test, kind="mono", seed=0):
    """Paths of normal cells to train on, of as many normal and defective ones, and their labels."""
    data = load_elpv(kind=kind)
    images = np.asarray(data.images)
    normal, defective = permute_classes(data.is_defective, seed)
    test = np.r_[normal[n_train : n_train + n_test], defective[:n_test]]
    return list(images[normal[:n_train]]), list(images[test]), np.repeat([0, 1], n_test)


class RepeatedCells:
    """All solar cells again and again, each time turned, mirrored and lit in another way."""

    def __init__(self, n_images, seed=0):
        self._paths, self._n_images, self._seed = load_elpv().images, n_images, seed

    def __len__(self):
        return self._n_images

    def __getitem__(self, index):
        if not 0 <= index < self._n_images:
            raise IndexError(index)
        turns, mirrored, light = np.random.RandomState([self._seed, index]).random_sample(3)
        with Image.open(self._paths[index % len(self._paths)]) as image:
            pixels = np.rot90(np.asarray(image.convert("L")), int(4 * turns))
        pixels = pixels[:, ::-1] if mirrored < 0.5 else pixels
        return (pixels * (0.8 + 0.2 * light)).astype(np.uint8)


def project(features, dimension=128):
    """Random projection (n, h, w, dimension) of features, as the detector makes it."""
    rows = features.reshape(-1, features.shape[-1])
    projection = GaussianRandomProjection(dimension, random_state=0)
    projected = np.ascontiguousarray(projection.fit_transform(rows), np.float32)
    return projected.reshape(*features.shape[:-1], dimension)


def resident():
    """MB of memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def held(kind="RssAnon"):
    """MB of memory of this process; by default that which no file backs, "VmHWM" is the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


class Peak(threading.Thread):
    """The most that is held during a with statement."""

    def __enter__(self):
        self.value, self.stopped = held(), threading.Event()
        self.start()
        return self

    def run(self):
        """Look a hundred times a second."""
        while not self.stopped.wait(0.01):
            self.value = max(self.value, held())

    def __exit__(self, *_):
        self.stopped.set()
        self.join()


def in_turns(repeats, **functions):
    """Median seconds of each function by name, called in turns; and their last results.

    In turns, so that a machine that slows down meanwhile slows all of them.
    """
    seconds = {name: [] for name in functions}
    results = {}
    for _ in range(repeats):
        for name, function in functions.items():
            taken, results[name] = timed(function)
            seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}, results
