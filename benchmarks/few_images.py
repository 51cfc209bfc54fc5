# SPDX-License-Identifier: BSD-3-Clause
"""False alarms after training on few images: how many new normal ones are called anomalous.

    python benchmarks/few_images.py
    python benchmarks/few_images.py --discriminator none

For each number of training images, that many photographs of normal solar cells are drawn, and 100
other normal ones are scored. Nominal are 5 %.
"""

import argparse

import numpy as np
from _common import solar_cell_features

from skpatch import SoftPatchDetector
from skpatch.bench.protocol import permute_classes
from skpatch.datasets import load_elpv

N_TEST = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--discriminator", default="support")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--images", type=int, nargs="+", default=[2, 5, 10, 15, 20, 40, 80])
    arguments = parser.parse_args()
    discriminator = None if arguments.discriminator == "none" else arguments.discriminator
    normal, _ = permute_classes(load_elpv(kind="mono").is_defective, 0)
    features = solar_cell_features(None)[normal]
    print("images  false alarms: mean, worst draw")
    for n_images in arguments.images:
        rates = []
        for seed in range(arguments.draws):
            rows = np.random.RandomState(seed).permutation(len(normal))
            train, test = features[rows[:n_images]], features[rows[n_images : n_images + N_TEST]]
            detector = SoftPatchDetector(discriminator=discriminator, random_state=seed).fit(train)
            rates.append(np.mean(detector.predict(test) == -1))
        print(f"{n_images:6}  {np.mean(rates):.2f}  {np.max(rates):.2f}", flush=True)


if __name__ == "__main__":
    main()
