# SPDX-License-Identifier: BSD-3-Clause
"""Peak memory of a fit within a memory limit, on 1, 4 and 16 times as many images.

    python benchmarks/shard_memory.py

The images are solar cells, turned, mirrored and lit in other ways. Each fit runs in a process of
its own. The figure is the peak of the memory that the process itself holds, above what it held
after fitting eight images. The ratio of the largest to the smallest set comes last.
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

from _common import Peak, RepeatedCells, held

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.detector.estimator import fitted_state
from skpatch.detector.shards import plan_shards
from skpatch.detector.state import Settings


def measure(n_images, limit, coreset_size, discriminator):
    """MB at the peak, seconds of the fit, MB of all features, and number of shards."""
    detector = SoftPatchDetector(
        discriminator=discriminator, coreset_size=coreset_size, random_state=0
    )
    model = make_pipeline(PatchFeatureExtractor(), detector).fit(RepeatedCells(8, seed=1))
    detector.set_params(memory_limit=limit)
    before, started = held(), time.perf_counter()
    with Peak() as peak:
        model.fit(RepeatedCells(n_images))
    seconds = time.perf_counter() - started
    shape = (n_images, *detector.grid_shape_, detector.n_features_in_)
    features = 4 * shape[0] * shape[1] * shape[2] * shape[3] / 2**20
    return peak.value - before, seconds, features, n_shards(detector, n_images)


def n_shards(detector, n_images):
    """Number of shards of the fit of a detector."""
    fitted, settings = fitted_state(detector), Settings.of(detector)
    plan = plan_shards(n_images, fitted.grid, detector.n_features_in_, fitted.components, settings)
    return plan.n_shards


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300, help="of the smallest set")
    parser.add_argument("--limit", default="256M")
    parser.add_argument("--coreset-size", type=int, default=2000)
    parser.add_argument("--discriminator", default="support")
    arguments = parser.parse_args()
    peaks = []
    print(f"{'images':>7}{'features MB':>13}{'shards':>8}{'peak MB':>9}{'seconds':>9}")
    for n_images in (arguments.images * factor for factor in (1, 4, 16)):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            peak, seconds, features, n_shards = pool.submit(
                measure,
                n_images,
                arguments.limit,
                arguments.coreset_size,
                arguments.discriminator,
            ).result()
        peaks.append(peak)
        print(f"{n_images:7}{features:13.0f}{n_shards:8}{peak:9.0f}{seconds:9.0f}", flush=True)
    print(f"peak at 16 times / peak at once {peaks[-1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
