# SPDX-License-Identifier: BSD-3-Clause
"""What the network takes per image, plain and as skpatch runs it.

    python benchmarks/engines.py
    python benchmarks/engines.py --busy

One thread, batches of two images of 224 x 224 pixels, given as pixels. "plain" is the network as
torch runs it module by module, the division by mean and standard deviation included. Columns are
milliseconds per image of processor time and by the clock, medians of rounds in turns, and the
largest difference of a map from the plain one, relative to its largest value. Random weights but
for the default network, so that nothing is downloaded. `--busy` has as many other processes as
there are cores count meanwhile.
"""

import argparse
import multiprocessing
import platform
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from skpatch import PatchFeatureExtractor
from skpatch.engines.choosing import is_installed, make_network
from skpatch.engines.network import TorchNetwork
from skpatch.features.steps import by_arrays

_BACKBONES = ("efficientnet_lite0", "resnet18", "wide_resnet50_2", "convnext_tiny")
_SIZE = (224, 224)


def processor():
    """Name of the processor, and which instructions for many numbers at once it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    said = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    flags = set(said.get("flags", "").split())
    has = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{said.get('model name', platform.machine())}: {', '.join(has)}"


def has_bfloat16():
    """Whether bfloat16 pays: without these instructions it is computed in float32, and rounded."""
    return "amx_bf16" in processor() or "avx512_bf16" in processor()


def count():
    while True:
        pass


def plain(extractor):
    """The fitted network, module by module, on normalised pixels."""
    mean, std = (
        torch.tensor(one, dtype=torch.float32).view(3, 1, 1)
        for one in (extractor._mean, extractor._std)
    )
    return lambda pixels: extractor.model_((pixels / 255 - mean) / std)


def engines(extractor):
    """Functions from pixels to maps, by name."""
    given = extractor.model_, _SIZE, extractor._mean, extractor._std
    graph = extractor.model_, extractor.layers_, *given[1:]
    cpu = torch.device("cpu")
    found = {
        "plain": plain(extractor),
        "torch": TorchNetwork(*given, cpu, torch.float32),
    }
    others = [("openvino", "float32"), ("onnx", "float32")]
    if has_bfloat16():
        others.append(("openvino", "bfloat16"))
    for engine, dtype in others:
        if is_installed(engine):
            network = make_network(engine, *graph, cpu, dtype)
            found[f"{engine} {dtype}"] = partial(by_arrays, network)
    return found


def measured(functions, pixels, repeats):
    """Median processor and wall seconds of each function, called in turns."""
    taken = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            function(pixels)
            start = time.process_time(), time.perf_counter()
            function(pixels)
            stop = time.process_time(), time.perf_counter()
            taken[name].append(np.subtract(stop, start))
    return {name: np.median(taken[name], axis=0) for name in functions}


@torch.inference_mode()
def compare(backbone, repeats):
    images = list(np.random.default_rng(0).integers(0, 256, (2, *_SIZE, 3), dtype=np.uint8))
    weights = "default" if backbone == "efficientnet_lite0" else None
    extractor = PatchFeatureExtractor(
        backbone=backbone, weights=weights, n_scales=1, random_state=0
    )
    extractor.fit(images)
    functions = engines(extractor)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    maps = {name: function(pixels) for name, function in functions.items()}
    for name, (cpu, wall) in measured(functions, pixels, repeats).items():
        difference = max(
            float((maps[name][layer] - value).abs().max() / value.abs().max())
            for layer, value in maps["plain"].items()
        )
        milliseconds = f"{cpu / len(images) * 1e3:8.1f} {wall / len(images) * 1e3:8.1f}"
        print(f"{backbone:20} {name:16} {milliseconds}   {difference:.1e}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backbones", nargs="*", default=_BACKBONES)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--busy", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(processor())
    print(f"torch {torch.__version__}, one thread")
    print(f"{'network':20} {'engine':16} {'cpu ms':>8} {'wall ms':>8}   difference")
    busy = []
    if arguments.busy:
        n_cores = multiprocessing.cpu_count()
        busy = [multiprocessing.Process(target=count, daemon=True) for _ in range(n_cores)]
    try:
        for process in busy:
            process.start()
        for backbone in arguments.backbones:
            compare(backbone, arguments.repeats)
    finally:
        for process in busy:
            process.kill()


if __name__ == "__main__":
    main()
