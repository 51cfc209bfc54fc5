# SPDX-License-Identifier: BSD-3-Clause
"""The greedy coreset on a GPU, which multiplies so fast that bounds would only cost time."""

import numpy as np

from ..distances.gpu import DevicePoints
from ..runtime.threads import progress

__all__ = ["greedy_coreset_on"]

# Picks between two updates of the progress bar.
_BAR_STEP = 256


def greedy_coreset_on(device, points, size, start, rows, enough):
    """Select points greedily; see :func:`skpatch.bank.coreset.greedy_coreset`.

    One pass over all points per pick, which never waits for the CPU.
    """
    import torch

    scale = DevicePoints(points, device)
    scaled, halves = scale.put(points[rows])
    distances = torch.full_like(halves, torch.inf)
    picks = torch.empty(size, dtype=torch.int64, device=device)
    radii = torch.empty(size, device=device)
    first = farthest = torch.from_numpy(np.searchsorted(rows, np.atleast_1d(start))).to(device)
    with progress(size, "choosing memory patches") as bar:
        for count in range(size):
            pick = first[count : count + 1] if count < len(first) else farthest
            picks[count : count + 1] = pick
            # Half of the squared distances: |a|^2 / 2 + |b|^2 / 2 - a.b
            gaps = halves + halves.index_select(0, pick)
            gaps -= torch.mv(scaled, scaled.index_select(0, pick)[0])
            torch.minimum(distances, gaps.clamp_(min=0), out=distances)
            distances.index_fill_(0, pick, 0)
            radii[count], farthest = distances.max(dim=0, keepdim=True)
            if count % _BAR_STEP == 0:
                bar.update(min(_BAR_STEP, size - count))
    radii = torch.sqrt(2 * scale.unit * radii.double())
    reached = torch.nonzero(radii[len(first) - 1 :] <= enough)
    count = len(first) + int(reached[0]) if len(reached) else size
    radius = float(radii[count - 1])
    return rows[picks[:count].cpu().numpy()], radius
