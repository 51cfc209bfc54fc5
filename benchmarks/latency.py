# SPDX-License-Identifier: BSD-3-Clause
"""One image at a time, as a camera gives them: how long a score and a map take.

    python benchmarks/latency.py --engines torch openvino --image-size 224

A model with default settings of 200 photographs of solar cells; then such photographs, 300 x 300
pixels, one after the other, in memory already. For each image, in turns: the network alone, on
pixels of its input's size; the features; the score; the map. Medians in milliseconds of wall time,
what they are in units of the network alone, and the 95th percentile in units of the median, of all
images and of the normal half. The first three images warm up.
"""

import argparse
import time
import warnings
from functools import partial

import numpy as np
import torch
from _common import split_cells
from PIL import Image

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline

WARM_UP = 3


def pixels_of(path, size=None):
    """Pixels (height, width, 3) of a photograph, perhaps resized."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        return np.array(image if size is None else image.resize(size[::-1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", nargs="+", default=["torch"])
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--coreset-size", type=int)
    parser.add_argument("--image-size", type=int)
    arguments = parser.parse_args()
    # Of cells without bus bars, which are unlike the others.
    warnings.simplefilter("ignore", UserWarning)
    train, test, is_defective = split_cells(arguments.train, 100)
    stream = [pixels_of(path) for path in test]
    model = make_pipeline(
        PatchFeatureExtractor(image_size=arguments.image_size or "auto"),
        SoftPatchDetector(coreset_size=arguments.coreset_size or "auto", random_state=0),
    ).fit([pixels_of(path) for path in train])
    extractor, detector = model[0], model[1]
    size = extractor.image_size_
    print(f"input {size}, bank {len(detector.memory_bank_)}, {torch.get_num_threads()} threads")
    sized = [pixels_of(path, size) for path in test]
    for engine in arguments.engines:
        extractor.set_params(engine=engine)
        network = extractor._steps().maps
        inputs = [torch.from_numpy(image)[None].permute(0, 3, 1, 2) for image in sized]
        with torch.inference_mode():
            network(inputs[0])
        steps = {
            "network": partial(run, network, inputs),
            "features": lambda index: extractor.transform(stream[index : index + 1]),
            "score": lambda index: model.score_samples(stream[index : index + 1]),
            "map": lambda index: model.predict_map(stream[index : index + 1]),
        }
        seconds = {name: [] for name in steps}
        for number in range(WARM_UP + arguments.images):
            for name, step in steps.items():
                started = time.perf_counter()
                step(number % len(stream))
                seconds[name].append(time.perf_counter() - started)
        normal = ~np.resize(is_defective, len(seconds["network"]))[WARM_UP:].astype(bool)
        alone = np.median(seconds["network"][WARM_UP:])
        for name, taken in seconds.items():
            taken = np.array(taken[WARM_UP:])
            median = np.median(taken)
            slow = np.quantile(taken, 0.95) / median
            slow_normal = np.quantile(taken[normal], 0.95) / np.median(taken[normal])
            print(
                f"{engine:>9} {name:9}{1e3 * median:7.1f} ms  x {median / alone:4.2f}  "
                f"p95 x {slow:4.2f}, normal x {slow_normal:4.2f}",
                flush=True,
            )


@torch.inference_mode()
def run(network, inputs, index):
    """Maps of an image."""
    return network(inputs[index])


if __name__ == "__main__":
    main()
