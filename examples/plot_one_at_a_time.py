# SPDX-License-Identifier: BSD-3-Clause
"""
One image at a time
===================

On a line photographs come one by one, and each wants an answer at once. Which of them waits longer
than the others, and what helps?

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# A model, and images one by one
# ------------------------------
#
# The first image after the start waits for what is made ready once: the network, and compiled
# loops.

import tempfile
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils import shuffle

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import load_elpv

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=10)
normal = images[~is_defective]
model = make_pipeline(PatchFeatureExtractor(image_size=224), SoftPatchDetector(random_state=0))
model.fit(normal[:60])


def milliseconds(model, images):
    """Time from each image to its score."""
    taken = []
    for image in images:
        started = time.perf_counter()
        model.score_samples([image])
        taken.append(1000 * (time.perf_counter() - started))
    return taken


# %%
# A program starts by loading the model. So the first images are scored by a loaded one, and then by
# another that has scored one image before: a warm-up, with any photograph of the right size.

with tempfile.TemporaryDirectory() as folder:
    skpatch.save(model, f"{folder}/line.skpatch")
    cold, warm = (skpatch.load(f"{folder}/line.skpatch") for _ in range(2))
new = normal[60:80]
times = {"without warm-up": milliseconds(cold, new)}
warm.score_samples(normal[:1])
times["after a warm-up"] = milliseconds(warm, new)
for name, taken in times.items():
    print(f"{name}: first {taken[0]:.0f} ms, median of the others {np.median(taken[1:]):.0f} ms")

# %%
# From the second image on both take the same time. The page :doc:`/guide/latency` has measured what
# shortens it: engines, threads and the size of the memory bank.

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for name, taken in times.items():
    ax.plot(np.arange(1, len(taken) + 1), taken, "o-", label=name)
ax.set(xlabel="image", ylabel="ms", ylim=0, xticks=[1, 5, 10, 15, 20])
ax.legend()
