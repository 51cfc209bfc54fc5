# SPDX-License-Identifier: BSD-3-Clause
"""
Compare noise discriminators
============================

PatchCore remembers every kind of patch it has seen, the defects among its training images too.
What do the ways to keep noise out of the memory change?

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# Features once
# -------------
#
# The methods differ only in the detector, so the network runs once. The defective cells that are
# hidden in the training set are inspected as well: ``overlap=True``. This is the hard case, and the
# usual one when a folder is searched for its own defects.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import inject_noise, load_elpv
from skpatch.metrics import image_auroc, image_average_precision
from skpatch.plotting import AnomalyMapDisplay

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=2)
normal, defective = images[~is_defective], images[is_defective]

noisy = inject_noise(normal[:100], defective[:40], noise_ratio=0.1, overlap=True, random_state=0)
test = np.concatenate([normal[100:140], noisy.test_defects])
test_labels = np.repeat([0, 1], [40, len(noisy.test_defects)])

extractor = PatchFeatureExtractor(image_size=160)
features = extractor.fit_transform(noisy.train_images)
test_features = extractor.transform(test)

# %%
# Two questions to each
# ---------------------
#
# How well are defective cells told from normal ones (image AUROC)? And how well does the ranking of
# the training images find the hidden ones (average precision)?

detectors = {}
print(f"{'discriminator':14} {'AUROC':>6} {'finds the hidden':>17}")
for name in (None, "nearest", "gaussian", "lof", "support"):
    detector = SoftPatchDetector(discriminator=name, random_state=0).fit(features)
    auroc = image_auroc(test_labels, -detector.score_samples(test_features))
    found = image_average_precision(noisy.is_noise, -detector.training_scores_)
    print(f"{name or 'None':14} {auroc:6.3f} {found:17.3f}")
    detectors[name] = detector

# %%
# Where the difference comes from
# -------------------------------
#
# The hidden cells that the last model finds most suspicious, looked at by three of the models.
# PatchCore has patches of their defects in its memory, so these cells look as normal as any.

ranking = np.argsort(detectors["support"].training_scores_)
hidden = [noisy.train_images[i] for i in ranking if noisy.is_noise[i]][:4]
figure, rows = plt.subplots(4, 4, figsize=(8.4, 8.2), layout="constrained")
for ax, image in zip(rows[0], hidden, strict=True):
    ax.imshow(plt.imread(image), cmap="gray")
    ax.set(xticks=[], yticks=[])
rows[0, 0].set_ylabel("photograph")
for row, (label, name) in zip(
    rows[1:], [("PatchCore", None), ("SoftPatch, lof", "lof"), ("support", "support")], strict=True
):
    model = make_pipeline(extractor, detectors[name])
    display = AnomalyMapDisplay.from_estimator(model, hidden, axes=row, colorbar=False)
    row[0].set_ylabel(label)
bar = figure.colorbar(display.heatmaps_[0], ax=rows[1:], extend="max", shrink=0.6)
bar.set_label("anomaly score (1 = threshold)")
