# SPDX-License-Identifier: BSD-3-Clause
"""How the time of a fit, and of scoring an image, grows with the number of training images.

    python benchmarks/growth.py
    python benchmarks/growth.py --discriminator lof --coreset-size 10000

Features of photographs of solar cells, turned, mirrored and lit in other ways where there are more
images than cells, extracted beforehand. Seconds of processor time of SoftPatchDetector.fit, and
milliseconds of scoring one of 50 images, on one thread; the exponent of the power law that fits
the fits best comes last.
"""

import argparse
import time

import numpy as np
from _common import RepeatedCells

from skpatch import PatchFeatureExtractor, SoftPatchDetector


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--discriminator", default="support")
    parser.add_argument("--coreset-size", type=int)
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 500, 1000, 2000, 5000])
    arguments = parser.parse_args()
    extractor = PatchFeatureExtractor(n_jobs=1)
    features = extractor.fit_transform(RepeatedCells(max(arguments.sizes)))
    tested = extractor.transform(RepeatedCells(50, seed=1))
    detector = SoftPatchDetector(
        discriminator=arguments.discriminator,
        coreset_size=arguments.coreset_size or "auto",
        n_jobs=1,
        random_state=0,
    )
    detector.fit(features[:40]).score_samples(tested)  # compile
    fits = []
    for size in arguments.sizes:
        started = time.process_time()
        detector.fit(features[:size])
        fits.append(time.process_time() - started)
        started = time.process_time()
        detector.score_samples(tested)
        score = (time.process_time() - started) / len(tested)
        bank = len(detector.memory_bank_)
        print(f"{size:>5} images {fits[-1]:8.1f} s {1e3 * score:6.1f} ms, bank {bank}", flush=True)
    if len(fits) > 1:
        exponent = np.polyfit(np.log(arguments.sizes), np.log(fits), 1)[0]
        print(f"exponent {exponent:.2f}")


if __name__ == "__main__":
    main()
