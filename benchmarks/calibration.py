# SPDX-License-Identifier: BSD-3-Clause
"""Whether p-values are true: how many new normal images have a low one, clean and with noise.

    python benchmarks/calibration.py --data DATA
    python benchmarks/calibration.py --images 10 20 40 80 --noise 0

DATA is a folder of folders laid out as MVTec AD; solar cells come with the package extra 'demo'.
For each set, number of training images, share of defective ones and seed, other normal images are
scored; a set that has less than 50 of these is left out. `auto` is the share of false alarms of the
default.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

from skpatch import SoftPatchDetector
from skpatch.bench.protocol import load_parts, load_solar_cells, permute_classes
from skpatch.detector.calibration import conformal_pvalues

LEVELS = (0.05, 0.1, 0.2)
LEAST_TEST, N_TEST = 50, 200


def measure(data, features, n_images, noise, seed):
    """Shares of low p-values, false alarms, and evidence of noise."""
    normal, defective = permute_classes(data.is_defective, seed)
    train = np.append(normal[:n_images], defective[: round(noise * n_images)])
    detector = SoftPatchDetector(random_state=seed).fit(features[np.sort(train)])
    scores = detector.score_samples(features[normal[n_images : n_images + N_TEST]])
    pvalues = conformal_pvalues(detector.calibration_scores_, scores)
    shares = [np.mean(pvalues <= level) for level in LEVELS]
    return [*shares, np.mean(scores < detector.offset_)], detector.noise_finding_.evidence


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of folders laid out as MVTec AD")
    parser.add_argument("--cells", nargs="*", default=["mono", "poly"])
    parser.add_argument("--images", type=int, nargs="+", default=[120])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.1, 0.2, 0.3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--cache", default="noise-models-cache", help="folder for features")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    cache = Path(arguments.cache)
    cache.mkdir(exist_ok=True)
    folders = sorted(Path(arguments.data).iterdir()) if arguments.data else []
    sets = [load_solar_cells(name) for name in arguments.cells]
    sets += [load_parts(folder) for folder in folders if folder.is_dir()]
    levels = "  ".join(f"<= {level}" for level in LEVELS)
    print(f"set, images, noise: {levels}; auto; evidence")
    for data in sets:
        features = data.features(cache)
        for n_images in arguments.images:
            if np.sum(~data.is_defective) < n_images + LEAST_TEST:
                continue
            for noise in arguments.noise:
                found = [measure(data, features, n_images, noise, s) for s in arguments.seeds]
                values = "  ".join(f"{v:.3f}" for v in np.mean([row for row, _ in found], axis=0))
                evidence = " ".join(word for _, word in found)
                print(f"{data.name:<14} {n_images:4} {noise:.1f}: {values}  {evidence}", flush=True)


if __name__ == "__main__":
    main()
