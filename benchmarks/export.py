# SPDX-License-Identifier: BSD-3-Clause
"""Whether an exported model says what the model says, and how long it takes.

    python benchmarks/export.py
    python benchmarks/export.py --data kolektorsdd --data cookies

A model with default settings of up to 200 normal photographs, and images that it was not trained
on, normal and defective ones, at their own sizes: solar cells, and with `--data` folders of any
known layout. For onnxruntime and OpenVINO, with maps and without: the largest relative difference
of a score, and of a map, each of its largest value; how many verdicts and p-values differ; and
processor milliseconds per image, one after the other and in turns with `score_samples` and
`predict_map`, median and 95th percentile. Images that the model takes for copies of training
images, and a graph does not, are counted and left out.
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import torch
from _common import split_cells

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import load_folder
from skpatch.detector.estimator import fitted_state
from skpatch.images.reading import read_image

WARM_UP = 3


def of_solar_cells(n_train, n_test):
    """Training and test images."""
    train, test, _ = split_cells(n_train, n_test // 2)
    return train, test


def of_folder(folder, n_train, n_test):
    """The same of a folder; those left over from the training are test images, too."""
    data = load_folder(folder)
    images = np.random.RandomState(0).permutation(data.train_images)
    n_train = min(n_train, 2 * len(images) // 3)
    return list(images[:n_train]), [*data.test_images, *images[n_train:]][:n_test]


def runtimes(path, words):
    """Functions from an image to what the graph says, by name and these words."""
    n_threads = torch.get_num_threads()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    session = onnxruntime.InferenceSession(path, options)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": n_threads}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return {
        f"onnxruntime{words}": lambda image: session.run(None, {"images": image[np.newaxis]}),
        f"openvino{words}": lambda image: list(compiled([image[np.newaxis]]).values()),
    }


def is_copy(model, image):
    """Whether the model recognises an image as one of its training images."""
    own = fitted_state(model[1]).recognize(model[0].transform([image]))
    return own is not None and own[0] >= 0


def compare(name, train, test, image_size):
    images = [read_image(path, path) for path in test]
    model = make_pipeline(
        PatchFeatureExtractor(image_size=image_size), SoftPatchDetector(random_state=0)
    ).fit(train)
    threshold = -model[1].offset_
    with tempfile.TemporaryDirectory() as folder:
        path, scores = Path(folder) / "model.onnx", Path(folder) / "scores.onnx"
        started = time.perf_counter()
        model.to_onnx(path)
        taken, size = time.perf_counter() - started, os.path.getsize(path) / 2**20
        model.to_onnx(scores, maps=False)
        functions = {**runtimes(path, ""), **runtimes(scores, " without maps")}
    bank, sizes = model[1].memory_bank_.shape, {image.shape[:2] for image in images}
    print(
        f"{name}: {len(train)} training images, {len(images)} others of {min(sizes)} to "
        f"{max(sizes)}, input {model[0].image_size_}, bank {bank}, {torch.get_num_threads()} "
        f"threads; export {taken:.0f} s, {size:.0f} MB"
    )
    own = {
        "a score": lambda image: model.score_samples([image]),
        "a map": lambda image: model.predict_map([image]),
    }
    seconds = {kind: [] for kind in (*own, *functions)}
    differences = {kind: [] for kind in functions}
    n_copies = 0
    for image in images:
        if is_copy(model, image):
            n_copies += 1
            continue
        said = {}
        for kind, function in {**own, **functions}.items():
            started = time.process_time()
            said[kind] = function(image)
            seconds[kind].append(time.process_time() - started)
        score, whole = -said["a score"][0], said["a map"][0] / threshold
        pvalue = (1 + (-model[1].calibration_scores_ >= score).sum()) / (
            1 + len(model[1].calibration_scores_)
        )
        for kind in functions:
            found = [value[0] for value in said[kind]]
            differences[kind].append(
                (
                    abs(found[0] / (score / threshold) - 1),
                    np.max([np.nanmax(abs(one - whole)) for one in found[3:]], initial=0)
                    / np.nanmax(whole),
                    found[2] != (score > threshold),
                    abs(found[1] - pvalue) > 1e-6,
                )
            )
    times = {
        kind: "{:.0f} ms, {:.0f}".format(*1e3 * np.percentile(taken[WARM_UP:], (50, 95)))
        for kind, taken in seconds.items()
    }
    print(f"  {n_copies} copies of training images")
    for kind in own:
        print(f"  skpatch, {kind}: {times[kind]}")
    for kind, found in differences.items():
        score, whole, verdicts, pvalues = zip(*found, strict=True)
        print(
            f"  {kind}: scores {max(score):.1e}, maps {max(whole):.1e}, {sum(verdicts)} verdicts "
            f"and {sum(pvalues)} p-values differ; {times[kind]}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", help="Folder; repeatable.")
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--image-size", type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    for folder in arguments.data or [None]:
        if folder is None:
            name, sets = "solar cells", of_solar_cells(arguments.train, arguments.images)
        else:
            name = Path(folder).name
            sets = of_folder(folder, arguments.train, arguments.images)
        compare(name, *sets, arguments.image_size or "auto")


if __name__ == "__main__":
    main()
