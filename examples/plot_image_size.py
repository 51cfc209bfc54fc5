# SPDX-License-Identifier: BSD-3-Clause
"""
Which image size?
=================

The network sees images at one size, and a defect smaller than a patch there is hardly seen. A
larger size finds smaller defects, and takes time with its square.

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# The same cells at three sizes
# -----------------------------
#
# Eighty normal cells to train on; forty normal and forty defective ones to test. The photographs
# have 300 pixels. By default they pass the network at 320.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import load_elpv
from skpatch.metrics import image_auroc
from skpatch.plotting import AnomalyMapDisplay

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=6)
normal, defective = images[~is_defective], images[is_defective]
test, labels = np.r_[normal[80:120], defective[:40]], np.repeat([0, 1], 40)

models, aurocs, seconds = {}, {}, {}
for size in (96, 192, 320):
    model = make_pipeline(PatchFeatureExtractor(image_size=size), SoftPatchDetector(random_state=0))
    model.fit(normal[:80])
    started = time.perf_counter()
    aurocs[size] = image_auroc(labels, -model.score_samples(test))
    seconds[size] = (time.perf_counter() - started) / len(test)
    models[size] = model
    grid = " x ".join(map(str, model[-1].grid_shape_))
    print(
        f"{size:3d} pixels, {grid} patches: {1000 * seconds[size]:3.0f} ms an image, "
        f"image AUROC {aurocs[size]:.3f}"
    )

# %%
# What the sizes see
# ------------------
#
# Four cells whose defects get a larger score by the largest size than by the smallest.

smallest, *_, largest = (model.inspect(defective[:40]).scores for model in models.values())
shown = defective[np.argsort(smallest - largest)[:4]]
figure, rows = plt.subplots(4, 4, figsize=(8.6, 8.4), layout="constrained")
for ax, image in zip(rows[0], shown, strict=True):
    ax.imshow(plt.imread(image), cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
for row, (size, model) in zip(rows[1:], models.items(), strict=True):
    AnomalyMapDisplay.from_estimator(model, shown, axes=row, colorbar=False)
    row[0].set_ylabel(f"{size} pixels")
