# SPDX-License-Identifier: BSD-3-Clause
"""
Write your own noise discriminator
==================================

If you know what noise looks like in your photographs, say so in a few lines: a subclass of
:class:`~skpatch.NoiseDiscriminator` with one method.

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# The class
# ---------
#
# ``score_patches`` gets the features of all training images and returns a score for each patch,
# high for noise and about 1 for a typical one. This one measures how far a patch lies from the
# median patch of its place, relative to the other images there. Input is checked, and results are
# stored, by the base class.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils import shuffle

from skpatch import NoiseDiscriminator, PatchFeatureExtractor, SoftPatchDetector
from skpatch.datasets import inject_noise, load_elpv
from skpatch.metrics import image_average_precision


class MedianDiscriminator(NoiseDiscriminator):
    """Distance to the median patch of the position, in units of that distance's median."""

    def __init__(self, *, power=1.0):
        self.power = power

    def score_patches(self, patches):
        """Score patches (n, h, w, d)."""
        gaps = np.linalg.norm(patches - np.median(patches, axis=0), axis=-1)
        return (gaps / np.median(gaps, axis=0)) ** self.power


# %%
# Use it
# ------
#
# It goes where a name such as ``"lof"`` would go. Its parameters are reached from outside, as
# ``discriminator__power``, so a search can vary them.

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=4)
normal, defective = images[~is_defective], images[is_defective]
noisy = inject_noise(normal[:90], defective[:9], noise_ratio=0.1, random_state=0)
features = PatchFeatureExtractor(image_size=160).fit_transform(noisy.train_images)

detectors = {
    "median (own)": SoftPatchDetector(discriminator=MedianDiscriminator(), random_state=0),
    "lof": SoftPatchDetector(discriminator="lof", random_state=0),
}
print("average precision of finding the hidden defective images")
for name, detector in detectors.items():
    detector.fit(features)
    found = image_average_precision(noisy.is_noise, -detector.training_scores_)
    print(f"{name:14} {found:.3f}")

# %%
# What it kept out of the memory
# ------------------------------
#
# Patches that were dropped, in red, on hidden defective images and on normal ones. Some normal but
# rare patches always go with the noise.

shown = np.r_[np.flatnonzero(noisy.is_noise)[:4], np.flatnonzero(~noisy.is_noise)[:2]]
figure, rows = plt.subplots(2, 6, figsize=(10, 3.6), layout="constrained")
for row, (name, detector) in zip(rows, detectors.items(), strict=True):
    for ax, index in zip(row, shown, strict=True):
        photograph = plt.imread(noisy.train_images[index])
        height, width = photograph.shape
        dropped = np.where(detector.kept_[index], np.nan, 1.0)
        ax.imshow(photograph, cmap="gray")
        ax.imshow(dropped, cmap="autumn", alpha=0.5, extent=(0, width, height, 0))
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name)
for ax, index in zip(rows[0], shown, strict=True):
    ax.set_title("defective" if noisy.is_noise[index] else "normal", fontsize=10)
