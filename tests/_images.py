# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
from PIL import Image

from skpatch.images.collection import check_images

RNG = np.random.RandomState(0)
COLOUR = RNG.randint(0, 256, (6, 9, 3)).astype(np.uint8)
GREY = RNG.randint(0, 256, (6, 9)).astype(np.uint8)
GREY_COLOUR = np.stack([GREY] * 3, axis=2)


def save(path, array, mode=None, **options):
    image = Image.fromarray(np.ascontiguousarray(array))
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def load_all(X):
    images = check_images(X)
    loaded = [images.load(index) for index in range(len(images))]
    for index, array in enumerate(loaded):
        assert array.dtype == np.uint8
        assert array.ndim == 3
        assert images.size(index) == array.shape[:2]
    return loaded


def load_one(item):
    return load_all([item])[0]


class Lazy:
    """Sequence that records what was asked for."""

    def __init__(self, items):
        self.items = items
        self.accessed = []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.accessed.append(index)
        return self.items[index]
