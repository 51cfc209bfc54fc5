# SPDX-License-Identifier: BSD-3-Clause
"""How well defects are found with memory banks of several sizes.

    python benchmarks/bank_sizes.py --data DATA --images 800 --noise 0 0.1 --seeds 20 21

DATA is a folder of folders laid out as MVTec AD; solar cells come with the package extra 'demo'.
Up to so many normal images are trained on, defective ones among them, and nothing is dropped. The
patches of a greedy coreset are in the order of their selection, so the first ones are the coreset
of a smaller bank. Images score the mean of their worst 0.6 % patches.

Image AUROC by the number of memory patches; the last is a tenth of all.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np

from skpatch import ExactNeighbors
from skpatch.bank.coreset import farthest_on_average, greedy_coreset
from skpatch.bench.protocol import load_parts, load_solar_cells
from skpatch.datasets import inject_noise
from skpatch.metrics import image_auroc

SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 40_000)
WORST = 0.006
# Images that are tested, normal and defective ones each, at most.
TESTED = 250


def measure(data, features, n_images, noise, seed):
    """Image AUROC by bank size, and processor seconds of selecting the largest."""
    random_state = np.random.RandomState(seed)
    normal, defects = (
        random_state.permutation(np.flatnonzero(data.is_defective == is_defective))
        for is_defective in (False, True)
    )
    train, normal = np.split(normal, [min(n_images, 2 * len(normal) // 3)])
    share = min(noise, len(defects) / 2 / len(train))
    noisy = inject_noise(list(train), list(defects), noise_ratio=share, random_state=seed)
    images = np.array(noisy.train_images)
    tested = np.concatenate([normal[:TESTED], np.setdiff1d(defects, images)[:TESTED]])
    patches = features[np.sort(images)].reshape(-1, features.shape[-1])
    tenth = len(patches) // 10
    started = time.process_time()
    start = farthest_on_average(patches, np.random.RandomState(seed))
    rows, _ = greedy_coreset(patches, tenth, start)
    seconds = time.process_time() - started
    queries = features[np.sort(tested)].reshape(-1, features.shape[-1])
    nearest, found, first = np.full(len(queries), np.inf), {}, 0
    for size in (*(size for size in SIZES if size < tenth), tenth):
        part = ExactNeighbors().fit(patches[rows[first:size]])
        nearest = np.minimum(nearest, part.kneighbors(queries)[0][:, 0])
        scores = np.sort(nearest.reshape(len(tested), -1))
        scores = scores[:, -max(1, round(WORST * scores.shape[1])) :].mean(axis=1)
        found[size] = image_auroc(data.is_defective[np.sort(tested)], scores)
        first = size
    return len(images), found, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data")
    parser.add_argument("--cells", nargs="*", default=["mono", "poly"])
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[20])
    parser.add_argument("--cache", default=tempfile.gettempdir())
    arguments = parser.parse_args()
    sets = [load_solar_cells(name) for name in arguments.cells]
    folders = sorted(Path(arguments.data).iterdir()) if arguments.data else []
    sets += [load_parts(folder) for folder in folders if folder.is_dir()]
    for data in sets:
        features = data.features(Path(arguments.cache))
        for noise, seed in itertools.product(arguments.noise, arguments.seeds):
            n_images, found, seconds = measure(data, features, arguments.images, noise, seed)
            tenth = list(found.values())[-1]
            print(f"{data.name}, {n_images} images, noise {noise}, seed {seed}, {seconds:.0f} s")
            for size, auroc in found.items():
                print(f"{size:>8}  {auroc:.4f}  {auroc - tenth:+.4f}", flush=True)


if __name__ == "__main__":
    main()
