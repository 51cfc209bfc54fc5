# SPDX-License-Identifier: BSD-3-Clause
"""
What contamination costs
========================

The protocol of the SoftPatch paper: hide more and more defective images among the training images,
and measure how well defects are still found.

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# Features once, for all noise levels
# -----------------------------------
#
# :func:`~skpatch.datasets.inject_noise` takes any sequences, so we pass row numbers of one array of
# features in place of images. The extractor only learns the size of its input in ``fit``; it does
# not learn from the photographs, so nothing leaks.

import numpy as np
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.datasets import inject_noise, load_elpv
from skpatch.metrics import image_auroc
from skpatch.plotting import RobustnessDisplay

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=3)
normal, defective = images[~is_defective][:120], images[is_defective][:40]

extractor = PatchFeatureExtractor(image_size=128)
features = extractor.fit_transform(np.concatenate([normal, defective]))
training, tested, defects = np.split(np.arange(len(features)), [80, 120])

# %%
# The measurement
# ---------------
#
# ``overlap=True``: the hidden images are among the tested ones. Two seeds hide different images.

methods = {
    "PatchCore": {"discriminator": None},
    "SoftPatch, lof": {"discriminator": "lof"},
    "skpatch": {},
}
noise, scores, names = [], [], []
for ratio in (0, 0.1, 0.3):
    for seed in (0, 1):
        noisy = inject_noise(training, defects, noise_ratio=ratio, overlap=True, random_state=seed)
        test = np.r_[tested, noisy.test_defects]
        labels = np.isin(test, defects)
        for name, parameters in methods.items():
            detector = SoftPatchDetector(**parameters, random_state=seed)
            detector.fit(features[noisy.train_images])
            noise.append(ratio)
            scores.append(image_auroc(labels, -detector.score_samples(features[test])))
            names.append(name)

# %%
# The curve
# ---------
#
# Lines go through the means, bands from the lower to the higher seed. The sets are small; the page
# :doc:`/robustness` has the same measurement with larger ones, on five sets, and without overlap.

RobustnessDisplay.from_predictions(noise, scores, names)
