# SPDX-License-Identifier: BSD-3-Clause
"""What a review of the most suspicious images is worth: before, after, and with a clean set.

    python benchmarks/review.py --cells mono poly --seeds 20 21

Of each set, 200 normal and 20 defective cells are learned from. The 30 most suspicious are looked
at, the truth being the reviewer: defects are forgotten, normal images trusted. Image AUROC and
shares of false alarms and of found defects are those of 150 other normal and 150 other defective
cells; "clean" is a fit to the 200 normal ones alone. Seconds are of one process, features not
included.
"""

import argparse

import numpy as np

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.bench.protocol import load_solar_cells, permute_classes, timed
from skpatch.metrics import image_auroc

N_TRAIN, N_TEST, N_REVIEWED = {False: 200, True: 20}, 150, 30


def measured(detector, features, is_defective):
    """Image AUROC, false alarms and found defects."""
    scores = detector.score_samples(features)
    outliers = scores < detector.offset_
    auroc = image_auroc(is_defective, -scores)
    return auroc, outliers[~is_defective].mean(), outliers[is_defective].mean()


def review(data, seed):
    """Rows of what was measured, by name, and what was seen in the review."""
    classes = permute_classes(data.is_defective, seed)
    train = np.concatenate([one[:n] for one, n in zip(classes, N_TRAIN.values(), strict=True)])
    test = np.concatenate(
        [one[n : n + N_TEST] for one, n in zip(classes, N_TRAIN.values(), strict=True)]
    )
    train = np.random.RandomState(seed).permutation(train)
    extractor = PatchFeatureExtractor()
    extract_seconds, features = timed(extractor.fit_transform, [data.images[i] for i in train])
    tested = extractor.transform([data.images[i] for i in test])
    is_noise, truth = data.is_defective[train], data.is_defective[test]
    fit_seconds, detector = timed(SoftPatchDetector(random_state=seed).fit, features)
    rows = {"before": measured(detector, tested, truth)}
    reviewed = np.argsort(detector.training_scores_)[:N_REVIEWED]
    defects, normal = reviewed[is_noise[reviewed]], reviewed[~is_noise[reviewed]]

    def decide():
        if len(defects):
            detector.forget(defects)
        if len(normal):
            detector.trust(normal)

    update_seconds, _ = timed(decide)
    rows["after"] = measured(detector, tested, truth)
    clean = SoftPatchDetector(random_state=seed).fit(features[~is_noise])
    rows["clean"] = measured(clean, tested, truth)
    return rows, len(defects), (extract_seconds, fit_seconds, update_seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", default=["mono", "poly"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21])
    arguments = parser.parse_args()
    for name in arguments.cells:
        data = load_solar_cells(name)
        for seed in arguments.seeds:
            rows, n_defects, seconds = review(data, seed)
            print(
                f"{name}, seed {seed}: {n_defects} of {N_TRAIN[True]} defects among {N_REVIEWED} "
                "reviewed; features {:.0f} s, fit {:.0f} s, update {:.0f} s".format(*seconds)
            )
            for row, values in rows.items():
                text = "image AUROC {:.3f}, false alarms {:.3f}, found {:.3f}".format(*values)
                print(f"  {row:<7} {text}", flush=True)


if __name__ == "__main__":
    main()
