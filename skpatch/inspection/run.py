# SPDX-License-Identifier: BSD-3-Clause
"""What was run, in words for a report: folder, settings, noise, threshold and versions."""

import hashlib
import os
import platform

import numpy as np

from .. import __version__
from ..detector.calibration import conformal_pvalues
from ..features.view import sizes_in_words
from ..images.files import is_path
from ..runtime.parameters import changed_parameters
from ..runtime.text import shown
from ..runtime.versions import installed_versions

__all__ = ["content_digest", "describe_run", "find_folder", "relative_file"]

# Whose versions are told; torch may be missing.
_LIBRARIES = ("numpy", "torch", "scikit-learn")
# Parameters of how something is computed, not of what.
_MEANS = {"verbose", "n_jobs", "device", "memory_limit", "batch_size"}


def find_folder(images, names):
    """Absolute folder that the names of images start at; "" if they are no files, or in several."""
    folders = set()
    for index, name in enumerate(names):
        path = images[index] if images.is_listed else None
        if not is_path(path):
            return ""
        path, end = os.path.abspath(os.fspath(path)), os.path.normpath(name)
        if not path.endswith(os.sep + end):
            return ""
        folders.add(path.removesuffix(end).rstrip(os.sep))
    return folders.pop() if len(folders) == 1 else ""


def relative_file(path, folder, name):
    """Path of an image from a page, if it lies below the page's folder; else None.

    Others would tell whoever gets the page how the maker's disk is laid out.
    """
    start = os.path.realpath(os.path.dirname(os.path.abspath(path)))
    file = os.path.realpath(os.path.join(folder, name))
    return os.path.relpath(file, start) if file.startswith(os.path.join(start, "")) else None


def content_digest(names, scores):
    """Short text that differs between reports of other images, or other scores."""
    text = "\0".join([*names, *(f"{score:.6g}" for score in scores)])
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def describe_run(inspection, names, folder):
    """What was run, as a dict from terms to texts."""
    extractor, detector = inspection.model.steps[0][1], inspection.model.steps[-1][1]
    # One's own extractor may know of no scales.
    sizes = sizes_in_words(extractor.image_size_, getattr(extractor, "n_scales_", 1))
    rows, columns = detector.grid_shape_
    share = conformal_pvalues(detector.calibration_scores_, np.array([detector.offset_]))[0]
    noise = 1 - detector.kept_[:, detector.inspected_].mean()
    # Both have a seed, mostly the same one.
    settings = dict.fromkeys(_settings(extractor) + _settings(detector))
    versions = installed_versions()
    told = {
        "Folder": os.path.basename(folder),
        "Images": f"{len(names):,}",
        "Network input": f"{sizes} pixels, {columns} x {rows} patches",
        "Settings": ", ".join(settings) or "all as by default",
        "Memory patches": f"{len(detector.memory_bank_):,}",
        "Taken for noise": f"{100 * noise:.2g} % of the patches",
        "Threshold": f"{inspection.threshold:.4g}, a distance between features",
        "False alarms": f"about {100 * share:.2g} % of normal images may be above the threshold",
        "Versions": ", ".join(
            [f"skpatch {__version__}", f"Python {platform.python_version()}"]
            + [f"{name} {versions[name]}" for name in _LIBRARIES if name in versions]
        ),
    }
    return {term: text for term, text in told.items() if text}


def _settings(estimator):
    """Parameters that are not as by default; of a path only the name of the file."""
    return [
        f"{name}={_in_short(value)}"
        for name, value in changed_parameters(estimator).items()
        if name not in _MEANS
    ]


def _in_short(value):
    if is_path(value):
        return repr(os.path.basename(os.fspath(value)))
    return shown(" ".join(repr(value).split()))[:200]
