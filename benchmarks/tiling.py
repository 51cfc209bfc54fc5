# SPDX-License-Identifier: BSD-3-Clause
"""Memory, time and error of the network on tiles of one large photograph.

    python benchmarks/tiling.py
    python benchmarks/tiling.py --backbone resnet18 --tiles 1024

Solar cells side by side are a photograph of 3,000 x 4,000 pixels, whose features are extracted in
one pass and in tiles, each in a process of its own. Memory is the peak above what the process held
before, libraries and network included. The error is the largest difference of a patch from that of
one pass, relative to its norm.
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from memory import peak, resident
from PIL import Image

from skpatch import PatchFeatureExtractor
from skpatch.datasets import load_elpv

HEIGHT, WIDTH = 3000, 4000


def photograph():
    """Array (3000, 4000), uint8."""
    cells = load_elpv(kind="mono").images
    side = 300
    picture = np.zeros((HEIGHT, -(-WIDTH // side) * side), np.uint8)
    columns = picture.shape[1] // side
    for index in range(HEIGHT // side * columns):
        row, column = np.multiply(np.divmod(index, columns), side)
        cell = Image.open(cells[index]).convert("L").resize((side, side))
        picture[row : row + side, column : column + side] = cell
    return picture[:, :WIDTH]


def measure(backbone, tile_size):
    """MB at the peak, seconds, and features of the photograph."""
    weights = "default" if backbone == "efficientnet_lite0" else None
    images = [photograph()]
    parameters = {"backbone": backbone, "weights": weights, "random_state": 0}
    PatchFeatureExtractor(**parameters).fit_transform(images)
    before = resident()
    started = time.perf_counter()
    extractor = PatchFeatureExtractor(
        image_size=HEIGHT, tile_size=tile_size, n_scales=1, **parameters
    )
    features = extractor.fit_transform(images)[0]
    return peak() - before, time.perf_counter() - started, features


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--tiles", type=int, nargs="*", default=[2048, 1024, 512])
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    whole = None
    for tile_size in (None, *arguments.tiles):
        with ProcessPoolExecutor(1, context) as pool:
            memory, seconds, found = pool.submit(measure, arguments.backbone, tile_size).result()
        whole = found if whole is None else whole
        error = np.linalg.norm(found - whole, axis=-1) / np.linalg.norm(whole, axis=-1)
        print(
            f"tile_size={tile_size}: {memory:.0f} MB, {seconds:.1f} s, "
            f"features {found.nbytes / 2**20:.0f} MB, error {error.max():.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
