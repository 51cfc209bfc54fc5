# SPDX-License-Identifier: BSD-3-Clause
"""
Audit a dirty folder
====================

Which photographs of the training folder should not be there? An audit ranks them and shows where
the evidence is. A person looks at the first few, and the model forgets those that are rejected.

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# A dirty folder
# --------------
#
# One cell in ten is defective.

import time

import numpy as np
from sklearn.utils import shuffle

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import inject_noise, load_elpv
from skpatch.plotting import NoiseAuditDisplay

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=1)
normal, defective = images[~is_defective], images[is_defective]
folder = inject_noise(normal[:100], defective[:10], noise_ratio=0.1, random_state=0)

model = make_pipeline(PatchFeatureExtractor(image_size=160), SoftPatchDetector(random_state=0))
model = model.fit(folder.train_images)

# %%
# The audit
# ---------
#
# Each photograph is scored without its own patches, since compared with itself even the worst one
# looks normal. Here the truth is known, so the display can ring the defective ones. Without
# ``labels`` it works just as well.

audit = model.audit(folder.train_images)
NoiseAuditDisplay.from_audit(audit, labels=folder.is_noise)

# %%
# How deep must one look?

found = folder.is_noise[audit.ranking]
for depth in (5, 10, 20, 30):
    print(
        f"among the {depth:2d} most suspicious: {found[:depth].sum():2d} of {found.sum()} defective"
    )

# %%
# Forget what was rejected
# ------------------------
#
# Suppose a person looked at the first 20 and rejected the defective ones. ``forget`` takes them out
# of the model, without the photographs and in a moment. ``audit.to_html("audit.html")`` would write
# the page to send to that person.

rejected = audit.ranking[:20][found[:20]]
print("threshold before:", round(-model[-1].offset_, 3))
started = time.perf_counter()
model.forget(rejected)
print("threshold after: ", round(-model[-1].offset_, 3))
print(f"forgot {len(rejected)} photographs in {time.perf_counter() - started:.1f} s")
