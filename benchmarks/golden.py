# SPDX-License-Identifier: BSD-3-Clause
"""Whether a change of the code leaves all numbers as they were, to the bit.

    python benchmarks/golden.py commits main HEAD               # of two commits
    python benchmarks/golden.py record before.npz               # or: of the skpatch in use,
    python benchmarks/golden.py record after.npz                # and again after the change
    python benchmarks/golden.py compare before.npz after.npz

Detectors and pipelines are fitted on 46 solar cells, 6 of them defective. Recorded are what they
learn, what they say about 12 other cells and about some of those that they were fitted on, the
files that they are saved to, and what they say when they are loaded again. Only public names are
used, and the files are read by their format, so that modules may be moved. Both recordings must
come from the same computer with the same libraries and as many threads. The exit status is 1 if
an array differs, and the number of those that do comes last.
"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from joblib import parallel_config
from sklearn.ensemble import IsolationForest

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector, load, make_pipeline, save
from skpatch.datasets import load_elpv
from skpatch.discriminators import FusionDiscriminator

REPOSITORY = Path(__file__).resolve().parent.parent
LEARNED = "memory_bank_ memory_source_ memory_weights_ memory_reaches_ noise_scores_ kept_ "
LEARNED += "inspected_ trusted_images_ forgotten_images_ coreset_radius_ training_scores_ "
LEARNED += "calibration_scores_ offset_ grid_shape_ n_features_in_"
LEARNED_BY_EXTRACTOR = "layers_ image_size_ grid_size_ inspected_ n_features_out_"
AUDITED = "ranking scores pvalues is_suspicious patch_scores removed n_removed trusted"
METHODS = "score_samples decision_function predict predict_pvalue predict_map"
# Every so many of the training images are scored, as images that are recognised.
STEP = 15


def cells():
    """Paths of 40 normal and 6 defective cells in mixed order, and of 6 and 6 others."""
    data, draw = load_elpv(kind="mono"), np.random.RandomState(0)
    images, is_defective = np.array(data.images), data.is_defective
    normal, defective = (draw.permutation(images[of]) for of in (~is_defective, is_defective))
    train, test = np.r_[normal[:40], defective[:6]], np.r_[normal[40:46], defective[6:12]]
    return draw.permutation(train).tolist(), test.tolist()


def pipelines(train, test):
    """Names, fitted pipelines, and the images that they are fitted and tested on."""
    # Few of them, since a pipeline extracts the features again for each of its methods.
    some, more, test = train[::2], train[1:12:2], test[::4]

    def fitted(images=some, extractor=None, **detector):
        # The extractor's seed is saved, though pretrained weights need none.
        extractor = PatchFeatureExtractor(random_state=0, **extractor or {})
        detector = SoftPatchDetector(random_state=0, **detector)
        return make_pipeline(extractor, detector).fit(images), images, test

    model, *images = fitted()
    yield "pipeline", model, *images
    model.partial_fit(more).forget([3, STEP])
    yield "pipeline, updated", model, some + more, test
    paper = {"resize": 256, "crop": 224, "embedding_dim": 64}
    yield "pipeline, paper", *fitted(extractor=paper, discriminator="lof", noise_threshold=0.15)
    # 8 shards, 7 of which are joined first.
    yield "pipeline, shards", *fitted(memory_limit="10M", coreset_size=200)
    # Twice as large, with patches in overlapping tiles.
    tiles = {"image_size": 448, "tile_size": 320}
    yield "pipeline, tiles", *fitted(train[::6], tiles, coreset_size=500)
    y, x = np.mgrid[-1:1:100j, -1:1:100j]
    yield "pipeline, region", *fitted(extractor={"region": x**2 + y**2 < 0.8})


def detectors(train, test):
    """Names, fitted detectors, and the features that they are fitted and tested on."""

    def fitted(view=np.asarray, **parameters):
        detector = SoftPatchDetector(random_state=0, **parameters)
        return detector.fit(view(train)), view(train), view(test)

    yield "support", *fitted()
    yield "support, threshold", *fitted(noise_threshold=0.1)
    yield "support, no soft weights", *fitted(soft_weights=False)
    yield "support, projection", *fitted(projection_dim=16)
    yield "support, squares", *fitted(metric="sqeuclidean", n_neighbors=3, contamination=0.1)
    yield "support, worst patches", *fitted(worst_patches=12, coreset_size=400)
    # Images of one patch each.
    yield "support, table", *fitted(lambda array: array[:, ::7, ::7].reshape(-1, array.shape[-1]))
    yield "none", *fitted(discriminator=None)
    yield "none, squares", *fitted(discriminator=None, metric="sqeuclidean", worst_patches=0.02)
    for name in ("lof", "gaussian", "nearest"):
        yield name, *fitted(discriminator=name)
    yield "lof, no soft weights", *fitted(discriminator="lof", soft_weights=False)
    yield "fusion", *fitted(discriminator=FusionDiscriminator(), projection_dim=16)
    # At few positions, since it is slow.
    forest = {"discriminator": IsolationForest(n_estimators=5), "projection_dim": 16}
    model, *features = fitted(lambda array: array[:, ::3, ::3], **forest)
    # It is used in fit only, and could not be saved.
    yield "isolation forest", model.set_params(discriminator=None), *features
    # 21 shards, joined by threes; 5; and 15, joined by fives.
    for name, limit in (("support", "12M"), ("lof", "16M"), (None, "8M")):
        parameters = {"discriminator": name, "coreset_size": 300, "memory_limit": limit}
        yield f"shards, {name}", *fitted(**parameters)
    # A generator draws other numbers in each call.
    for name, state in (("support", 0), ("lof", np.random.RandomState(0))):
        model = SoftPatchDetector(discriminator=name, random_state=state).fit(train[:24])
        yield f"updates, {name}, fit", model, train[:24], test
        yield f"updates, {name}, partial_fit", model.partial_fit(train[24:]), train, test
        yield f"updates, {name}, forget", model.forget([3, STEP, 40]), train, test
    model, *features = fitted(neighbors="pynndescent")
    yield "graph", model, *features
    yield "graph, forget", model.forget([3, STEP]), *features


def save_and_load(model):
    """JSON without versions, as text, and arrays of the file of a model; and the loaded model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.skpatch")
        save(model, path)
        data, loaded = path.read_bytes(), load(path)
    # After 8 bytes each of a name and a version, and before a SHA-256.
    length, start = int.from_bytes(data[16:24], "little"), 56
    saved = json.loads(data[start : start + length])
    del saved["content"]["versions"]
    found, start = {"JSON": np.array(json.dumps(saved, indent=0))}, start + length
    for name, dtype, shape in saved["arrays"]:
        found[name] = np.frombuffer(data, dtype, math.prod(shape), start).reshape(shape)
        start += found[name].nbytes
    return found, loaded


def attributes(thing, names):
    # Copies, since a model may be changed after it was recorded.
    return {name: np.array(getattr(thing, name)) for name in names.split()}


def said(model, inputs, methods=METHODS):
    """What a model says about images or features, by the name of the method."""
    return {name: np.asarray(getattr(model, name)(inputs)) for name in methods.split()}


def audited(model, train, test):
    """What an audit finds, by name."""
    audit = model.audit(train)
    maps, match = audit.maps(audit.ranking[:3]), model[-1].match(model[:-1].transform(test))
    return {**attributes(audit, AUDITED), "maps": np.asarray(maps), "match": match}


def describe(model, train, test):
    """All arrays of a fitted model by name, in the order in which they are made."""
    detector = model[-1] if hasattr(model, "audit") else model
    groups = {"": attributes(detector, LEARNED)}
    groups["file."], loaded = save_and_load(model)
    groups["test."], groups["seen."] = said(model, test), said(model, train[::STEP])
    groups["loaded."] = said(loaded, test, "score_samples predict_map")
    if detector is model:
        groups["test."].update(said(model, test, "match"))
        groups["seen."].update(said(model, train[::STEP], "match"))
    else:
        groups["extractor."] = attributes(model[0], LEARNED_BY_EXTRACTOR)
        groups["extractor."].update(said(model[0], test, "transform"))
        groups["audit."] = audited(model, train, test)
    return {group + name: array for group, found in groups.items() for name, array in found.items()}


def fitted_models():
    """Names, fitted models, and what they are fitted and tested on."""
    train, test = cells()
    yield from pipelines(train, test)
    extractor = PatchFeatureExtractor()
    yield from detectors(extractor.fit_transform(train), extractor.transform(test))


def record(file, package=None):
    """Write all arrays to a file, as "model/array"."""
    used = Path(skpatch.__file__).resolve().parent
    if package is not None and used != Path(package).resolve():
        sys.exit(f"skpatch is that in {used}, not in {package}")
    arrays, started = {}, time.perf_counter()
    with parallel_config("sequential"):
        for name, *fitted in fitted_models():
            found = describe(*fitted)
            arrays.update((f"{name}/{key}", array) for key, array in found.items())
            seconds, started = time.perf_counter() - started, time.perf_counter()
            print(f"{name:30}{len(found):4} arrays{seconds:7.1f} s", flush=True)
    np.savez(file, **arrays)


def difference(before, after):
    """In words, how an array differs from what it was; None if it is equal to the bit."""
    if before is None or after is None:
        return f"missing {'before' if before is None else 'after'}"
    if before.dtype.kind == after.dtype.kind == "U":
        lines = ["\n".join(array.ravel()).splitlines() for array in (before, after)]
        pairs = (f"{old} became {new}" for old, new in itertools.zip_longest(*lines) if old != new)
        return next(pairs, None)
    if (before.dtype, before.shape) != (after.dtype, after.shape):
        return f"{before.dtype} {before.shape} became {after.dtype} {after.shape}"
    # As bytes, since NaN equals itself then, and -0 is not 0.
    old, new = (np.frombuffer(array.tobytes(), f"V{array.itemsize}") for array in (before, after))
    changed = old != new
    if not changed.any():
        return None
    with np.errstate(invalid="ignore"):
        gaps = np.abs(after.astype(np.float64) - before.astype(np.float64)).ravel()[changed]
    return f"{len(gaps)} of {len(old)} numbers differ, by up to {gaps.max():.3g}"


def compare(before, after):
    """Print which arrays of two files differ, by model; returns how many."""
    models, n_different = {}, 0
    with np.load(before) as old, np.load(after) as new:
        for key in dict.fromkeys([*old.files, *new.files]):
            name, _, array = key.partition("/")
            pair = (file.get(key) for file in (old, new))
            models.setdefault(name, {})[array] = difference(*pair)
    for name, arrays in models.items():
        different = {array: words for array, words in arrays.items() if words is not None}
        n_different += len(different)
        print(f"{name:30}{len(arrays) - len(different):4} of {len(arrays)} arrays are equal")
        for array, words in different.items():
            print(f"    {array}: {words}")
    print(f"{n_different} of {sum(map(len, models.values()))} arrays differ")
    return n_different


def record_commit(commit, file, folder):
    """Record with the package of a commit, by this script, which the commit may not have."""
    worktree = ["git", "-C", str(REPOSITORY), "worktree"]
    subprocess.run([*worktree, "add", "--quiet", "--detach", folder, commit], check=True)
    try:
        command = [sys.executable, __file__, "record", file, "--package", folder / "skpatch"]
        print(f"{commit}:", flush=True)
        subprocess.run(command, env={**os.environ, "PYTHONPATH": str(folder)}, check=True)
    finally:
        subprocess.run([*worktree, "remove", "--force", folder], check=True)


def compare_commits(before, after):
    """Record two commits, which are checked out for that, and compare; returns how many differ."""
    with tempfile.TemporaryDirectory() as parent:
        files = [Path(parent, f"{role}.npz") for role in ("before", "after")]
        for commit, file in zip((before, after), files, strict=True):
            record_commit(commit, file, file.with_suffix(""))
        return compare(*files)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    recording = actions.add_parser("record", help="the numbers of the skpatch that is imported")
    recording.add_argument("file", help="a .npz file")
    recording.add_argument("--package", help="the folder that skpatch must be in")
    for action, what in (("compare", ".npz file"), ("commits", "commit")):
        comparing = actions.add_parser(action, help=f"one {what} with another")
        comparing.add_argument("before", help=what)
        comparing.add_argument("after", help=what)
    arguments = parser.parse_args()
    if arguments.action == "record":
        record(arguments.file, arguments.package)
    else:
        function = compare if arguments.action == "compare" else compare_commits
        sys.exit(function(arguments.before, arguments.after) > 0)


if __name__ == "__main__":
    main()
