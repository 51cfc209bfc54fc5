# SPDX-License-Identifier: BSD-3-Clause
"""How well scores find defective images, and how well maps find defective pixels.

In every function a high score means anomalous, and the label 1 (or True) means defective. The
estimators follow scikit-learn, where high means normal: pass ``-model.score_samples(X)``. The
maps of ``predict_map`` are high where anomalous and are passed as they are. For the same reason
scikit-learn's own ``scoring="roc_auc"`` (in `GridSearchCV`, say), which reads
``decision_function``, needs labels with 1 = normal.

The pixel metrics leave out pixels whose map value is NaN: not inspected, for instance because the
image was cropped.

Imports images and runtime.
"""

from .curves import (
    aupro,
    f1_max,
    image_auroc,
    image_average_precision,
    pixel_auroc,
    pixel_average_precision,
    pixel_f1_max,
)
from .labelled import Calibration
from .synthetic_defects import synthetic_defect_score

__all__ = [
    "Calibration",
    "aupro",
    "f1_max",
    "image_auroc",
    "image_average_precision",
    "pixel_auroc",
    "pixel_average_precision",
    "pixel_f1_max",
    "synthetic_defect_score",
]
