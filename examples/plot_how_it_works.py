# SPDX-License-Identifier: BSD-3-Clause
"""
The method in pictures
======================

What is a patch, what does the memory bank hold, what is kept out of it, and where does the score of
a new image come from?

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# Patches
# -------
#
# A network that was trained to name things in photographs turns each image into a grid of features
# (:doc:`/guide/features`). One place of the grid is a patch: a vector that says what the image
# looks like there. The network stays as it is. We train on 60 solar cells, six of them defective,
# and nobody tells the model which.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import inject_noise, load_elpv
from skpatch.plotting import AnomalyMapDisplay

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=7)
normal, defective = images[~is_defective], images[is_defective]
training = inject_noise(normal[:54], defective[:6], noise_ratio=6 / 54, random_state=0)
model = make_pipeline(PatchFeatureExtractor(image_size=192), SoftPatchDetector(random_state=0))
detector = model.fit(training.train_images)[-1]

rows, columns = detector.grid_shape_
print(f"{rows} x {columns} patches of {detector.n_features_in_} features in each photograph")

# %%
# The memory bank
# ---------------
#
# All patches are too many, and most are alike. A greedy coreset keeps a tenth: always the patch
# that is farthest from those already kept. They are blue: few come from what all images show, and
# many from what only some show.
#
# That is what goes wrong with a folder that nobody has cleaned. A defect is rare, so PatchCore
# keeps it, and from then on it looks normal. skpatch first asks whether anything speaks for noise:
# patches that are unusual at their place, and have made each other look normal
# (:doc:`/guide/noise`). These stay out of the memory, and are red. The upper photographs are
# defective. The lower ones are not, yet one of them loses a part: it is rare, too.

shown = np.r_[np.flatnonzero(training.is_noise)[:3], np.flatnonzero(~training.is_noise)[:3]]
remembered = np.zeros(detector.kept_.shape, bool)
remembered[tuple(detector.memory_source_.T)] = True


def draw_patches(ax, patches, colour):
    """Lay a grid of patches (h, w) over the photograph of an axes."""
    size = ax.get_images()[0].get_size()
    veil = np.zeros((*patches.shape, 4))
    veil[patches] = plt.matplotlib.colors.to_rgba(colour, 0.6)
    ax.imshow(veil, extent=(-0.5, size[1] - 0.5, size[0] - 0.5, -0.5))


figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
for ax, image in zip(axes.flat, shown, strict=True):
    ax.imshow(plt.imread(training.train_images[image]), cmap="gray")
    draw_patches(ax, remembered[image], "tab:blue")
    draw_patches(ax, ~detector.kept_[image], "tab:red")
    ax.set(xticks=[], yticks=[], title="defective" if training.is_noise[image] else "normal")

# %%
# The nearest neighbour of a patch
# --------------------------------
#
# A new photograph is compared patch by patch with the memory. The worst patch of a defective cell
# is on the left; beside it is the patch of the training photographs that is most like it, and it is
# not like it. Below is an ordinary patch, which scores more than a quarter of the cell: its
# neighbour looks the same.

new = np.r_[normal[60:61], defective[10:20]]
inspection = model.inspect(new)
worst = inspection.ranking[0]
patch_scores = detector.predict_map(model[:-1].transform(new[[worst]]))[0]
matches = inspection.matches(worst)
order = np.argsort(patch_scores, axis=None)


def draw_place(ax, path, place, title):
    """Show a photograph with a frame around one patch and its surroundings."""
    photograph = plt.imread(path)
    ax.imshow(photograph, cmap="gray")
    height, width = np.divide(photograph.shape[:2], (rows, columns))
    corner = (place[1] - 1) * width, (place[0] - 1) * height
    frame = {"fill": False, "edgecolor": "tab:orange", "linewidth": 2}
    ax.add_patch(plt.Rectangle(corner, 3 * width, 3 * height, **frame))
    ax.set(xticks=[], yticks=[], title=title)


figure, axes = plt.subplots(2, 2, figsize=(6.4, 6.6), layout="constrained")
for pair, position, name in [(axes[0], -1, "worst"), (axes[1], len(order) // 4, "ordinary")]:
    place = np.unravel_index(order[position], patch_scores.shape)
    distance = patch_scores[place] / -detector.offset_
    image, *nearest = matches[place]
    draw_place(pair[0], new[worst], place, f"{name} patch, score {distance:.2f}")
    draw_place(pair[1], training.train_images[image], nearest, "most like it in the memory")

# %%
# From patches to a heat map
# --------------------------
#
# The distances, at the size of the image, are its heat map; the mean of the worst is its score. The
# training images are scored without their own patches, and the threshold is learned from these
# scores, without a labelled defect (:doc:`/guide/scores`). In its unit, an image is an outlier
# above 1. A normal cell, and the three most suspicious ones:

AnomalyMapDisplay.from_inspection(inspection, np.r_[0, inspection.ranking[:3]])
