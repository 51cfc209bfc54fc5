# SPDX-License-Identifier: BSD-3-Clause
"""How often unchanged images are said to have changed, and how soon changed ones are.

    python benchmarks/drift.py
    python benchmarks/drift.py --runs 1000 --calibration 50 100 200 1000

First with uniform scores: alarms in 10,000 images, over many draws of the calibration set. Then
with solar cells that a model was not trained on, drawn again and again: the same for unchanged
ones, and images until the alarm after all of them have changed.
"""

import argparse
import warnings

import numpy as np
from PIL import Image, ImageFilter

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.bench.protocol import permute_classes
from skpatch.datasets import load_elpv
from skpatch.detector.calibration import conformal_pvalues
from skpatch.serving.drift import Drift

# Images of a run, unchanged images before a change, and changes of each kind.
N_RUN, N_BEFORE, N_CHANGES = 10_000, 300, 25
CHANGES = {
    "unchanged": lambda image: image,
    "brightness +10 %": lambda image: image.point(lambda value: min(255, round(1.1 * value))),
    "brightness +30 %": lambda image: image.point(lambda value: min(255, round(1.3 * value))),
    "blur of 1 pixel": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "blur of 3 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "turned by 2 degrees": lambda image: image.rotate(2, Image.Resampling.BILINEAR),
}


def alarms(n_normal, pvalues):
    """Numbers of the images with which an alarm begins."""
    drift = Drift(n_normal)
    return [index for index, pvalue in enumerate(pvalues) if drift.add("", pvalue)]


def simulate(n_normal, n_runs):
    """Alarms of each run of uniform scores."""
    counts = []
    for seed in range(n_runs):
        random = np.random.RandomState(seed)
        calibration = np.sort(random.random_sample(n_normal))
        scores = random.random_sample(N_RUN)
        counts.append(len(alarms(n_normal, conformal_pvalues(calibration, scores))))
    return np.array(counts)


def delays(n_normal, before, after):
    """Images until an alarm after a change, infinity for none in 1,000."""
    found = []
    for seed in range(N_CHANGES):
        random = np.random.RandomState(seed)
        stream = np.r_[random.choice(before, N_BEFORE), random.choice(after, 1000)]
        later = [index - N_BEFORE + 1 for index in alarms(n_normal, stream) if index >= N_BEFORE]
        found.append(later[0] if later else np.inf)
    return found


def cells(n_train, n_test, image_size, seed):
    """p-values of solar cells as they are, changed, of another kind, and of defective ones."""
    data, other = load_elpv(kind="mono"), load_elpv(kind="poly")
    normal, defective = permute_classes(data.is_defective, seed)
    model = make_pipeline(
        PatchFeatureExtractor(image_size=image_size), SoftPatchDetector(random_state=seed)
    ).fit([data.images[index] for index in normal[:n_train]])

    def pvalues(paths, change):
        return model.predict_pvalue([change(Image.open(path).convert("L")) for path in paths])

    test = [data.images[index] for index in normal[-n_test:]]
    found = {name: pvalues(test, change) for name, change in CHANGES.items()}
    others = [other.images[index] for index in permute_classes(other.is_defective, seed)[0]]
    found["another product"] = pvalues(others[:n_test], CHANGES["unchanged"])
    defects = pvalues([data.images[i] for i in defective[:n_test]], CHANGES["unchanged"])
    for share in (5, 20, 50):
        n_bad = n_test * share // 100
        found[f"{share} % defective"] = np.r_[found["unchanged"][n_bad:], defects[:n_bad]]
    return found, len(model[1].calibration_scores_)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibration", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument(
        "--test", type=int, default=150, help="normal images that are not trained on"
    )
    parser.add_argument("--image-size", type=int, default=224)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"Alarms in {N_RUN:,} unchanged images: mean, share of {arguments.runs} runs with any")
    for n_normal in arguments.calibration:
        counts = simulate(n_normal, arguments.runs)
        print(f"{n_normal:5} {counts.mean():.3f} {np.mean(counts > 0):.3f}", flush=True)
    print("Solar cells: alarms in as many unchanged ones; images until an alarm, median and most")
    for n_train in arguments.calibration:
        found, n_normal = cells(n_train, arguments.test, arguments.image_size, 0)
        for name, pvalues in found.items():
            if name == "unchanged":
                stream = np.random.RandomState(0).choice(pvalues, N_RUN)
                said = f"{len(alarms(n_normal, stream))} alarms"
            else:
                times = delays(n_normal, found["unchanged"], pvalues)
                said = f"{np.median(times):.0f} (most {np.max(times):.0f})"
            print(
                f"{n_train:5} {name:20} {said}; p-values {np.mean(pvalues):.2f} in the mean",
                flush=True,
            )


if __name__ == "__main__":
    main()
