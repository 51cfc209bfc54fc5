# SPDX-License-Identifier: BSD-3-Clause
"""
A first pipeline
================

A folder of photographs, nobody has sorted out the bad ones, and the question is where the defects
are. Three lines of skpatch answer it.

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# The photographs
# ---------------
#
# They show single solar cells, glowing because a current flows through them; what is broken stays
# dark. We train on 100 of them and hide 8 defective ones among these. The model is not told.

import numpy as np
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import inject_noise, load_elpv
from skpatch.plotting import AnomalyMapDisplay

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=0)
normal, defective = images[~is_defective], images[is_defective]

training = inject_noise(normal[:92], defective[:8], noise_ratio=8 / 92, random_state=0)
print(len(training.train_images), "images,", training.is_noise.sum(), "of them defective")

# %%
# Fit
# ---
#
# The extractor turns each photograph into a grid of patch features, with a small network that is
# installed with skpatch. The detector remembers what normal patches look like.

model = make_pipeline(PatchFeatureExtractor(), SoftPatchDetector(random_state=0))
model.fit(training.train_images)

# %%
# Inspect new cells
# -----------------
#
# Forty of them, half of them defective. Scores are high for normal images, as everywhere in
# scikit-learn; divided by the threshold ``offset_`` they are 1 there, and higher for defects.

new, labels = np.concatenate([normal[100:120], defective[10:30]]), np.repeat([0, 1], 20)
suspicion = model.score_samples(new) / model[-1].offset_
outliers = suspicion > 1  # the same as model.predict(new) == -1
print(f"{outliers[labels == 1].mean():.0%} of the defective cells are outliers")
print(f"{outliers[labels == 0].mean():.0%} of the normal cells are outliers")

# %%
# How unusual is a cell among normal ones? That is its p-value: small for defects.

pvalues = model.predict_pvalue(new)
print("median p-value of normal cells:   ", round(np.median(pvalues[labels == 0]), 2))
print("median p-value of defective cells:", round(np.median(pvalues[labels == 1]), 2))

# %%
# Where the defects are
# ---------------------
#
# Two normal cells, then the four most suspicious of all. Every map is in units of the threshold,
# and all share one colour scale: normal cells do not glow. The score above a map is that of the
# worst patches; maps are smoothed, so they stay a little below it.

shown = np.r_[0, 1, np.argsort(-suspicion)[:4]]
AnomalyMapDisplay.from_estimator(model, new[shown], labels=labels[shown])
