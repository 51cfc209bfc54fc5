# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
from scipy.ndimage import gaussian_filter


def photographs(*sizes, seed=0):
    """Smooth random colour images."""
    rng = np.random.RandomState(seed)
    images = []
    for size in sizes:
        smooth = gaussian_filter(rng.normal(size=(*size, 3)), (2, 2, 0))
        smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
        images.append(np.rint(255 * smooth).astype(np.uint8))
    return images


IMAGES = photographs(*[(70, 80)] * 7)


def parts(n, seed):
    """Photographs of the same part at the same place: one of smooth noise, and a little more."""
    one = photographs((70, 80), seed=99)[0].astype(float)
    rng = np.random.RandomState(seed)
    noise = rng.normal(size=(n, 14, 16, 3)).repeat(5, axis=1).repeat(5, axis=2)
    return list(np.clip(one + 6 * noise, 0, 255).astype(np.uint8))
