# SPDX-License-Identifier: BSD-3-Clause
"""
Inspect a region only
=====================

The border of a part, a clamp or a date stamp looks different in each photograph, and nobody cares.
A mask says where to look.

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# A mask
# ------
#
# White, or True, is inspected. It may also be a picture file, and has any size: it is stretched
# over the images. Here the upper half is of interest.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import load_elpv
from skpatch.plotting import AnomalyMapDisplay

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=8)
normal, defective = images[~is_defective], images[is_defective]

region = np.zeros((300, 300), bool)
region[:150] = True

# %%
# With and without
# ----------------
#
# What is outside is neither learned nor scored: its patches do not enter the memory bank, and maps
# are dark there. So the model is smaller and faster, too.

models = {}
for name, mask in [("whole image", None), ("upper half", region)]:
    extractor = PatchFeatureExtractor(image_size=160, region=mask)
    models[name] = make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(normal[:60])
    print(f"{name}: {len(models[name][-1].memory_bank_)} patches in the memory bank")

# %%
# Four defective cells. Those whose defect is in the lower half pass the second model.

new = defective[:30]
whole, upper = (model.inspect(new).scores for model in models.values())
gone = np.flatnonzero((whole > 1) & (upper <= 1))[:2]
stay = np.flatnonzero((whole > 1) & (upper > 1))[:2]
shown = new[np.r_[gone, stay]]
figure, rows = plt.subplots(3, len(shown), figsize=(2.2 * len(shown), 6.8), layout="constrained")
for ax, image in zip(rows[0], shown, strict=True):
    ax.imshow(plt.imread(image), cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
for row, (name, model) in zip(rows[1:], models.items(), strict=True):
    AnomalyMapDisplay.from_estimator(model, shown, axes=row, colorbar=False)
    row[0].set_ylabel(name)
