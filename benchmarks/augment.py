# SPDX-License-Identifier: BSD-3-Clause
"""Turned copies of few training images: accuracy and false alarms with and without them.

    python benchmarks/augment.py --sets mono "mono unaligned"
    python benchmarks/augment.py --sets --data light_guide cookies

Folders are laid out as MVTec AD; "mono unaligned" are solar cells turned by any angle, and shifted.
Each draw is of other normal images to train on; 100 normal and 100 defective ones are tested, or
all that there are. Printed are means over the draws, and the image AUROC of each.
"""

import argparse

import numpy as np

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.bench.protocol import load_parts, load_solar_cells
from skpatch.images.collection import check_images
from skpatch.metrics import image_auroc

N_TESTED = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="*", default=["mono", "mono unaligned"])
    parser.add_argument("--data", nargs="*", default=[])
    parser.add_argument("--images", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--augments", nargs="+", default=["none", "rotation"])
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=224)
    arguments = parser.parse_args()
    print("set             images  augment   AUROC  of each draw              false alarms")
    for data in [*map(load_solar_cells, arguments.sets), *map(load_parts, arguments.data)]:
        measure(data, arguments)


def measure(data, arguments):
    random_state = np.random.RandomState(0)
    train, pool = data.split(0)
    train = random_state.permutation(train)[: arguments.draws * max(arguments.images)]
    is_defective = data.is_defective[pool]
    tested = [random_state.permutation(pool[is_defective == c])[:N_TESTED] for c in (False, True)]
    tested = np.concatenate(tested)
    truth, images = data.is_defective[tested], check_images(data.images)
    parameters = {"image_size": arguments.image_size, "n_scales": 1, "random_state": 0}
    test = (
        PatchFeatureExtractor(**parameters).fit(images.take(train)).transform(images.take(tested))
    )
    for augment in arguments.augments:
        parameters["augment"] = None if augment == "none" else augment
        features = PatchFeatureExtractor(**parameters).fit_transform(images.take(train))
        for n_images in arguments.images:
            aurocs, alarms = [], []
            for draw in range(min(arguments.draws, len(train) // n_images)):
                learned = features[draw * n_images : (draw + 1) * n_images]
                detector = SoftPatchDetector(random_state=draw).fit(learned)
                scores = detector.score_samples(test)
                aurocs.append(image_auroc(truth, -scores))
                alarms.append(np.mean(scores[~truth] < detector.offset_))
            each = " ".join(f"{auroc:.3f}" for auroc in aurocs)
            name = f"{data.name:15} {n_images:6}  {augment:9}"
            print(f"{name} {np.mean(aurocs):.3f}  {each:24}  {np.mean(alarms):.3f}", flush=True)


if __name__ == "__main__":
    main()
