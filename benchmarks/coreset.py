# SPDX-License-Identifier: BSD-3-Clause
"""Exact greedy coreset against the loop that updates all points for one centre at a time.

    python benchmarks/coreset.py

Features of 220 photographs of solar cells (172,480 patches), projected to 128 dimensions, 10 % of
them selected. The loop, in torch on all cores, is that of the reference implementations; a few
hundred of its picks are timed and its whole time projected. The ratio comes last.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from sklearn.random_projection import GaussianRandomProjection

from skpatch import PatchFeatureExtractor
from skpatch._coreset import greedy_coreset
from skpatch.datasets import load_elpv


def solar_cell_points(n_images, dimension):
    data = load_elpv(kind="mono")
    features = PatchFeatureExtractor().fit_transform(data.images[:n_images])
    rows = features.reshape(-1, features.shape[-1])
    projection = GaussianRandomProjection(dimension, random_state=0)
    return np.ascontiguousarray(projection.fit_transform(rows), np.float32)


@torch.inference_mode()
def loop_seconds_per_pick(points, n_picks, start):
    """Time a pick of the plain loop; return the picks too."""
    points = torch.from_numpy(points)
    squares = torch.einsum("ij,ij->i", points, points)

    def distances_to(pick):
        squared = squares + squares[pick] - 2 * points @ points[pick]
        return squared.clamp_(min=0).sqrt_()

    distances = distances_to(start)
    picks = [start]
    started = time.perf_counter()
    for _ in range(n_picks):
        pick = int(torch.argmax(distances))
        picks.append(pick)
        distances = torch.minimum(distances, distances_to(pick))
    return (time.perf_counter() - started) / n_picks, picks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=220)
    parser.add_argument("--picks", type=int, default=300, help="picks of the loop to time")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    points = solar_cell_points(arguments.images, 128)
    size = len(points) // 10
    greedy_coreset(points[:1000], 10, 0)  # compile
    loop, ours = [], []
    for _ in range(arguments.repeats):
        seconds, reference = loop_seconds_per_pick(points, arguments.picks, start=0)
        loop.append(seconds * size)
        started = time.perf_counter()
        picks, radius = greedy_coreset(points, size, 0)
        ours.append(time.perf_counter() - started)
    same = np.mean(picks[: arguments.picks] == reference[: arguments.picks])
    print(f"points               {points.shape[0]} x {points.shape[1]}, {size} picks")
    print(f"radius               {radius:.3f}")
    print(f"equal to the loop    {same:.1%} of its first {arguments.picks} picks")
    print(f"loop, seconds        {statistics.median(loop):.1f} (projected)")
    print(f"skpatch, seconds     {statistics.median(ours):.2f}")
    print(f"times faster         {statistics.median(loop) / statistics.median(ours):.0f}")


if __name__ == "__main__":
    main()
