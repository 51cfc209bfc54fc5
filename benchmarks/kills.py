# SPDX-License-Identifier: BSD-3-Clause
"""Kill commands at random moments: each output stays the old file or is a complete new one.

    python benchmarks/kills.py
    python benchmarks/kills.py --kills 20 --seed 1

Processes of fit, audit and score, whose outputs exist from an earlier run with other settings, get
SIGKILL. One of three moments is uniform over a whole run, the others over the time from the first
temporary file to the last. A file counts as new if it is that of a run which nobody killed,
byte for byte but for the date in a report; everything else that is not the old file is broken.
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from PIL import Image

from skpatch.datasets import make_contaminated_images

PROGRAM = "import sys; from skpatch.cli import main; sys.exit(main())"
TRAINING = ["photos", "--image-size", "64", "--quiet"]
# What each command is given, for the old outputs and for the new ones.
OLD, NEW = ["--contamination", "0.2"], ["--contamination", "0.1"]
SCORING = ["-o", "out/scores.csv", "--maps", "out/maps", "--report", "out/r.html", "--quiet"]
COMMANDS = {
    "fit": [["fit", *TRAINING, "-o", "out/model.skpatch", *given] for given in (OLD, NEW)],
    "audit": [
        ["audit", *TRAINING, "-o", "out/report.html", "--csv", "out/ranking.csv", *given]
        for given in (OLD, NEW)
    ],
    "score": [["score", model, "photos", *SCORING] for model in ("old.skpatch", "new.skpatch")],
}
TEMPORARY = ".skpatch-*"
COLUMNS = ["seconds", "kills", "ended before", "all old", "both", "all new"]
COLUMNS += ["temporary left", "broken"]


def make_photographs(folder):
    (folder / "photos").mkdir()
    data = make_contaminated_images(n_normal=27, n_defective=3, image_size=64, random_state=0)
    for index, image in enumerate(data.images):
        Image.fromarray(image).save(folder / "photos" / f"{index}.png")


def make_models(folder):
    """Save the models that the old and the new scores come from."""
    for name, given in (("old", OLD), ("new", NEW)):
        start(["fit", *TRAINING, "-o", f"{name}.skpatch", *given], folder).wait()


def start(arguments, folder):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], cwd=folder)


def contents(out):
    """Bytes of the files in a folder by name, without temporary ones and the dates of reports."""
    return {
        str(path.relative_to(out)): re.sub(rb"<time .*?</time>", b"", path.read_bytes())
        for path in out.rglob("*")
        if path.is_file() and not path.match(TEMPORARY)
    }


def watch(process, out, seconds=float("inf")):
    """Wait for the first temporary file, the end of the process or some seconds."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds and process.poll() is None:
        if next(out.rglob(TEMPORARY), None) is not None:
            return
        time.sleep(0.001)


def complete_run(arguments, folder):
    """Outputs of a run, its seconds, and those from the first temporary file to the last."""
    out, begun = folder / "out", time.monotonic()
    process = start(arguments, folder)
    watch(process, out)
    first = last = time.monotonic()
    while process.poll() is None:
        if next(out.rglob(TEMPORARY), None) is not None:
            last = time.monotonic()
        time.sleep(0.001)
    if process.returncode != 0:
        raise RuntimeError(f"skpatch {' '.join(arguments)} failed")
    return contents(out), time.monotonic() - begun, last - first


def killed_run(arguments, folder, moment, is_writing):
    """Kill a run some seconds after its start or its first temporary file; whether it had ended."""
    process = start(arguments, folder)
    if is_writing:
        watch(process, folder / "out")
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait() == 0


def judge(found, old, new):
    """Names of the files that are neither the old nor the new ones, and how many are new."""
    broken = [name for name in old if found.get(name) not in (old[name], new[name])]
    broken += [name for name in found if name not in old]
    return broken, sum(found.get(name) == new[name] for name in old)


def kill_command(name, kills, folder, draw):
    """Kill runs of a command; count what became of them, and print what broke."""
    out, kept = folder / "out", folder / f"old-{name}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    earlier, arguments = COMMANDS[name]
    old, *_ = complete_run(earlier, folder)
    shutil.copytree(out, kept)
    new, seconds, writing = complete_run(arguments, folder)
    counts = Counter(seconds=round(seconds, 1), kills=kills)
    for number in range(kills):
        shutil.rmtree(out)
        shutil.copytree(kept, out)
        is_writing = number % 3 > 0
        moment = draw.uniform(0, writing if is_writing else seconds)
        counts["ended before"] += killed_run(arguments, folder, moment, is_writing)
        broken, n_new = judge(contents(out), old, new)
        counts["all old" if n_new == 0 else "all new" if n_new == len(old) else "both"] += 1
        counts["temporary left"] += any(out.rglob(TEMPORARY))
        counts["broken"] += bool(broken)
        if broken:
            print(f"{name}, {moment:.3f} s, writing {is_writing}: {broken}", file=sys.stderr)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of all commands together")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    n_broken = 0
    with tempfile.TemporaryDirectory() as folder:
        make_photographs(Path(folder))
        make_models(Path(folder))
        print("command", *COLUMNS, sep="  ")
        for index, name in enumerate(COMMANDS):
            kills = arguments.kills * (index + 1) // 3 - arguments.kills * index // 3
            counts = kill_command(name, kills, Path(folder), draw)
            cells = [f"{counts[column]:>{len(column)}}" for column in COLUMNS]
            print(f"{name:7}", *cells, sep="  ", flush=True)
            n_broken += counts["broken"]
    sys.exit(n_broken > 0)


if __name__ == "__main__":
    main()
