# SPDX-License-Identifier: BSD-3-Clause
"""Seconds to build each network of torchvision's classifiers, and the layers that are chosen.

    python benchmarks/networks.py [name ...]

Processor time from the name to the network up to its layers, without values of its weights, which
a file gives: those who ask for random ones wait for torchvision's initialisation, the second time.
"""

import contextlib
import io
import sys
import time
import warnings

import torch
from torchvision import models

from skpatch import PatchFeatureExtractor


def built(name):
    """The layers of a network or why it is refused, seconds without weights and for random ones."""
    extractor = PatchFeatureExtractor(backbone=name, weights=None, n_scales=1)
    started, initialised = time.process_time(), 0.0
    try:
        load, learned = extractor._plan(0, None, lambda *_: ((224, 224), 1))
    except ValueError as error:
        found = str(error).partition(";")[0]
    else:
        found = " ".join(learned["layers_"])
        initialised = -time.process_time()
        load(learned["model_"])
        initialised += time.process_time()
    return found, time.process_time() - started - initialised, initialised


def main():
    torch.set_num_threads(1)
    # What torch loads when it is first used.
    built("resnet18")
    for name in sys.argv[1:] or models.list_models(module=models):
        said = io.StringIO()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                found, seconds, initialised = built(name)
        print(f"{name:22} {seconds:5.2f} {initialised:6.2f} s  {found}")
        for words in (*map(str, (one.message for one in warned)), said.getvalue()):
            print(words, end="\n" if words else "")


if __name__ == "__main__":
    main()
