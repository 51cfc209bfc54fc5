# SPDX-License-Identifier: BSD-3-Clause
"""Noise discriminators against loops of scikit-learn and numpy over the grid positions.

    python benchmarks/discriminators.py

Features of 220 photographs of solar cells, 784 positions, projected to 128 dimensions. The loops:

lof       sklearn.neighbors.LocalOutlierFactor(n_neighbors=6) at each position
nearest   scipy's cdist at each position, its diagonal left out
gaussian  numpy's cov and inv at each position, and scipy's mahalanobis formula as one einsum

Then the memory that each discriminator takes beyond features and scores, at 2,000 images of random
features (800 MB), as the growth of the process's peak. The ratios come last.
"""

import argparse
import multiprocessing
import resource

import numpy as np
from _common import in_turns, project, solar_cell_features
from scipy.spatial.distance import cdist
from sklearn.neighbors import LocalOutlierFactor

from skpatch import GaussianDiscriminator, LOFDiscriminator, NearestDiscriminator

OURS = {
    "lof": LOFDiscriminator(),
    "nearest": NearestDiscriminator(),
    "gaussian": GaussianDiscriminator(),
}


def positions(patches):
    """Views (n, d) of the patches at each grid position."""
    rows = patches.reshape(len(patches), -1, patches.shape[-1])
    return (rows[:, position] for position in range(rows.shape[1]))


def lof_loop(patches):
    return [
        -LocalOutlierFactor(n_neighbors=6).fit(points).negative_outlier_factor_
        for points in positions(patches)
    ]


def nearest_loop(patches):
    scores = []
    for points in positions(patches):
        distances = cdist(points, points)
        np.fill_diagonal(distances, np.inf)
        scores.append(distances.min(axis=1) + 1)
    return scores


def gaussian_loop(patches):
    scores = []
    for points in positions(patches):
        gaps = points - points.mean(axis=0, dtype=np.float64)
        inverse = np.linalg.inv(np.cov(points, rowvar=False) + 0.01 * np.eye(points.shape[1]))
        scores.append(np.sqrt(np.einsum("ij,jk,ik->i", gaps, inverse, gaps, optimize=True)) + 1)
    return scores


LOOPS = {"lof": lof_loop, "nearest": nearest_loop, "gaussian": gaussian_loop}


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def extra_memory(name):
    """MB by which the peak of a new process grows while a discriminator scores 2,000 images."""
    patches = np.random.default_rng(0).standard_normal((2000, 28, 28, 128), np.float32)
    OURS[name].fit(patches[:50])  # what is loaded and compiled once
    before = _peak()
    scores = OURS[name].fit(patches).outlier_scores_
    return _peak() - before - scores.nbytes / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    patches = project(solar_cell_features(220))
    ratios = {}
    for name, discriminator in OURS.items():
        discriminator.fit(patches[:10])  # compile
        seconds, results = in_turns(
            arguments.repeats,
            loop=lambda name=name: LOOPS[name](patches),
            skpatch=lambda discriminator=discriminator: discriminator.fit(patches),
        )
        scores = results["skpatch"].outlier_scores_.reshape(len(patches), -1)
        difference = np.abs(scores / np.transpose(results["loop"]) - 1).max()
        ratios[name] = seconds["loop"] / seconds["skpatch"]
        print(
            f"{name:<10}loop {seconds['loop']:.3f} s, skpatch {seconds['skpatch']:.3f} s, "
            f"largest relative difference {difference:.1e}"
        )
    for name in OURS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(
                f"{name:<10}extra memory at 2,000 images {pool.apply(extra_memory, [name]):.0f} MB"
            )
    for name, ratio in ratios.items():
        print(f"{name + ', times the loop':<26}{ratio:.1f}")


if __name__ == "__main__":
    main()
