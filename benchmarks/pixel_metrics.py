# SPDX-License-Identifier: BSD-3-Clause
"""Processor time and memory of the pixel metrics, as ratios to scikit-learn's ROC AUC.

    python benchmarks/pixel_metrics.py
    python benchmarks/pixel_metrics.py --images 100 --side 1024

The maps are float32 and smooth, with 2 % of defective pixels in blobs, as they are in benchmarks
of defects. scikit-learn is given the same pixels, already pooled. Memory is what is allocated at
most beside masks and maps.
"""

import argparse
import time
import tracemalloc

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.metrics import average_precision_score, roc_auc_score

from skpatch.metrics import aupro, pixel_auroc, pixel_average_precision, pixel_f1_max


def measure(function, *args):
    """Result of a call, its seconds of processor time, and the bytes that it takes at most."""
    start = time.process_time()
    result = function(*args)
    seconds = time.process_time() - start
    tracemalloc.start()
    function(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, seconds, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--side", type=int, default=1000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = (arguments.side, arguments.side)
    masks, maps = [], []
    for _ in range(arguments.images):
        noise = gaussian_filter(rng.standard_normal(shape, np.float32), 4)
        masks.append(noise > np.quantile(noise, 0.98))
        maps.append(masks[-1] / 20 + gaussian_filter(rng.standard_normal(shape, np.float32), 4))
        maps[-1] = maps[-1].astype(np.float32)
    n_pixels = sum(map_.size for map_ in maps)
    labels, scores = (np.concatenate([x.ravel() for x in xs]) for xs in (masks, maps))
    print(f"{n_pixels / 1e6:.1f} megapixels, {labels.mean():.1%} defective")
    rows = {
        "sklearn ROC AUC": (roc_auc_score, labels, scores),
        "sklearn average precision": (average_precision_score, labels, scores),
        "pixel_auroc": (pixel_auroc, masks, maps),
        "pixel_average_precision": (pixel_average_precision, masks, maps),
        "pixel_f1_max": (pixel_f1_max, masks, maps),
        "aupro": (aupro, masks, maps),
    }
    unit = None
    for name, (function, *args) in rows.items():
        result, seconds, peak = measure(function, *args)
        unit = unit or (seconds, peak)
        print(
            f"{name:25} {result:.6f}  {seconds / n_pixels * 1e9:5.0f} ns/pixel"
            f"  {peak / n_pixels:5.1f} bytes/pixel"
            f"  time x {seconds / unit[0]:.3f}  memory x {peak / unit[1]:.3f}"
        )


if __name__ == "__main__":
    main()
