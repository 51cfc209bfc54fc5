# SPDX-License-Identifier: BSD-3-Clause
"""
Choose parameters with a grid search
====================================

With some labelled photographs scikit-learn's ``GridSearchCV`` can decide which discriminator and
which noise threshold to take. Training stays without labels; they only judge the result.

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# A pipeline with a memory
# ------------------------
#
# The features of a training fold do not depend on the detector. With ``memory`` the pipeline
# computes them once for each fold and reads them from the disk for all other candidates.

from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import load_elpv

cells = load_elpv(kind="poly")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=0)
chosen = np.r_[np.flatnonzero(~is_defective)[:50], np.flatnonzero(is_defective)[:10]]
images, is_defective = shuffle(images[chosen], is_defective[chosen], random_state=0)

cache = TemporaryDirectory()
model = make_pipeline(
    PatchFeatureExtractor(image_size=128),
    SoftPatchDetector(random_state=0),
    memory=cache.name,
)

# %%
# The search
# ----------
#
# ``scoring="roc_auc"`` wants the labels as the model gives them: +1 normal, -1 anomalous. The
# defective photographs of a fold are trained on too, so the set is as dirty as the real one.

search = GridSearchCV(
    model,
    [
        {"softpatchdetector__discriminator": [None, "support"]},
        {
            "softpatchdetector__discriminator": ["lof", "gaussian"],
            "softpatchdetector__noise_threshold": [0.05, 0.15],
        },
    ],
    scoring="roc_auc",
    cv=StratifiedKFold(3),
)
search.fit(images, np.where(is_defective, -1, 1))
print(search.best_params_)

# %%
# The folds matter as much as the candidates
# ------------------------------------------
#
# Each point is a fold. A difference between candidates that is smaller than the spread between
# folds is no reason to choose one.

results = search.cv_results_
names = []
for parameters in results["params"]:
    name = str(parameters["softpatchdetector__discriminator"])
    threshold = parameters.get("softpatchdetector__noise_threshold")
    names.append(name if threshold is None else f"{name}, {threshold:.0%} dropped")
folds = np.array([results[f"split{fold}_test_score"] for fold in range(3)])

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.plot(folds.T, range(len(names)), "o", color="#56B4E9")
ax.plot(folds.mean(axis=0), range(len(names)), "D", color="#D55E00", label="mean of the folds")
ax.set_yticks(range(len(names)), names)
ax.set_xlabel("image AUROC")
ax.grid(axis="y", color="0.9")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))

# %%
# What the memory saved, in seconds a fold: the first candidate computes the features, the others
# read them. Features of the images that are *scored* are not cached, so scoring costs the same
# for all. Where only parameters of the detector are searched, it is faster to compute the features
# of all images first, and to search the detector alone.

for name, fit, score in zip(
    names, results["mean_fit_time"], results["mean_score_time"], strict=True
):
    print(f"{name:22} fit {fit:5.2f} s   score {score:5.2f} s")
cache.cleanup()
