# SPDX-License-Identifier: BSD-3-Clause
"""A report of many images: how large it is, and how long a browser takes to open it.

    python benchmarks/report.py --images 2000

Photographs of solar cells, enlarged to 1200 x 900 pixels with a little noise of their own, and
made-up scores, of which about a third are above the threshold. Size of the file and seconds to
write it; then seconds until Chromium has loaded it and its script has run, five times. Needs
playwright.
"""

import argparse
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _common import split_cells
from PIL import Image
from playwright.sync_api import sync_playwright

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.report import score_report

N_TRAIN, N_PHOTOGRAPHS, N_TIMES = 60, 40, 5


class Photographs:
    """As many photographs as wanted; few are different, so that making them takes no time."""

    def __init__(self, paths, n_images):
        self._made = [self._make(path, seed) for seed, path in enumerate(paths)]
        self._n_images = n_images

    def __len__(self):
        return self._n_images

    def __getitem__(self, index):
        if index >= self._n_images:
            raise IndexError(index)
        return self._made[index % len(self._made)]

    @staticmethod
    def _make(path, seed):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L").resize((1200, 900)), float)
        noise = np.random.RandomState(seed).normal(0, 3, pixels.shape)
        return (pixels + noise).clip(0, 255).astype(np.uint8)


def made_up_scores(n_images, grid):
    """Scores (n, h, w) in units of the threshold, with one place each that may be above it."""
    rng = np.random.RandomState(0)
    scores = rng.uniform(0.2, 0.8, (n_images, *grid))
    rows, columns = (rng.randint(0, side - 2, n_images) for side in grid)
    for image, (row, column) in enumerate(zip(rows, columns, strict=True)):
        scores[image, row : row + 3, column : column + 3] = rng.gamma(4, 0.23)
    return scores


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    train, test, _ = split_cells(N_TRAIN, 100)
    model = make_pipeline(PatchFeatureExtractor(), SoftPatchDetector(random_state=0)).fit(train)
    images = Photographs(test[:N_PHOTOGRAPHS], arguments.images)
    scores = made_up_scores(arguments.images, model[1].grid_shape_) * -model[1].offset_
    names = [f"line{index % 4}/cell{index:05d}.png" for index in range(arguments.images)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.html")
        started = time.perf_counter()
        score_report(path, model, images, patch_scores=scores, names=names)
        seconds = time.perf_counter() - started
        print(f"{arguments.images} images: {path.stat().st_size / 1e6:.0f} MB in {seconds:.0f} s")
        found = shutil.which("chromium") or shutil.which("google-chrome")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            for _ in range(N_TIMES):
                page = browser.new_page(viewport={"width": 1300, "height": 900})
                started = time.perf_counter()
                page.goto(path.as_uri(), wait_until="load")
                seconds = time.perf_counter() - started
                print(f"opened in {seconds:.1f} s: {page.locator('h1').inner_text()}")
                page.close()
            browser.close()


if __name__ == "__main__":
    main()
