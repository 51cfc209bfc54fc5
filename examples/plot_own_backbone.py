# SPDX-License-Identifier: BSD-3-Clause
"""
Bring your own network
======================

Any torchvision classification model goes by its name, and any :class:`torch.nn.Module` as it is.
Here the module has no trained weights at all: it is a bank of fixed filters for edges and stripes.
How far does one get without deep learning?

Photographs: ELPV dataset, CC BY-NC-SA 4.0.
"""

# %%
# A module of filters
# -------------------
#
# Gabor filters answer to stripes of one direction and width. Their strengths, averaged over 8 x 8
# pixels, are the maps that the extractor taps; their logarithms make cracks in dim cells count as
# much as those in bright ones. ``layers`` names the submodule whose output is taken.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.utils import shuffle
from torch import nn

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import inject_noise, load_elpv
from skpatch.metrics import image_auroc
from skpatch.plotting import AnomalyMapDisplay


def gabor_filters(n_directions=8, wavelengths=(4, 8, 16), size=25):
    """Cosine and sine filters (n, 1, size, size) of all directions and wavelengths."""
    y, x = np.mgrid[:size, :size] - size // 2
    filters = []
    for wavelength in wavelengths:
        envelope = np.exp(-(x**2 + y**2) / (2 * (wavelength / 2) ** 2))
        for angle in np.pi * np.arange(n_directions) / n_directions:
            phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength
            for wave in (np.cos(phase), np.sin(phase)):
                gabor = envelope * wave
                filters.append((gabor - gabor.mean()) / np.abs(gabor).sum())
    return torch.tensor(np.array(filters), dtype=torch.float32)[:, None]


class GaborBank(nn.Module):
    """Logarithms of the strengths of stripes."""

    def __init__(self):
        super().__init__()
        weight = gabor_filters()
        self.filter = nn.Conv2d(
            1, len(weight), weight.shape[-1], padding="same", padding_mode="reflect", bias=False
        )
        self.filter.weight.data = weight
        self.pool = nn.AvgPool2d(8)
        self.maps = nn.Identity()

    def forward(self, x):
        grey = x.mean(dim=1, keepdim=True)
        strengths = self.pool(self.filter(grey).abs())
        return self.maps(torch.log(strengths + 0.01))


figure, axes = plt.subplots(3, 8, figsize=(8, 3.2), layout="constrained")
for ax, kernel in zip(axes.flat, gabor_filters()[::2, 0], strict=True):
    ax.imshow(kernel, cmap="gray")
    ax.axis("off")

# %%
# Against the default network
# ---------------------------
#
# Nothing else differs between the two pipelines.

cells = load_elpv(kind="mono")
images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=6)
normal, defective = images[~is_defective], images[is_defective]
training = inject_noise(normal[:60], defective[:5], noise_ratio=5 / 60, random_state=0)
test, labels = np.concatenate([normal[60:90], defective[5:35]]), np.repeat([0, 1], 30)

extractors = {
    "Gabor filters": PatchFeatureExtractor(backbone=GaborBank(), layers="maps", image_size=160),
    "EfficientNet-Lite0": PatchFeatureExtractor(image_size=160),
}
models = {}
for name, extractor in extractors.items():
    model = make_pipeline(extractor, SoftPatchDetector(random_state=0))
    model.fit(training.train_images)
    auroc = image_auroc(labels, -model.score_samples(test))
    print(f"{name:20} {extractor.n_features_out_:4d} features   image AUROC {auroc:.3f}")
    models[name] = model

# %%
# What each of them sees
# ----------------------

figure, rows = plt.subplots(3, 5, figsize=(10.2, 6.2), layout="constrained")
shown = test[[0, 30, 31, 32, 33]]
for ax, image in zip(rows[0], shown, strict=True):
    ax.imshow(plt.imread(image), cmap="gray")
    ax.set(xticks=[], yticks=[])
for row, (name, model) in zip(rows[1:], models.items(), strict=True):
    display = AnomalyMapDisplay.from_estimator(model, shown, axes=row, colorbar=False)
    row[0].set_ylabel(name)
for ax, truth in zip(rows[0], ["normal"] + ["defective"] * 4, strict=True):
    ax.set_title(truth, fontsize=10)
bar = figure.colorbar(display.heatmaps_[0], ax=rows[1:], extend="max", shrink=0.7)
bar.set_label("anomaly score (1 = threshold)")

# sphinx_gallery_thumbnail_number = 2
