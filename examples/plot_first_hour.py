# SPDX-License-Identifier: BSD-3-Clause
"""
Your first hour
===============

From a folder that nobody has sorted to a model in a file: audit, decide, fit, score, save, load.
As ``examples/plot_first_hour.ipynb`` it runs in a hosted notebook service.

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# A folder of photographs
# -----------------------
#
# Sixty solar cells; we hide six defective ones among them. With photographs of your own,
# ``training`` would be ``load_folder("photos").train_images``, or any list of paths.

from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from sklearn.utils import shuffle

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import inject_noise, load_elpv
from skpatch.plotting import AnomalyMapDisplay, NoiseAuditDisplay

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=11)
normal, defective = images[~is_defective], images[is_defective]
folder = inject_noise(normal[:54], defective[:6], noise_ratio=6 / 54, random_state=0)
training = folder.train_images

# %%
# Audit: which photographs are bad?
# ---------------------------------
#
# Fit to all of them, the bad ones included, and look at the most suspicious. A score above 1 is
# above the threshold. ``to_html`` writes the same as a page to look at and to mark, for everybody
# who knows the parts.

model = make_pipeline(PatchFeatureExtractor(image_size=192), SoftPatchDetector(random_state=0))
model.fit(training)
audit = model.audit(training)
audit.to_html(Path(mkdtemp(), "audit.html"))
NoiseAuditDisplay.from_audit(audit)

# %%
# Decide
# ------
#
# A person looks at the first ten. Here the truth stands in for the person.

first = audit.ranking[:10]
rejected = first[folder.is_noise[first]]
print(f"{len(rejected)} of the first 10 are defective, of {folder.is_noise.sum()} in the folder")

# %%
# Fit without what was rejected
# -----------------------------
#
# ``forget`` takes photographs out of the model; so does a new fit to the others.

model.forget(rejected)

# %%
# Score new photographs
# ---------------------
#
# Five normal and five defective cells: a score, a p-value and a verdict of each, and a heat map.

new, labels = np.r_[normal[60:65], defective[20:25]], np.repeat([0, 1], 5)
inspection = model.inspect(new)
for label, score, is_outlier in zip(labels, inspection.scores, inspection.scores > 1, strict=True):
    truth = "defective" if label else "normal"
    print(f"{truth:10} score {score:.2f}  {'anomalous' if is_outlier else ''}")

AnomalyMapDisplay.from_inspection(inspection, inspection.ranking[:4])

# %%
# Save, and load
# --------------
#
# One file, without pickle: loading it runs no code.

path = Path(mkdtemp(), "line.skpatch")
skpatch.save(model, path)
loaded = skpatch.load(path)
print(f"{path.stat().st_size / 1e6:.1f} MB")
print("same scores:", np.array_equal(loaded.score_samples(new), model.score_samples(new)))
