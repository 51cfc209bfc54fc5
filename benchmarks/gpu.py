# SPDX-License-Identifier: BSD-3-Clause
"""skpatch on a GPU: its tests, equality with the CPU on real features, and times beside the CPU's.

    python benchmarks/gpu.py

One call on a bare machine, for at most eight minutes: what is missing is installed into an
environment of its own, which sees a torch that is there already. Each line is printed as soon as it
is known, and what there is no time left for is named. ``--device cpu`` runs everything on the CPU,
to try the script where there is no GPU.

Images are photographs of solar cells; networks other than the default have random weights. TF32 is
off where numbers are compared, and torch's default otherwise. The plain loops are what a user would
write: the network on batches that are there already, and a greedy coreset of one pass a pick.
Times are medians of three in turns, after one that warms up.
"""

import argparse
import copy
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import venv
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("torch", "torchvision", "sklearn", "numba", "elpv_dataset", "pytest", "xdist")
LIMIT = 480
STARTED = time.monotonic()


def install():
    """Go on in an environment that has everything, made if this one lacks something."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not missing:
        sys.path.insert(0, str(ROOT))
        return
    say(f"installing, since {', '.join(missing)} are missing")
    folder = Path(tempfile.gettempdir()) / f"skpatch-gpu-{os.getpid()}"
    venv.create(folder, system_site_packages=True, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = (python, "-m", "pip", "install", "-q", "-e", f"{ROOT}[test,demo]")
    subprocess.run(command, check=True)
    sys.exit(subprocess.run([python, *sys.argv, "--spent", str(spent())]).returncode)


def spent():
    """Seconds since the start."""
    return time.monotonic() - STARTED


def say(text):
    """A line with the time."""
    print(f"{spent():6.0f} s  {text}", flush=True)


def run_tests(arguments):
    """The tests that need a GPU."""
    command = (sys.executable, "-m", "pytest", "-q", "-n0", "-m", "gpu", "-rs", str(ROOT / "tests"))
    left = max(1, arguments.limit - spent())
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=left)
    for line in done.stdout.splitlines()[-12:]:
        say(f"tests: {line}")
    return done.returncode


def compare(arguments, images):
    """Largest differences from the CPU, on the same photographs."""
    import numpy as np
    import torch
    from scipy.stats import spearmanr

    from skpatch import ExactNeighbors, LOFDiscriminator, PatchFeatureExtractor, SoftPatchDetector
    from skpatch.bank.coreset import greedy_coreset

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    images, device = images[: arguments.images], arguments.device
    for backbone in ("efficientnet_lite0", "resnet18"):
        weights = "default" if backbone == "efficientnet_lite0" else None
        extractor = PatchFeatureExtractor(
            backbone=backbone, weights=weights, device="cpu", random_state=0
        ).fit(images)
        on_cpu = extractor.transform(images)
        on_device = extractor.set_params(device=device, batch_size=16).transform(images)
        difference = np.abs(on_device - on_cpu).max() / np.abs(on_cpu).max()
        say(f"features of {backbone}: {difference:.1e} of the largest")
        if backbone == "efficientnet_lite0":
            features = on_cpu
    points = features.reshape(-1, features.shape[-1])
    picks = [greedy_coreset(points, len(points) // 10, 0, None, on) for on in ("cpu", device)]
    same = np.mean(picks[0][0] == picks[1][0])
    say(
        f"coreset: {same:.1%} of the picks at the same step, radius {picks[1][1] / picks[0][1]:.6f}"
    )
    bank = points[picks[0][0]]
    found = [ExactNeighbors(device=on).fit(bank).kneighbors(points, 3) for on in ("cpu", device)]
    scale = np.median(found[0][0][:, 1])
    gaps = np.abs(found[1][0] - found[0][0]).max() / scale
    say(f"search: distances within {gaps:.1e}, {np.mean(found[0][1] == found[1][1]):.2%} same rows")
    for model in ("support", LOFDiscriminator(), None):
        on_cpu, there = (
            SoftPatchDetector(discriminator=model, device=on, random_state=0).fit(features)
            for on in ("cpu", device)
        )
        scores = [one.score_samples(features) for one in (on_cpu, there)]
        gap = np.abs(scores[1] - scores[0]).max() / np.abs(scores[0]).max()
        rank, kept = spearmanr(*scores)[0], np.mean(on_cpu.kept_ == there.kept_)
        say(f"fit with {model}: scores within {gap:.1e}, rank {rank:.6f}, {kept:.2%} same kept")


def measure(arguments, images):
    """Images a second of networks, and seconds of fits and scores."""
    import numpy as np
    import torch

    pixels = np.stack([resized(path) for path in images])
    cells = measure_network(arguments, pixels, "efficientnet_lite0", "float32")
    for model in ("support", "lof", None):
        for on in dict.fromkeys(("cpu", arguments.device)):
            measure_detector(arguments, cells, model, on)
    points = torch.from_numpy(cells.reshape(-1, cells.shape[-1])).to(arguments.device)
    size = min(len(points) // 10, 2000)
    seconds = median(lambda: plain_coreset(points, size), arguments, 1)
    say(f"greedy coreset in a plain loop: {1e3 * seconds / size:.2f} ms a pick")
    for backbone, dtype in (
        ("resnet18", "float32"),
        ("wide_resnet50_2", "float32"),
        ("efficientnet_lite0", "bfloat16"),
        ("wide_resnet50_2", "bfloat16"),
    ):
        features = measure_network(arguments, pixels, backbone, dtype)
        if backbone == "wide_resnet50_2" and dtype == "float32" and arguments.device != "cpu":
            measure_detector(arguments, features, "support", arguments.device)


def measure_network(arguments, pixels, backbone, dtype):
    """Images a second from arrays to features, which are returned, and of the network alone."""
    import torch

    from skpatch import PatchFeatureExtractor

    device, number = arguments.device, getattr(torch, dtype)
    extractor = PatchFeatureExtractor(
        backbone=backbone,
        weights="default" if backbone == "efficientnet_lite0" else None,
        dtype=dtype,
        device=device,
        batch_size=2 if device == "cpu" else 64,
        random_state=0,
    ).fit(pixels[:2])
    some = pixels[:8] if device == "cpu" else pixels
    seconds = median(lambda: extractor.transform(some), arguments)
    network = copy.deepcopy(extractor.model_).to(device, number, memory_format=torch.channels_last)
    loop = median(lambda: plain_loop(network, some, extractor.batch_size, device), arguments)
    n = len(some)
    say(f"{backbone} {dtype}: {n / seconds:.0f} images/s, network in a plain loop {n / loop:.0f}")
    return extractor.transform(pixels)


def measure_detector(arguments, features, model, device):
    """Seconds of a fit, and milliseconds of scoring an image."""
    from skpatch import SoftPatchDetector

    detector = SoftPatchDetector(discriminator=model, device=device, random_state=0)
    fit = median(lambda: detector.fit(features), arguments, 1)
    score = median(lambda: detector.score_samples(features), arguments) / len(features)
    n, d = len(features), features.shape[-1]
    say(f"{model} on {device}, d = {d}: fit of {n} {fit:.2f} s, score {1e3 * score:.2f} ms")


def resized(path):
    """Pixels (224, 224, 3) of a photograph."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.array(image.convert("RGB").resize((224, 224)))


def plain_loop(network, pixels, batch_size, device):
    """Maps of a network, batch by batch."""
    import torch

    number = next(network.parameters()).dtype
    with torch.inference_mode():
        for start in range(0, len(pixels), batch_size):
            batch = torch.from_numpy(pixels[start : start + batch_size]).to(device)
            batch = batch.permute(0, 3, 1, 2).to(number) / 255
            [values.float().cpu() for values in network(batch).values()]


def plain_coreset(points, size):
    """Greedy k-centre selection in torch."""
    import torch

    distances = torch.full(points.shape[:1], torch.inf, device=points.device)
    pick, picks = 0, []
    for _ in range(size):
        picks.append(pick)
        distances = torch.minimum(distances, (points - points[pick]).square().sum(1))
        pick = int(distances.argmax())
    return picks


def median(function, arguments, repeats=3):
    """Median seconds, after a call that warms up; once if there is little time left."""
    import torch

    function()
    seconds = []
    for _ in range(repeats if spent() < 0.6 * arguments.limit else 1):
        if arguments.device != "cpu":
            torch.cuda.synchronize()
        started = time.perf_counter()
        function()
        if arguments.device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[len(seconds) // 2]


def main():
    global STARTED
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=64, help="photographs that are compared")
    parser.add_argument("--timed", type=int, default=200, help="photographs that are timed")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds")
    parser.add_argument("--spent", type=float, default=0, help="seconds spent before")
    arguments = parser.parse_args()
    STARTED -= arguments.spent
    install()
    # Of few images.
    warnings.simplefilter("ignore", UserWarning)
    import torch

    from skpatch.datasets import load_elpv

    if arguments.device != "cpu" and not torch.cuda.is_available():
        sys.exit("There is no GPU that torch can use; --device cpu tries the script on the CPU.")
    where = torch.cuda.get_device_name() if arguments.device != "cpu" else "the CPU"
    say(f"torch {torch.__version__} on {where}")
    images = list(load_elpv(kind="mono", grades=[0.0]).images)
    failed = []
    for name, step in (
        ("tests", lambda: run_tests(arguments)),
        ("equality", lambda: compare(arguments, images)),
        ("times", lambda: measure(arguments, images[: arguments.timed])),
    ):
        if spent() > 0.9 * arguments.limit:
            say(f"no time is left for the {name}")
            continue
        try:
            if step():
                failed.append(name)
        except Exception as error:
            # What comes after it may work, and a rented machine is gone soon.
            say(f"{name}: {type(error).__name__}: {error}")
            failed.append(name)
    say(f"failed: {', '.join(failed)}" if failed else "done")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
