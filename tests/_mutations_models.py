# SPDX-License-Identifier: BSD-3-Clause
"""Files of saved models, damage done to them, and what loading one may end in."""

import copy
import json
import os
import struct
import tempfile
import warnings

import numpy as np
from _mutations import ANYWHERE, NUMBERS, splice, violation
from _persistence import parts, seal
from _references import distances_without
from PIL import Image
from sklearn.base import clone

from skpatch import (
    FusionDiscriminator,
    GaussianDiscriminator,
    PatchFeatureExtractor,
    PyNNDescentNeighbors,
    SoftPatchDetector,
    load,
    make_pipeline,
    save,
)
from skpatch.detector.estimator import fitted_state
from skpatch.inspection.groups import group_images

_VALUES = (None, True, False, "", "auto", "a" * 300, [], {}, [[]], {"tuple": []}, *NUMBERS)
_VALUES += (-1, 0.5, 1e-320, 1e30, 1e308, -1e308, float("nan"), float("inf"), 10**400)
_FLOATS = (float("nan"), float("inf"), -1.0, 0.0, 1e-40, 1e30, 3e38)
_INTEGERS = (-(2**63), -1, 0, 1, 2**31, 2**63 - 1)
_DTYPES = ("|b1", "<i4", "<i8", "<f2", "<f4", "<f8", "|O", ">f4", "<U9", "", None, 5)


def model_files(with_network=True):
    """Sound files: a dict from what is in the model to a list of bytes.

    `with_network` adds models whose making takes a minute or whose loading takes a second.
    """
    with warnings.catch_warnings():
        # Of few images.
        warnings.simplefilter("ignore", UserWarning)
        files = {
            "detector": _detectors(
                {},
                {"projection_dim": 2, "worst_patches": 2, "soft_weights": False},
                {"metric": "sqeuclidean", "n_neighbors": 3, "n_jobs": 1, "coreset_size": 0.5},
            ),
            "detector of the paper": _detectors(
                {"discriminator": "lof", "n_neighbors": 3, "metric": "sqeuclidean", "n_jobs": 1},
                {"discriminator": GaussianDiscriminator(), "coreset_size": 30},
                {"discriminator": FusionDiscriminator(), "soft_weights": False},
                {"discriminator": None, "coreset_size": 5, "neighbors": PyNNDescentNeighbors()},
            ),
            "detector with noise": _detectors(
                {"contamination": 0.1}, {"noise_threshold": 0.1}, n_defective=4
            ),
            "updated detector": list(_updated_detectors()),
        }
        return {**files, **_slow_files()} if with_network else files


def _slow_files():
    rng = np.random.RandomState(1)
    wide = rng.normal(size=(170, 5, 7, 90)).astype(np.float32) * np.geomspace(10, 0.1, 90)
    large = SoftPatchDetector(coreset_size=4400, worst_patches=3, random_state=0).fit(wide)
    search = PyNNDescentNeighbors(graph_neighbors=5)
    with_graph = _detectors(
        {"neighbors": search, "coreset_size": 0.9},
        {"neighbors": search, "coreset_size": 0.9, "discriminator": "lof", "n_neighbors": 2},
        {"neighbors": search, "coreset_size": 0.9, "metric": "sqeuclidean"},
    )
    return {
        "large detector": [_saved(large)],
        "detector with graph": with_graph,
        "pipeline": list(_pipelines(rng)),
    }


def _patches(n_defective=0):
    """Patches of 24 images; of some the same one is unusual."""
    patches = np.random.RandomState(0).normal(size=(24, 2, 3, 5)).astype(np.float32) / 3
    patches[:n_defective, 1, 1, 0] += 8
    return patches


def _detectors(*settings, n_defective=0):
    patches = _patches(n_defective)
    return [_saved(SoftPatchDetector(random_state=0, **one).fit(patches)) for one in settings]


def _updated_detectors():
    """With copies, and after each kind of update."""
    patches = _patches(n_defective=4)
    for discriminator in ("support", "nearest"):
        detector = SoftPatchDetector(discriminator=discriminator, random_state=0)
        detector.fit(np.concatenate([patches, patches[:2]]), trusted=[2])
        yield _saved(detector)
        yield _saved(detector.partial_fit(patches[4:12] + 1).forget([3, 7]).trust([9]))


def _pipelines(rng):
    """With images in memory; with files, a region and fewer features."""
    images = rng.randint(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    extractor = PatchFeatureExtractor(image_size=32, layers="features.2")
    yield _saved(make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(images))
    region = np.zeros((32, 32), bool)
    region[:, 8:] = True
    extractor = clone(extractor)
    extractor.set_params(region=region, embedding_dim=7, intensity_range=(0, 300))
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, f"{number}.png") for number in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            Image.fromarray(image).save(path)
        yield _saved(make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(paths))


def _saved(model):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.skpatch")
        save(model, path)
        with open(path, "rb") as file:
            return file.read()


def damaged_model(files, kind, rng):
    """One of the files of a kind, damaged, mostly with a right checksum."""
    data = rng.choice(files[kind])
    if rng.random() < 0.1:
        return rng.choice(ANYWHERE)(data, rng)
    header, body, places = parts(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice((_change_json,) * 3 + (_change_arrays, _change_values, _change_values))
        header, body = change(header, body, places, rng)
    text = json.dumps(header).encode()
    if rng.random() < 0.1:
        text = rng.choice(ANYWHERE)(text, rng)
    elif rng.random() < 0.1:
        other = rng.choice(files[rng.choice(list(files))])
        body = rng.choice((lambda: splice(body, other, rng), lambda: body + b"\0" * 8))()
    length = rng.choice(NUMBERS) if rng.random() < 0.02 else len(text)
    return seal(text, body, struct.pack("<Q", length))


def _change_json(header, body, places, rng):
    """Another value, another key or another order somewhere in the JSON."""
    header = copy.deepcopy(header)
    place = header["content"]
    key = rng.choice(list(place))
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.9:
        place = place[key]
        key = rng.randrange(len(place)) if isinstance(place, list) else rng.choice(list(place))
    # Of another version there is a warning, which is documented.
    if key == "pynndescent":
        return header, body
    action = rng.choice(("value", "value", "value", "near", "remove", "add"))
    if action == "value":
        place[key] = rng.choice(_VALUES)
    elif action == "near":
        place[key] = _near(place[key], rng)
    elif action == "remove":
        del place[key]
    elif isinstance(place, list):
        place.insert(key, rng.choice(_VALUES))
    else:
        place[rng.choice(("more", "output", "params"))] = rng.choice(_VALUES)
    return header, body


def _near(value, rng):
    """A value of the same type."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return rng.choice((value + 1, value - 1, -value, value * 2, value * 1000))
    if isinstance(value, str):
        return rng.choice((value[:-1], value + "x", "cuda", "meta", "/dev/zero", "."))
    return rng.choice((value * 2 if isinstance(value, list) else {**value, "more": 0}, [value]))


def _change_arrays(header, body, places, rng):
    """Another name, type or shape of an array."""
    header = copy.deepcopy(header)
    array = rng.choice(header["arrays"])
    if not array[2]:
        return header, body
    action = rng.choice(("name", "type", "side", "turn", "flat", "remove", "repeat"))
    if action == "name":
        array[0] = rng.choice(header["arrays"])[0]
    elif action == "type":
        array[1] = rng.choice(_DTYPES)
    elif action == "side":
        array[2][rng.randrange(len(array[2]))] = rng.choice((*_VALUES, -1, 3, 4))
    elif action == "turn":
        array[2].reverse()
    elif action == "flat":
        array[2] = [1, *array[2]]
    elif action == "remove":
        header["arrays"].remove(array)
    else:
        header["arrays"].append(array)
    return header, body


def _change_values(header, body, places, rng):
    """Other values in an array."""
    place = places[rng.choice(list(places))]
    block = body[place]
    if not block or len(body) < place.stop:
        return header, body
    if rng.random() < 0.2:
        block = bytearray(block)
        for _ in range(rng.randint(1, 8)):
            block[rng.randrange(len(block))] = rng.randrange(256)
    else:
        number = rng.choice(
            [struct.pack("<f", value) for value in _FLOATS]
            + [struct.pack("<d", value) for value in _FLOATS]
            + [struct.pack("<q", value) for value in _INTEGERS]
            + [struct.pack("<i", value % 2**31) for value in _INTEGERS]
        )
        start = rng.randrange(len(block)) // len(number) * len(number)
        count = rng.choice((1, 1, len(block)))
        numbers = (number * count)[: len(block) - start]
        block = block[:start] + numbers + block[start + len(numbers) :]
    return header, body[: place.start] + bytes(block) + body[place.stop :]


def use_damaged_model(path):
    """Load a model and score with it.

    Returns the named error that it ended in, None after scores that make sense.
    """
    try:
        model = load(path)
    except (OSError, ValueError) as error:
        violation(not str(error).strip(), "the error gives no reason")
        return error
    try:
        if isinstance(model, SoftPatchDetector):
            _check_detector(model)
            # A graph would be built anew, for which pynndescent compiles its code for a minute.
            if getattr(model.neighbors_, "index_", None) is None:
                _check_update(model)
        else:
            scores = model.score_samples(np.full((2, 40, 50, 3), 99, np.uint8))
            violation(not np.isfinite(scores).all(), f"scores are {scores}")
    except (ValueError, TypeError) as error:
        # A parameter of the file, such as the number of threads, that is checked when it is used.
        violation(
            not any(name in str(error) for name in ("n_jobs", "device", "discriminator")),
            repr(error),
        )
        return error
    return None


def _check_detector(detector):
    rng = np.random.RandomState(0)
    queries = rng.normal(size=(2, *detector.grid_shape_, detector.n_features_in_))
    maps = detector.predict_map(queries.astype(np.float32))
    scores = detector.score_samples(queries)
    violation(not np.isfinite(maps).all() or (maps < 0).any(), f"maps are {maps}")
    worst = np.sort(maps.reshape(len(maps), -1), axis=1)[:, -detector.n_worst_patches_ :]
    expected = np.maximum(worst.mean(axis=1), detector.peak_share_ * worst[:, -1])
    violation(
        not np.allclose(scores, -expected, rtol=1e-6), f"scores {scores}, maps say {-expected}"
    )
    violation(not set(detector.predict(queries)) <= {-1, 1}, "labels")
    pvalues = detector.predict_pvalue(queries)
    violation(not ((pvalues > 0) & (pvalues <= 1)).all(), f"p-values are {pvalues}")
    _check_groups(detector)
    if getattr(detector.neighbors_, "index_", None) is None:
        expected = plain_map(detector, np.float32(queries))
        violation(not np.allclose(maps, expected, rtol=1e-5), f"maps {maps}, not {expected}")


def _check_groups(detector):
    """What an audit says of images that resemble each other."""
    numbers = np.flatnonzero(~detector.forgotten_images_)
    groups = group_images(fitted_state(detector), numbers, detector.device)
    largest = groups.max(initial=-1)
    violation(set(groups) - {-1} != set(range(largest + 1)), f"groups are {groups}")


def _check_update(detector):
    """A loaded model can learn more images, trust and forget some, or says why not."""
    more = np.random.RandomState(1).normal(size=(3, *detector.grid_shape_, detector.n_features_in_))
    for update, images in [
        (detector.partial_fit, more),
        (detector.trust, [0]),
        (detector.forget, [1]),
    ]:
        with warnings.catch_warnings():
            # Of too few images for a parameter.
            warnings.simplefilter("ignore", UserWarning)
            try:
                update(images)
            except ValueError as error:
                violation(len(str(error)) < 10, f"{error!r} names nothing")
                continue
        scores = detector.score_samples(more)
        violation(not np.isfinite(scores).all(), f"after an update scores are {scores}")


def plain_map(detector, queries):
    """The map of a detector with exact search by its definition."""
    # Other training scores can make any image pass for a training image.
    own = fitted_state(detector).recognize(queries)
    own = np.full(len(queries), -1) if own is None else own
    distances = np.concatenate(
        [distances_without(detector, *image) for image in zip(queries, own, strict=True)]
    )
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : detector.n_neighbors]
    distances = np.take_along_axis(distances, nearest, axis=1)
    # Fewer where the bank holds no more of other images.
    is_found = np.isfinite(distances)
    distances[~is_found] = 0
    power = 2 if detector.metric == "sqeuclidean" else 1
    weighted = detector.memory_weights_[nearest] * distances**power
    maps = weighted.sum(axis=1) / is_found.sum(axis=1)
    return maps.reshape(queries.shape[:3])
