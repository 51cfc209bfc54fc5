# SPDX-License-Identifier: BSD-3-Clause
"""Peak memory of the ways to train on and to score a large set.

    python benchmarks/large_sets.py

Each way runs in a process of its own on photographs of normal solar cells. The figure is the peak
of the memory that the process itself holds, above what it held after eight images, in units of the
float32 features of all images. Pages of mapped files are not counted: the system takes them back
when it needs them.
"""

import argparse
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from _common import Peak, held, split_cells

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline


def fit_at_once(model, images):
    model.fit(images)


def fit_mapped(model, images):
    with tempfile.TemporaryDirectory() as folder:
        model.set_params(patchfeatureextractor__output=Path(folder) / "features.npy").fit(images)


def partial_fit_by_fifty(model, images):
    model.fit(images[:50])
    for start in range(50, len(images), 50):
        model.partial_fit(images[start : start + 50])


def fit_in_shards(model, images):
    detector = {"memory_limit": "256M", "coreset_size": 5000}
    model.set_params(**{f"softpatchdetector__{name}": detector[name] for name in detector})
    model.fit(images)


def score(model, images):
    model.score_samples(images)


WAYS = {
    "fit": fit_at_once,
    "fit, output=": fit_mapped,
    "partial_fit, 50 at a time": partial_fit_by_fifty,
    "fit, 256M, bank of 5,000": fit_in_shards,
    "score_samples": score,
}


def measure(way, kind, n_images, coreset_size):
    """MB at the peak above libraries, network and a small model; and those of all features."""
    images, _, _ = split_cells(n_images, 0, kind)
    detector = SoftPatchDetector(random_state=0)
    model = make_pipeline(PatchFeatureExtractor(), detector).fit(images[:8])
    model.score_samples(images[:8])
    if coreset_size is not None:
        detector.set_params(coreset_size=coreset_size)
    before = held()
    with Peak() as peak:
        WAYS[way](model, images)
    height, width = model[0].grid_size_
    features = len(images) * height * width * model[0].n_features_out_ * 4 / 2**20
    return peak.value - before, features


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--kind", default="mono", choices=["mono", "poly", "all"])
    parser.add_argument("--coreset-size", type=int, help="memory patches; a tenth if left out")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    arguments = parser.parse_args()
    print(f"{'':30}{'MB':>6}{'of the features':>18}")
    for way in arguments.ways:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            above, features = pool.submit(
                measure, way, arguments.kind, arguments.images, arguments.coreset_size
            ).result()
        print(f"{way:30}{above:6.0f}{above / features:18.2f}", flush=True)


if __name__ == "__main__":
    main()
