# SPDX-License-Identifier: BSD-3-Clause
"""The exact search on a GPU.

A GPU multiplies so fast that the bounds of the other modules would only cost time: all distances
are computed. They are float32, so they and the choice between nearly equal ones agree with the
CPU's within rounding error only.
"""

import numpy as np

from ..runtime.threads import progress
from .scaling import Scaling

__all__ = ["DevicePoints", "kneighbors_on"]

# Floats of one block of distances.
_BLOCK_SIZE = 2**26
# Rows measured in float64 beyond the wanted ones, since float32 may misplace the last of them.
_SPARE = 4


class DevicePoints:
    """Scaled points on a device, centred so that their products lose little."""

    def __init__(self, points, device):
        self._scaling = Scaling(points)
        self._device = device
        self.unit = float(self._scaling.unit)

    def put(self, points):
        """Return scaled points (n, d) and half of their squared norms (n,), on the device."""
        import torch

        scaled, halves = self._scaling.apply(np.ascontiguousarray(points, np.float32))
        return torch.from_numpy(scaled).to(self._device), torch.from_numpy(halves).to(self._device)


def kneighbors_on(
    device, bank, queries, n_neighbors, excluded=None, description=None, reaches=None
):
    """Find the nearest rows of the bank; see :meth:`skpatch.ExactNeighbors.kneighbors`."""
    import torch

    scale = DevicePoints(bank, device)
    rows, row_halves = scale.put(bank)
    n_wanted = min(n_neighbors + _SPARE, len(bank))
    n_found = min(n_neighbors, len(bank))
    distances = np.full((len(queries), n_neighbors), np.inf)
    indices = np.full((len(queries), n_neighbors), -1)
    if reaches is not None:
        # Half of the least squared distances, in the scale of the points.
        least = torch.from_numpy(
            np.float32(np.square(reaches, dtype=np.float64) / (2 * scale.unit))
        ).to(device)
    if excluded is not None:
        groups = [torch.from_numpy(np.asarray(part)).to(device) for part in excluded]
    step = max(1, _BLOCK_SIZE // max(len(bank), 2 * n_wanted * bank.shape[1]))
    with progress(len(queries), description) as bar:
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            block, halves = scale.put(queries[part])
            gaps = torch.addmm(row_halves, block, rows.T, alpha=-1)
            if reaches is not None:
                gaps = torch.maximum(gaps.add_(halves[:, None]), least)
            if excluded is not None:
                gaps.masked_fill_(groups[0][part, None] == groups[1], torch.inf)
            nearest, found = gaps.topk(n_wanted, largest=False)
            # By row first: of equal distances the lowest row comes first.
            found, order = found.sort(dim=1)
            nearest = nearest.gather(1, order)
            exact = (rows[found].double() - block[:, None].double()).square().sum(dim=2)
            if reaches is not None:
                exact = torch.maximum(exact, 2 * least[found].double())
            exact.masked_fill_(nearest.isinf(), torch.inf)
            exact, order = exact.sort(dim=1, stable=True)
            found = found.gather(1, order).masked_fill_(exact.isinf(), -1)
            distances[part, :n_found] = exact[:, :n_found].mul_(scale.unit).sqrt_().cpu()
            indices[part, :n_found] = found[:, :n_found].cpu()
            bar.update(len(block))
    return distances, indices
