# SPDX-License-Identifier: BSD-3-Clause
"""A model learned from the images that a command is given."""

import math
import os
import sys
import warnings
from typing import NamedTuple

from ..console.decisions import numbers_by_decision, read_decisions, relative_names
from ..console.inputs import common_folder, named_inputs, readable_images, training_images
from ..console.options import limit_threads
from ..images.names import find_by_name
from ..runtime.stages import Stages
from ..runtime.text import listed, say, shown

__all__ = ["TrainingSet", "list_training", "train", "training_stages"]

# Bytes that are worth a word.
_MUCH = 2**30
# Shorter side of the network's input that is hardly of use.
_SMALL = 64
# From one shorter side of the network's input to the next that is worth trying.
_STEP_UP = 1.4


class TrainingSet(NamedTuple):
    """Images to learn from, before they are read."""

    # As the user names it.
    folder: str
    paths: list[str]
    # Paths from the folder.
    names: list[str]
    # Names of those that are known to be normal, and of those left out as defects.
    trusted: set[str]
    left_out: list[str]


def list_training(inputs, *, layout, region, quiet, decisions, trusted):
    """Images to learn from in files and folders, without those that were decided to be defects."""
    inputs = named_inputs(inputs)
    paths, root = training_images(inputs, layout, region, quiet), common_folder(inputs)
    names = [os.path.relpath(path, root) for path in paths]
    normal = {names[number] for number in find_by_name(relative_names(trusted, root), names)}
    defects = []
    if decisions is not None:
        found = numbers_by_decision(read_decisions(decisions), decisions, names, folder=root)
        normal |= {names[number] for number in found["normal"]}
        defects = found["defect"]
        if not quiet:
            say(
                f"{shown(decisions)}: {len(defects)} left out as defects, {len(found['normal'])} "
                f"trusted, {len(found['unsure'])} unsure."
            )
    if wrong := sorted(normal.intersection(names[number] for number in defects)):
        raise ValueError(
            f"--trust contradicts {shown(decisions)}, by which {listed(wrong)} is a defect."
        )
    left = sorted(set(range(len(names))).difference(defects))
    folder = inputs[0] if len(inputs) == 1 and os.path.isdir(inputs[0]) else os.path.relpath(root)
    if len(left) < 2:
        without = f" without {len(defects)} defects" if defects else ""
        raise ValueError(
            f"{listed(list(map(repr, inputs)))} hold{'s' * (len(inputs) == 1)} {len(left)} "
            f"image{'s' * (len(left) != 1)}{without}, while at least 2 are needed."
        )
    return TrainingSet(
        folder=os.path.normpath(folder),
        paths=[paths[number] for number in left],
        names=[names[number] for number in left],
        trusted=normal,
        left_out=[names[number] for number in sorted(defects)],
    )


def training_stages(quiet, memory_limit, n_more=0):
    """Stages of :func:`train`, and more of a command that goes on."""
    return Stages((3 if memory_limit is None else 2) + n_more, quiet)


def train(training, stages, *, quiet, skip_bad, jobs, **options):
    """Fit a pipeline to a TrainingSet, in the first of some `Stages`.

    Returns
    -------
    model : PatchPipeline
    paths : list of str
        Those of the images that could be read.
    features : array-like of shape (n, h, w, d)
        Perhaps lazy.
    """
    _check_files(options["image_size"], options["weights"])
    with stages.begin(f"reading {len(training.paths)} images"):
        paths, model = _prepare(training, quiet, skip_bad, jobs, options)
    from ..inspection.result import check_threshold

    known = dict(zip(training.paths, training.names, strict=True))
    names = [known[path] for path in paths]
    trusted = [number for number, name in enumerate(names) if name in training.trusted]
    features = _fit(model, paths, names, trusted, quiet, stages)
    model.image_names_, model.image_folder_ = names, training.folder
    model.left_out_names_ = training.left_out
    check_threshold(model[1])
    return model, paths, features


def _prepare(training, quiet, skip_bad, jobs, options):
    """Paths of the images that can be read, and a pipeline for them that is not fitted."""
    from ..engines.choosing import check_engine
    from ..runtime.devices import check_device

    check_device(options["device"])
    check_engine(options["engine"], options["device"], "float32")
    limit_threads(jobs)
    options["intensity_range"] = options["intensity_range"] or "auto"
    paths = readable_images(
        training.paths,
        skip_bad=skip_bad,
        quiet=quiet,
        jobs=jobs,
        intensity_range=options["intensity_range"],
        at_least=2,
    )
    return paths, _unfitted(jobs, quiet, **options)


def _check_files(image_size, weights):
    """Raise for weights that are not there, and warn of an input that is hardly of use."""
    if image_size != "auto" and image_size < _SMALL:
        warnings.warn(
            f"--image-size {image_size} leaves {image_size // 8} patches along the shorter side, "
            "too few to find small defects; auto is a good start.",
            stacklevel=1,
        )
    if weights is not None and not os.path.isfile(weights):
        raise FileNotFoundError(f"--weights={weights!r} is not a file.")


def _unfitted(jobs, quiet, *, discriminator, weights, device, engine, seed, **options):
    """Pipeline with the parameters that options stand for."""
    from ..detector.estimator import SoftPatchDetector
    from ..features.extractor import PatchFeatureExtractor
    from ..pipeline import make_pipeline

    def some(*names):
        return {name: options[name] for name in names}

    extractor = PatchFeatureExtractor(
        **some("backbone", "image_size", "region", "intensity_range", "tile_size", "augment"),
        weights="default" if weights is None else weights,
        device=device,
        engine=engine,
        n_jobs=jobs,
        random_state=seed,
        verbose=not quiet,
    )
    detector = SoftPatchDetector(
        **some("noise_threshold", "coreset_size", "contamination", "memory_limit"),
        discriminator=None if discriminator == "none" else discriminator,
        device=device,
        random_state=seed,
        verbose=not quiet,
    )
    return make_pipeline(extractor, detector)


def _fit(model, paths, names, trusted, quiet, stages):
    """Fit to images, and return their features."""
    from ..features.lazy import lazy_features
    from ..runtime.telling import told_once

    extractor, detector = model[0], model[1]
    if detector.memory_limit is not None:
        with stages.begin("learning"):
            return lazy_features(model.fit(paths, trusted=trusted), paths)
    with told_once(names):
        with stages.begin("extracting features"):
            extractor.fit(paths)
            if not quiet:
                _tell_resolution(extractor, paths)
                _tell_memory(extractor, len(paths))
            features = extractor.transform_training(paths)
        with stages.begin("finding noise, choosing memory patches"):
            detector.fit(features, trusted=trusted)
    return features if extractor.augment is None else features[:, 0]


def _tell_resolution(extractor, paths):
    """Say how finely images are looked at, and what more would cost, while it can be changed."""
    from ..features.view import sizes_in_words
    from ..images.collection import check_images

    height, width = check_images(paths).size(0)
    rows, columns = extractor.grid_size_
    sides = extractor.image_size_
    larger = 32 * max(round(min(sides) * _STEP_UP / 32), min(sides) // 32 + 1)
    # Enlarged, an image would show no more than it does.
    finer = (
        f" --image-size {larger} would see smaller defects, as the images have more pixels, and "
        f"take about {(larger / min(sides)) ** 2:.1f} times as long."
    )
    say(
        f"Images such as {width} x {height} pixels pass the network at "
        f"{sizes_in_words(sides, extractor.n_scales_)}, in "
        f"{columns} x {rows} patches.{finer if min(height, width) > min(sides) else ''}",
        sys.stderr,
    )


def _tell_memory(extractor, n_images):
    """Say how much memory the features will take, if it is much, while that can be changed."""
    from ..features.turning import views_of

    n_views = len(views_of(extractor.augment, extractor.image_size_))
    n_patches = n_images * n_views * math.prod(extractor.grid_size_)
    n_bytes = 4 * n_patches * extractor.n_features_out_
    if n_bytes >= _MUCH:
        less = (
            "--memory-limit bounds it" if n_views == 1 else f"without --augment, 1/{n_views} of it"
        )
        say(
            f"The features of {n_images} images take {n_bytes / 2**30:.1f} GB of memory, and the "
            f"fit about half as much again; {less}.",
            sys.stderr,
        )
