# SPDX-License-Identifier: BSD-3-Clause
"""The protocol of the SoftPatch paper: data sets, contaminated training sets, measurements."""

import hashlib
import itertools
import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from scipy.ndimage import affine_transform
from sklearn.base import clone
from sklearn.utils import check_random_state

from ..datasets import inject_noise, load_elpv, load_folder, read_mask
from ..detector.estimator import SoftPatchDetector
from ..features.extractor import PatchFeatureExtractor
from ..features.view import visible_region
from ..images.collection import check_images
from ..images.reading import read_image
from ..inspection.maps import SIGMA, image_map
from ..metrics import aupro, f1_max, image_auroc, image_average_precision, pixel_auroc
from ..runtime.downloads import file_digest
from ..runtime.text import cell, say, shown
from ..runtime.versions import installed_versions
from .reweighting import reweighted_scores
from .settings import CONTAMINATION, MAP_THRESHOLDS, METHODS, REWEIGHTING

__all__ = [
    "ImageSet",
    "Unaligned",
    "load_parts",
    "load_solar_cells",
    "make_detector",
    "measure",
    "permute_classes",
    "timed",
]

# Of solar cells, which have no parts for training and testing.
_N_TRAIN, _N_TEST = 200, 150


class Unaligned(Sequence):
    """Grey images turned by any angle and shifted by up to 10 % of each side, black outside.

    They are read and moved when asked for, each in the same way every time.
    """

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        pixels = np.asarray(Image.fromarray(read_image(path, shown(path))).convert("L"))
        rng = np.random.default_rng(index)
        angle = rng.uniform(0, 2 * np.pi)
        shift = rng.uniform(-0.1, 0.1, 2) * pixels.shape
        cosine, sine = np.cos(angle), np.sin(angle)
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        centre = (np.array(pixels.shape) - 1) / 2
        return affine_transform(pixels, rotation, centre - rotation @ (centre + shift), order=1)


@dataclass
class ImageSet:
    """Images to draw training sets and test pools from.

    Parameters
    ----------
    name : str
    images : sequence of images
    is_defective : ndarray of shape (n_images,), bool
    pool : ndarray of shape (n_pool,), optional
        Indices of the test images; without, they are drawn by the seed.
    mask_paths : dict
        Path of the mask, a tuple of several, or None for a normal image, by the index of each
        annotated test image; empty where there are no masks.
    folder : str
        Where the images are, for the reader of a table.
    """

    name: str
    images: Sequence
    is_defective: np.ndarray
    pool: np.ndarray | None = None
    mask_paths: dict = field(default_factory=dict)
    folder: str = ""

    @cached_property
    def digest(self):
        """SHA-256 of the files, masks included, of their names, and of the labels."""
        paths = [*getattr(self.images, "paths", self.images)]
        for masks in self.mask_paths.values():
            # MVTec LOCO AD has one for each defect of an image.
            paths += masks if isinstance(masks, tuple) else [masks]
        paths = [os.path.abspath(path) for path in paths if path is not None]
        root = os.path.commonpath(paths)
        digest = hashlib.sha256(repr((self.name, self.is_defective.tolist())).encode())
        for path in paths:
            digest.update(os.fsencode(f"\n{os.path.relpath(path, root)} {file_digest(path)}"))
        return digest.hexdigest()

    @cached_property
    def extractor(self):
        """The default extractor, fitted to the images."""
        return PatchFeatureExtractor().fit(self.images)

    def split(self, seed):
        """Indices of the normal training images and of the test pool."""
        normal, defective = permute_classes(self.is_defective, seed)
        if self.pool is not None:
            return np.setdiff1d(normal, self.pool, assume_unique=True), self.pool
        test = np.r_[normal[_N_TRAIN : _N_TRAIN + _N_TEST], defective[:_N_TEST]]
        return normal[:_N_TRAIN], test

    def features(self, cache):
        """Patch features of all images, memory-mapped; extracted unless `cache` has them."""
        extractor = clone(self.extractor)
        key = joblib.hash((self.digest, extractor.get_params(), installed_versions()))
        path = cache / f"{self.name.replace(' ', '-')}-{key}.npy"
        if not path.exists():
            say(f"{self.name}: features to {shown(path)}", sys.stderr)
            extractor.set_params(output=path, verbose=True).fit_transform(self.images)
        return np.load(path, mmap_mode="r")

    def masks(self):
        """Masks of the annotated test images by index, at the size of the network's input."""
        if not self.mask_paths:
            return {}
        shape = self.extractor.image_size_[::-1]
        images = check_images(self.images)
        masks = {}
        for index, path in self.mask_paths.items():
            size = images.size(index)
            # The network's input need not have the proportions of the image, nor all of it.
            top, left, bottom, right = visible_region(size, self.extractor)
            mask = Image.fromarray(read_mask(path, size))
            box = (left, top, right, bottom)
            masks[index] = np.asarray(mask.resize(shape, Image.Resampling.NEAREST, box))
        return masks


def permute_classes(is_defective, seed):
    """Indices of the normal and of the defective images, each in random order.

    `seed` is an integer, or a RandomState to draw from.
    """
    random_state = check_random_state(seed)
    return [random_state.permutation(np.flatnonzero(is_defective == c)) for c in (False, True)]


def timed(function, *args, **kwargs):
    """Seconds that a call takes, and its result."""
    started = time.perf_counter()
    result = function(*args, **kwargs)
    return time.perf_counter() - started, result


def load_solar_cells(name):
    """One of `ELPV_SETS`."""
    kind, _, unaligned = name.partition(" ")
    data = load_elpv(kind=kind)
    images = Unaligned(data.images) if unaligned else data.images
    return ImageSet(name, images, data.is_defective, folder=cell(os.path.commonpath(data.images)))


def load_parts(folder):
    """The images of a folder with normal and defective test images, as MVTec AD and others."""
    data = load_folder(folder)
    if not 0 < data.test_labels.sum() < len(data.test_labels):
        raise ValueError(f"{folder!r} needs normal and defective test images.")
    n_train = len(data.train_images)
    pool = np.arange(n_train, n_train + len(data.test_images))
    annotated = np.flatnonzero(data.test_annotated) if any(data.test_masks) else []
    return ImageSet(
        # It is printed, and a field of a CSV file.
        cell(shown(Path(folder).absolute().name)),
        data.train_images + data.test_images,
        np.r_[np.zeros(n_train, bool), data.test_labels == 1],
        pool,
        {int(pool[i]): data.test_masks[i] for i in annotated},
        cell(os.path.abspath(folder)),
    )


def make_detector(method, seed, parameters=()):
    """Unfitted detector of one of `METHODS`, with other parameters too."""
    given = {**METHODS[method], **dict(parameters)}
    return SoftPatchDetector(**given, contamination=CONTAMINATION, random_state=seed)


def measure(data, features, masks, noise, method, seed, parameters=(), copies=None):
    """Fit once, and measure with and without overlap.

    Parameters
    ----------
    data : ImageSet
    features : array of shape (n_images, h, w, d)
    masks : dict
        As :meth:`ImageSet.masks` returns them.
    noise : float
        Injected defects divided by normal training images; less where few defects would be left.
    method : str
        One of `METHODS`.
    seed : int
        Draws the images and seeds the detector.
    parameters : dict
        Of the detector.
    copies : str or None
        How the injected images differ from those that are tested, as `augment` of `inject_noise`.

    Returns
    -------
    list of dict
        Without and with overlap, which are the same without noise: there is one only.
    """
    train, pool = data.split(seed)
    noisy = _contaminate(train, pool[data.is_defective[pool]], noise, seed)
    training_set = np.array(noisy.train_images)
    learned = features[training_set]
    if copies and noisy.is_noise.any():
        learned[noisy.is_noise] = _copies(data, training_set[noisy.is_noise], copies, seed)
    detector = make_detector(method, seed, parameters)
    map_threshold = MAP_THRESHOLDS.get(method) if masks else None
    fit_seconds, mapper = timed(_fit, detector, learned, map_threshold)
    scores = np.full(len(data.images), np.nan)
    score_seconds, scores[pool] = timed(_score, detector, features[pool], REWEIGHTING.get(method))
    maps = _anomaly_maps(mapper, features, masks)
    row = {
        "dataset": data.name,
        "noise": noise,
        "true_noise": noisy.is_noise.sum() / len(train),
        "method": method,
        "seed": seed,
        **_audit_metrics(noisy.is_noise, detector.training_scores_),
        **_threshold_metrics(method, scores[pool[~data.is_defective[pool]]], detector.offset_),
        "fit_seconds": fit_seconds,
        "score_milliseconds": 1e3 * score_seconds / len(pool),
        "megabytes": sum(one.memory_bank_.nbytes for one in {detector, mapper}) / 1e6,
    }
    tested = {"no": np.setdiff1d(pool, training_set)}
    if noise:
        tested["yes"] = pool
    return [
        {
            **row,
            "overlap": overlap,
            **_image_metrics(data.is_defective[images], -scores[images]),
            **_pixel_metrics(masks, maps, images),
        }
        for overlap, images in tested.items()
    ]


def _fit(detector, learned, map_threshold):
    """Fit a detector, and return the one that has the maps: with a threshold, another one."""
    detector.fit(learned)
    if map_threshold is None:
        return detector
    return clone(detector).set_params(noise_threshold=map_threshold).fit(learned)


def _score(detector, patches, n_neighbors):
    if n_neighbors is None:
        return detector.score_samples(patches)
    return reweighted_scores(detector, patches, n_neighbors)


def _contaminate(train, defects, noise, seed):
    """The training set with injected defects, as `inject_noise` returns it."""
    # Without overlap a third of the defects stays to be tested.
    most = 2 * len(defects) // 3 / len(train)
    if noise > most:
        warnings.warn(f"{noise:.0%} noise are only {most:.1%}: too few defects", stacklevel=2)
    return inject_noise(list(train), list(defects), noise_ratio=min(noise, most), random_state=seed)


def _copies(data, indices, augment, seed):
    """Features of altered copies of some images, in their order."""
    images = [data.images[index] for index in indices]
    made = inject_noise(images, images, noise_ratio=1.0, augment=augment, random_state=seed)
    altered = list(itertools.compress(made.train_images, made.is_noise))
    return data.extractor.transform(altered)[np.argsort(made.injected_indices)]


def _anomaly_maps(detector, features, masks):
    """Map of each image that has a mask, at the size of the network's input, by index."""
    if not masks:
        return {}
    grids = detector.predict_map(features[list(masks)])
    return {
        index: image_map(grid, mask.shape, mask.shape, (0, 0, *mask.shape), SIGMA)
        for (index, mask), grid in zip(masks.items(), grids, strict=True)
    }


def _audit_metrics(is_noise, training_scores):
    if not is_noise.any():
        return {}
    # An image that could not be scored (NaN) counts as the least suspicious.
    suspicion = np.nan_to_num(-training_scores)
    return {"audit_ap": image_average_precision(is_noise, suspicion)}


def _threshold_metrics(method, normal_scores, threshold):
    # The threshold is learned from scores without weights.
    return {} if method in REWEIGHTING else {"false_alarm_rate": np.mean(normal_scores < threshold)}


def _image_metrics(is_defective, scores):
    return {
        "image_auroc": image_auroc(is_defective, scores),
        "image_ap": image_average_precision(is_defective, scores),
        "f1_max": f1_max(is_defective, scores),
    }


def _pixel_metrics(masks, maps, images):
    annotated = [index for index in images.tolist() if index in masks]
    truth = [masks[index] for index in annotated]
    if not any(mask.any() for mask in truth):
        return {}
    found = [maps[index] for index in annotated]
    return {"pixel_auroc": pixel_auroc(truth, found), "aupro": aupro(truth, found)}
