# SPDX-License-Identifier: BSD-3-Clause
"""
Update a model
==============

A line starts with few photographs, more arrive every day, and some turn out to be bad. The model
takes them in and forgets them again, without the photographs it has seen before.

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# Photographs that arrive in batches
# ----------------------------------
#
# Forty on the first day, then 20 a day; the third day brings 8 defective ones. The features of all
# are computed first, so that the times below are those of the updates alone. With images, a
# pipeline has the same two methods.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.datasets import load_elpv
from skpatch.metrics import image_auroc

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=7)
normal, defective = images[~is_defective], images[is_defective]
days = [normal[:40], normal[40:60], np.r_[normal[60:72], defective[:8]], normal[72:92]]
test, labels = np.concatenate([normal[100:140], defective[10:50]]), np.repeat([0, 1], 40)

extractor = PatchFeatureExtractor(image_size=128).fit(days[0])
test_features = extractor.transform(test)
day_features = [extractor.transform(day) for day in days]

# %%
# Day by day
# ----------
#
# The first ``partial_fit`` is a fit. Images keep their numbers for good, so the eight bad ones are
# those from 72 to 79.

detector = SoftPatchDetector(random_state=0)
steps = []


def record(name, update, argument):
    """Update the detector, and measure it."""
    started = time.perf_counter()
    update(argument)
    seconds = time.perf_counter() - started
    auroc = image_auroc(labels, -detector.score_samples(test_features))
    steps.append((name, auroc, -detector.offset_, len(detector.memory_bank_)))
    print(f"{name:24} {seconds:4.1f} s   AUROC {auroc:.3f}   threshold {-detector.offset_:.2f}")


for number, features in enumerate(day_features, start=1):
    record(f"day {number}: {len(features)} more", detector.partial_fit, features)

# %%
# Suspects
# --------
#
# ``training_scores_`` say which images look bad; a person confirms the defective ones.

suspects = np.argsort(detector.training_scores_)[:10]
confirmed = suspects[(suspects >= 72) & (suspects < 80)]
print(len(confirmed), "of 8 defective images are among the 10 most suspicious")
record(f"forget {len(confirmed)}", detector.forget, confirmed)

# %%
# How close is that to a model that never saw them?

clean = np.delete(np.concatenate(day_features), confirmed, axis=0)
anew = SoftPatchDetector(random_state=0).fit(clean)
auroc = image_auroc(labels, -anew.score_samples(test_features))
print(f"fitted anew on the other {len(clean)}: AUROC {auroc:.3f}, threshold {-anew.offset_:.2f}")

# %%
# The same as a picture
# ---------------------

names, aurocs, thresholds, sizes = zip(*steps, strict=True)
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.6), layout="constrained")
for ax, values, reference, title in zip(
    axes,
    [aurocs, thresholds, sizes],
    [auroc, -anew.offset_, len(anew.memory_bank_)],
    ["image AUROC", "threshold", "memory patches"],
    strict=True,
):
    ax.plot(values, "o-", color="#0072B2", label="updated")
    ax.axhline(reference, color="0.4", linestyle="--", label="fitted anew, without the bad")
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    ax.set_title(title)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylim(0.8, 1)
axes[0].legend(frameon=False, loc="lower left")
