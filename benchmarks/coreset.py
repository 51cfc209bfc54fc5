# SPDX-License-Identifier: BSD-3-Clause
"""Exact greedy coreset against the loop that updates all points for one centre at a time.

    python benchmarks/coreset.py
    python benchmarks/coreset.py --anomalib      # needs: pip install "anomalib>=2.7"

Features of 220 photographs of solar cells (172,480 patches), projected to 128 dimensions, 10 % of
them selected. The loop, in torch on all cores, is that of the reference implementations; a few
hundred of its picks are timed and its whole time projected, and so are those of anomalib's
KCenterGreedy. Before that, the whole selection of 2,000 of 20,000 points is compared with a plain
numpy loop, and 20,000 isotropic Gaussian points, where no bound helps, are selected from with and
without bounds. The ratio comes last.
"""

import argparse

import numpy as np
import torch
from _common import in_turns, project, solar_cell_features

from skpatch.bank.coreset import greedy_coreset
from skpatch.bench.protocol import timed


@torch.inference_mode()
def torch_loop(points, n_picks, start):
    """Picks of the plain loop."""
    points = torch.from_numpy(points)
    squares = torch.einsum("ij,ij->i", points, points)

    def distances_to(pick):
        squared = squares + squares[pick] - 2 * points @ points[pick]
        return squared.clamp_(min=0).sqrt_()

    distances = distances_to(start)
    picks = [start]
    for _ in range(n_picks):
        picks.append(int(torch.argmax(distances)))
        distances = torch.minimum(distances, distances_to(picks[-1]))
    return picks


def numpy_loop(points, size, start):
    """Picks of the plain loop in float64."""
    points = points.astype(np.float64)
    distances = np.square(points - points[start]).sum(axis=1)
    picks = [start]
    for _ in range(size - 1):
        picks.append(int(distances.argmax()))
        np.minimum(distances, np.square(points - points[picks[-1]]).sum(axis=1), out=distances)
    return picks


def batched_without_bounds(points, size, start, n_candidates=2048):
    """Picks among the farthest points, then one product of all points with the new ones."""
    points = torch.from_numpy(points)
    distances = torch.cdist(points, points[start : start + 1])[:, 0]
    picks = [start]
    while len(picks) < size:
        farthest, rows = distances.topk(n_candidates + 1)
        bound, near, rows = farthest[-1], farthest[:-1].clone(), rows[:-1]
        between = torch.cdist(points[rows], points[rows])
        new = []
        while len(picks) + len(new) < size:
            best = int(near.argmax())
            if near[best] < bound:
                break
            new.append(int(rows[best]))
            torch.minimum(near, between[best], out=near)
        picks += new
        for block in torch.tensor(new).split(1024):
            torch.minimum(distances, torch.cdist(points, points[block]).amin(dim=1), out=distances)
    return picks


def anomalib_seconds(points, n_picks):
    """Seconds of a pick of anomalib's KCenterGreedy."""
    from anomalib.models.components.sampling import KCenterGreedy

    def select(count):
        sampler = KCenterGreedy(torch.from_numpy(points), (count + 0.5) / len(points))
        return timed(sampler.select_coreset_idxs)[0]

    few, many = select(10), select(n_picks + 10)
    return (many - few) / n_picks


def check_small(points):
    """Print what the small sets say."""
    part = points[:: len(points) // 20_000][:20_000]
    picks, _ = greedy_coreset(part, 2000, 0)
    print(
        f"equal to a numpy loop on 20,000 points  {np.mean(picks == numpy_loop(part, 2000, 0)):.1%}"
    )
    gaussian = np.random.default_rng(0).standard_normal((20_000, 128), np.float32)
    seconds, _ = in_turns(
        3,
        without=lambda: batched_without_bounds(gaussian, 2000, 0),
        skpatch=lambda: greedy_coreset(gaussian, 2000, 0),
    )
    ratio = seconds["without"] / seconds["skpatch"]
    print(f"isotropic Gaussian points, times faster than without bounds  {ratio:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=220)
    parser.add_argument("--picks", type=int, default=300, help="picks of the loop to time")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--anomalib", action="store_true", help="compare with anomalib's too")
    arguments = parser.parse_args()

    points = project(solar_cell_features(arguments.images)).reshape(-1, 128)
    size = len(points) // 10
    greedy_coreset(points[:1000], 10, 0)  # compile
    check_small(points)
    seconds, results = in_turns(
        arguments.repeats,
        loop=lambda: torch_loop(points, arguments.picks, start=0),
        skpatch=lambda: greedy_coreset(points, size, 0),
    )
    picks, radius = results["skpatch"]
    same = np.mean(picks[: arguments.picks] == results["loop"][: arguments.picks])
    whole = seconds["loop"] / arguments.picks * size
    print(f"points               {points.shape[0]} x {points.shape[1]}, {size} picks")
    print(f"radius               {radius:.3f}")
    print(f"equal to the loop    {same:.1%} of its first {arguments.picks} picks")
    print(f"loop, seconds        {whole:.1f} (projected)")
    print(f"skpatch, seconds     {seconds['skpatch']:.2f}")
    if arguments.anomalib:
        whole = anomalib_seconds(points, arguments.picks) * size
        print(f"anomalib, seconds    {whole:.1f} (projected)")
    print(f"times faster         {whole / seconds['skpatch']:.0f}")


if __name__ == "__main__":
    main()
