# SPDX-License-Identifier: BSD-3-Clause
"""Damaged image files and models: each must end in a result or in an error that names the file.

    python benchmarks/fuzz.py --inputs 100000 --seed 0
    python benchmarks/fuzz.py --seed 0 --only 4711 --keep damaged
    NUMBA_BOUNDSCHECK=1 python benchmarks/fuzz.py --models

Image files of eight formats and saved models are damaged at random and read as the library reads
them. A violation is any other exception, a warning, a result that contradicts itself, a process
that dies, and more than 10 seconds of computing. Each process may take 1 GB more than it has after
it started; an error that names an image file is no violation then either. Inputs are the same for
the same seed and number, so that one can be repeated with `--only`. With `--models` only models are
read, evenly of all kinds. The exit status is 1 after a violation.
"""

import argparse
import collections
import contextlib
import itertools
import multiprocessing
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from multiprocessing.connection import wait
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from _mutations import Violation
from _mutations_images import damaged_image, image_files, read_damaged_image
from _mutations_models import damaged_model, model_files, use_damaged_model

# How often a kind of input comes. Models with a network or a large bank take longer.
WEIGHTS = {
    "PNG": 40,
    "JPEG": 20,
    "TIFF": 30,
    "deep TIFF": 30,
    "JPEG 2000": 10,
    "BMP": 10,
    "WebP": 16,
    "GIF": 14,
    "PPM": 10,
    "detector": 20,
    "detector of the paper": 15,
    "detector with noise": 10,
    "updated detector": 10,
    "detector with graph": 3,
    "large detector": 1,
    "pipeline": 1,
}
KINDS = [kind for kind, weight in WEIGHTS.items() for _ in range(weight)]
SECONDS = 10
# An input that takes so long by the clock is stopped, since compiled code cannot be interrupted.
SILENCE = 300
MEMORY = 2**30


def make_input(files, seed, number):
    """Kind and bytes of an input."""
    rng = random.Random(f"{seed} {number}")
    # Of models alone, as many of each kind.
    kind = rng.choice(KINDS if files["images"] else list(files["models"]))
    damage = damaged_model if kind in files["models"] else damaged_image
    group = files["models"] if kind in files["models"] else files["images"]
    return kind, damage(group, kind, rng)


def warm_up(files):
    """Use each kind of model once: what is compiled and loaded then must not count."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skpatch"
        for data in itertools.chain(*files["models"].values()):
            path.write_bytes(data)
            use_damaged_model(path)


def work(connection, files, seed, numbers):
    """Read inputs in a process of its own, and say what became of each."""
    # What libraries in C say about damaged files.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGPROF, stop)
    files = pickle.loads(Path(files).read_bytes())
    warm_up(files)
    limit_memory()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "damaged.bin")
        for number in numbers:
            connection.send((number, None, None))
            kind, data = make_input(files, seed, number)
            Path(path).write_bytes(data)
            connection.send((number, kind, judge(path, kind in files["models"])))


def limit_memory():
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))


def stop(*_):
    raise Violation(f"it took more than {SECONDS} seconds")


def judge(path, is_model):
    """Name of the outcome of one input; the text of a violation has several lines."""
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            error = (use_damaged_model if is_model else read_damaged_image)(path)
        if warned:
            raise Violation(f"a warning: {warned[0].message}")
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if error is None:
        return "result"
    return type(error).__name__


class Worker:
    """A process that reads some of the inputs."""

    def __init__(self, files, seed, numbers):
        self.arguments = files, seed
        self.numbers = numbers
        self.current = None
        self.has_ended = False
        self.connection, other = multiprocessing.Pipe()
        # Not a fork, in which the threads of torch would wait for ever.
        self.process = multiprocessing.get_context("spawn").Process(
            target=work, args=(other, files, seed, numbers)
        )
        self.process.start()
        other.close()
        self.heard = time.monotonic()

    def outcomes(self):
        """What it has said since; None as the kind of an input at which it died."""
        try:
            while self.connection.poll():
                number, kind, outcome = self.connection.recv()
                self.heard = time.monotonic()
                self.current = number if outcome is None else None
                if outcome is not None:
                    yield number, kind, outcome
        except EOFError:
            self.process.join()
            self.has_ended = True
            if self.current is not None:
                code = self.process.exitcode
                yield self.current, None, f"\nViolation: the process died, exit code {code}"

    def successor(self):
        """A process for the inputs after the one at which this one died, None without any."""
        if not self.has_ended:
            return self
        if self.current is None:
            return None
        left = self.numbers[self.numbers.index(self.current) + 1 :]
        return Worker(*self.arguments, left) if left else None


def run(files, path, arguments):
    """Read all inputs; returns a counter of (kind, outcome), and the violations by number."""
    numbers = range(arguments.first, arguments.inputs)
    if arguments.only is not None:
        numbers = range(arguments.only, arguments.only + 1)
    workers = [
        Worker(path, arguments.seed, numbers[first :: arguments.jobs])
        for first in range(min(arguments.jobs, len(numbers)))
    ]
    counts, violations = collections.Counter(), {}
    # An interruption ends with the table of what was read until then.
    with contextlib.suppress(KeyboardInterrupt), tqdm(total=len(numbers), mininterval=10) as bar:
        while workers:
            wait([worker.connection for worker in workers], timeout=1)
            for worker in workers:
                for number, kind, outcome in worker.outcomes():
                    bar.update()
                    if kind is None:
                        kind, _ = make_input(files, arguments.seed, number)
                    if "\n" in outcome:
                        violations[number] = outcome
                        tqdm.write(f"{number} ({kind}): {outcome}")
                        outcome = "violation"
                    counts[kind, outcome] += 1
                if worker.current is not None and time.monotonic() - worker.heard > SILENCE:
                    worker.process.kill()
            workers = [successor for worker in workers if (successor := worker.successor())]
    for worker in workers:
        worker.process.kill()
    return counts, violations


def print_table(counts):
    columns = sorted({outcome for _, outcome in counts}, key=lambda name: (name != "result", name))
    print(f"{'kind of input':22}{'number':>8}", *(f"{column:>18}" for column in columns))
    for kind in [*WEIGHTS, "all"]:
        chosen = {
            column: sum(
                count
                for (one, outcome), count in counts.items()
                if outcome == column and kind in (one, "all")
            )
            for column in columns
        }
        numbers = (f"{chosen[column]:18}" for column in columns)
        print(f"{kind:22}{sum(chosen.values()):8}", *numbers)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="where to go on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="the number of a single input")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where violations are saved")
    parser.add_argument("--models", action="store_true", help="no images, and models evenly")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    start = time.perf_counter()
    files = {"images": {} if arguments.models else image_files(), "models": model_files()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "files.pickle"
        path.write_bytes(pickle.dumps(files))
        counts, violations = run(files, path, arguments)
    if arguments.keep and (violations or arguments.only is not None):
        arguments.keep.mkdir(parents=True, exist_ok=True)
        for number in violations or [arguments.only]:
            kind, data = make_input(files, arguments.seed, number)
            (arguments.keep / f"{number} {kind}").write_bytes(data)
    print_table(counts)
    print(f"violations {len(violations)}, seconds {time.perf_counter() - start:.0f}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
