# SPDX-License-Identifier: BSD-3-Clause
"""
Thresholds you can choose
=========================

How many good parts may be rejected by mistake? skpatch takes this number directly, learns the
threshold without a single labelled defect, and lets you change it after training. This example
measures whether the promise holds.

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# Train on a contaminated set, inspect new cells
# ----------------------------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import inject_noise, load_elpv

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=5)
normal, defective = images[~is_defective], images[is_defective]
training = inject_noise(normal[:110], defective[:6], noise_ratio=6 / 110, random_state=0)
new_normal, new_defective = normal[110:260], defective[10:60]

model = make_pipeline(PatchFeatureExtractor(image_size=128), SoftPatchDetector(random_state=0))
model = model.fit(training.train_images)

# %%
# p-values
# --------
#
# The p-value of an image is the share of normal training images that look at least as unusual, each
# of them scored without itself. If new normal cells are like them, their p-values are spread
# evenly; the left plot below shows how far that holds. A pile at its right end means that new cells
# look more normal than training cells do without themselves: fewer false alarms than promised.
# Defective cells gather at the left end.

normal_p = model.predict_pvalue(new_normal)
defective_p = model.predict_pvalue(new_defective)

# %%
# The threshold, changed after training
# -------------------------------------
#
# ``contamination`` is the accepted share of false alarms. Setting it moves ``offset_`` at once;
# nothing is trained again.

detector = model[-1]
scores_normal = model.score_samples(new_normal)
scores_defective = model.score_samples(new_defective)
accepted = np.array([0.01, 0.02, 0.05, 0.1, 0.15, 0.2])
alarms, found = [], []
print("accepted   false alarms   defects found")
for share in accepted:
    detector.set_params(contamination=share)
    alarms.append(np.mean(scores_normal < detector.offset_))
    found.append(np.mean(scores_defective < detector.offset_))
    print(f"{share:8.0%} {alarms[-1]:14.1%} {found[-1]:15.1%}")

# %%
# Measured against promised
# -------------------------
#
# The grey band holds 90 % of the shares to expect from counting as few new cells as these.

low, high = np.quantile(
    np.random.RandomState(0).binomial(len(new_normal), accepted, (10_000, len(accepted))),
    [0.05, 0.95],
    axis=0,
) / len(new_normal)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.6), layout="constrained")
left.hist(
    [normal_p, defective_p],
    bins=np.linspace(0, 1, 11),
    weights=[np.full(len(p), 1 / len(p)) for p in (normal_p, defective_p)],
    color=["#56B4E9", "#D55E00"],
    label=["new normal cells", "new defective cells"],
)
left.set(xlabel="p-value", ylabel="share of the cells")
right.fill_between(accepted, low, high, color="0.9")
right.plot(accepted, accepted, color="0.5", linestyle="--", label="promised")
right.plot(accepted, alarms, "o-", color="#56B4E9", label="false alarms")
right.plot(accepted, found, "D-", color="#D55E00", label="defects found")
right.set(xlabel="contamination", ylabel="share called outliers", ylim=(0, 1))
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
