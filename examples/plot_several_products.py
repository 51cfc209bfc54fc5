# SPDX-License-Identifier: BSD-3-Clause
"""
Several products on one line
============================

One model for all products, or one for each? And what happens when a product meets the model of
another?

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# Two kinds of solar cells
# ------------------------
#
# Monocrystalline cells are smooth, polycrystalline ones have grains. Fifty normal cells of each
# kind to train on, thirty normal and thirty defective ones to test.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import load_elpv
from skpatch.metrics import image_auroc

training, test = {}, {}
for kind in ("mono", "poly"):
    cells = load_elpv(kind=kind)
    images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=9)
    normal, defective = images[~is_defective], images[is_defective]
    training[kind] = normal[:50]
    test[kind] = np.r_[normal[50:80], defective[:30]]
labels = np.repeat([0, 1], 30)

# %%
# One for each, and one for both
# ------------------------------
#
# The third model learns from a folder with both kinds.

training["both"] = np.concatenate(list(training.values()))
models = {
    name: make_pipeline(
        PatchFeatureExtractor(image_size=128), SoftPatchDetector(random_state=0)
    ).fit(images)
    for name, images in training.items()
}

# %%
# Each model, each product
# ------------------------
#
# The share of normal cells that are called anomalous, and image AUROC. A model that meets another
# product calls all of it anomalous. The model of both holds fewer patches of each kind, and tells
# the smooth cells apart less well than their own model.

print(f"{'model':6} {'product':8} {'false alarms':>12} {'AUROC':>6}")
scores = {}
for name, model in models.items():
    for kind, images in test.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # images unlike everything learned, for instance
            scores[name, kind] = model.inspect(images).scores
        alarms = (scores[name, kind][labels == 0] > 1).mean()
        auroc = image_auroc(labels, scores[name, kind])
        print(f"{name:6} {kind:8} {alarms:12.0%} {auroc:6.3f}")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for ax, kind in zip(axes, test, strict=True):
    values = [scores[name, kind][labels == label] for name in models for label in (0, 1)]
    boxes = ax.boxplot(values, patch_artist=True, widths=0.7, medianprops={"color": "black"})
    for index, box in enumerate(boxes["boxes"]):
        box.set_facecolor(["tab:green", "tab:red"][index % 2])
    ax.axhline(1, color="black", linestyle="--")
    ax.set(title=f"{kind} cells", xlabel="model", xticks=[1.5, 3.5, 5.5], xticklabels=models)
axes[0].set_ylabel("score (1 = threshold)")
axes[0].legend(boxes["boxes"][:2], ["normal", "defective"])
