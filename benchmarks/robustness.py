# SPDX-License-Identifier: BSD-3-Clause
"""Image AUROC against the share of defects in the training set, on photographs of solar cells.

    python benchmarks/robustness.py

Trains on 200 normal cells and the injected defective ones, tests on 150 normal and 150 defective
cells. With overlap the injected cells are among the tested ones, as when the very folder is
inspected that the model was trained on; without, they are not.
"""

import argparse

import numpy as np
from sklearn.metrics import roc_auc_score

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.datasets import inject_noise, load_elpv

METHODS = {
    "PatchCore": {"discriminator": None},
    "SoftPatch": {"discriminator": "lof"},
    "SoftPatch, no weights": {"discriminator": "lof", "soft_weights": False},
}
N_TRAIN, N_TEST = 200, 150


def evaluate(features, is_defective, noise_ratio, overlap, seed):
    """Image AUROC of each method."""
    random_state = np.random.RandomState(seed)
    normal = random_state.permutation(np.flatnonzero(~is_defective))
    defective = random_state.permutation(np.flatnonzero(is_defective))
    noisy = inject_noise(
        list(normal[:N_TRAIN]),
        list(defective),
        noise_ratio=noise_ratio,
        overlap=overlap,
        random_state=seed,
    )
    # The injected cells first, so that with overlap they are among the tested ones.
    injected = [image for image in noisy.test_defects if image in set(noisy.train_images)]
    others = [image for image in noisy.test_defects if image not in set(injected)]
    test = np.r_[normal[N_TRAIN : N_TRAIN + N_TEST], (injected + others)[:N_TEST]]
    train = features[np.array(noisy.train_images)]
    return {
        name: roc_auc_score(
            is_defective[test],
            -SoftPatchDetector(**parameters, random_state=seed)
            .fit(train)
            .score_samples(features[test]),
        )
        for name, parameters in METHODS.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["mono", "poly"])
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0, 0.1, 0.4])
    parser.add_argument("--seeds", nargs="+", type=int, default=[10, 11, 12])
    arguments = parser.parse_args()
    print("| cells | noise | overlap | " + " | ".join(METHODS) + " |")
    print("|---" * (3 + len(METHODS)) + "|")
    for kind in arguments.kinds:
        data = load_elpv(kind=kind)
        features = PatchFeatureExtractor().fit_transform(data.images)
        for noise_ratio in arguments.noise:
            for overlap in (False, True) if noise_ratio else (False,):
                runs = [
                    evaluate(features, data.is_defective, noise_ratio, overlap, seed)
                    for seed in arguments.seeds
                ]
                means = [f"{np.mean([run[name] for run in runs]):.3f}" for name in METHODS]
                row = [kind, f"{noise_ratio:.0%}", "yes" if overlap else "no", *means]
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
