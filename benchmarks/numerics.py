# SPDX-License-Identifier: BSD-3-Clause
"""Whether other versions of Python and the libraries give the same numbers.

    python benchmarks/numerics.py write numbers.npz    # in one environment
    python benchmarks/numerics.py compare numbers.npz  # in another

Seeded fits of the detector on drawn features, and of a pipeline on drawn images. For each array:
how many of its integers differ, such as the patches that were picked, or the largest difference
of its floats relative to its largest number. The largest of these comes last.
"""

import argparse
import importlib.metadata
import platform

import numpy as np

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import make_contaminated_images

LIBRARIES = ["numpy", "scipy", "scikit-learn", "torch", "torchvision", "numba", "pillow"]


def versions():
    """The installed versions as one line."""
    installed = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    return ", ".join([f"Python {platform.python_version()}", *installed])


def draw_features(n_images, seed):
    """Features (n, 14, 14, 64) whose variance is along few axes, defects in every tenth image."""
    rng = np.random.RandomState(seed)
    features = rng.normal(size=(n_images, 14, 14, 64)) / np.sqrt(np.arange(1, 65))
    features[::10, 3:5, 7] += rng.normal(size=64)
    return features.astype(np.float32)


def learned(detector, name, test):
    """What a fitted detector has learned, and what it says about test features, by name."""
    found = {
        "picks": detector.memory_source_,
        "kept": detector.kept_,
        "training scores": detector.training_scores_,
        "threshold": detector.offset_,
        "scores": detector.score_samples(test),
        "maps": detector.predict_map(test),
        "p-values": detector.predict_pvalue(test),
    }
    return {f"{name}: {key}": np.asarray(value) for key, value in found.items()}


def numbers():
    """All arrays by name."""
    found = {}
    train, test = draw_features(80, 0), draw_features(40, 1)
    for discriminator in ("support", "lof", "gaussian", "nearest", None):
        detector = SoftPatchDetector(
            discriminator=discriminator, projection_dim=24, random_state=0
        ).fit(train)
        found.update(learned(detector, discriminator, test))
    # Not the network's size, so that they are resized.
    images = make_contaminated_images(36, 4, image_size=(150, 180), random_state=0).images
    model = make_pipeline(PatchFeatureExtractor(image_size=96), SoftPatchDetector(random_state=0))
    features = model.fit(images)[:-1].transform(images)
    return {
        **found,
        "images": images,
        "network: features": features,
        **learned(model[-1], "network", features),
    }


def difference(found, expected):
    """Share of the integers that differ, or largest difference of floats, relative."""
    if found.shape != expected.shape:
        return np.inf
    if found.dtype.kind != "f":
        return np.mean(found != expected)
    return np.abs(found - expected).max() / np.abs(expected).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["write", "compare"])
    parser.add_argument("file")
    arguments = parser.parse_args()
    found = numbers()
    print(versions())
    if arguments.action == "write":
        np.savez_compressed(arguments.file, versions=versions(), **found)
        return
    expected = np.load(arguments.file)
    print("against", expected["versions"])
    differences = {name: difference(found[name], expected[name]) for name in found}
    for name, value in differences.items():
        print(f"{name:28} {value:.1e}")
    print(f"largest difference {max(differences.values()):.1e}")


if __name__ == "__main__":
    main()
