# SPDX-License-Identifier: BSD-3-Clause
"""How the time of a fit grows with the number of images.

    python benchmarks/growth.py

Features of 100 to 1,600 photographs of solar cells, extracted beforehand; the bank has 10,000
patches whatever their number. Seconds of SoftPatchDetector.fit, and the exponent of the power law
that fits them best, which comes last.
"""

import argparse

import numpy as np
from _common import in_turns, solar_cell_features

from skpatch import SoftPatchDetector

SIZES = [100, 200, 400, 800, 1600]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--discriminator", default="lof")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    mono = solar_cell_features(1074)
    features = np.concatenate([mono, solar_cell_features(SIZES[-1] - len(mono), kind="poly")])
    features = features[np.random.RandomState(0).permutation(len(features))]
    detector = SoftPatchDetector(
        discriminator=arguments.discriminator, coreset_size=10_000, random_state=0
    )
    detector.fit(features[:20])  # compile
    fits = {str(n): lambda n=n: detector.fit(features[:n]) for n in SIZES}
    seconds, _ = in_turns(arguments.repeats, **fits)
    for n, value in seconds.items():
        print(f"{n:>5} images {value:8.2f} s")
    exponent = np.polyfit(np.log(SIZES), np.log(list(seconds.values())), 1)[0]
    print(f"exponent {exponent:.2f}")


if __name__ == "__main__":
    main()
