# SPDX-License-Identifier: BSD-3-Clause
"""The command that saves a model of images."""

import shlex
import time

from ..console.output import check_free
from ..runtime.text import say, shown
from .train import list_training, train, training_stages

__all__ = ["run_fit", "save_model"]


def run_fit(*, images, output, force, quiet, layout, region, decisions, trusted, **options):
    """Learn from images and save the model."""
    started = time.monotonic()
    check_free(output, ".skpatch", "--output", force)
    training = list_training(
        images, layout=layout, region=region, quiet=quiet, decisions=decisions, trusted=trusted
    )
    stages = training_stages(quiet, options["memory_limit"])
    model, _, _ = train(training, stages, quiet=quiet, region=region, **options)
    save_model(model, output, started, quiet)


def save_model(model, output, started, quiet):
    """Save a model as the library has it by default, wherever it is loaded, and say what it is."""
    from ..persistence import save
    from .info import print_model

    model[0].set_params(device="auto", n_jobs=None, verbose=False)
    model[1].set_params(device="cpu", verbose=False)
    save(model, output)
    if not quiet:
        print_model(output, lambda _: {"seconds": f"{time.monotonic() - started:.1f}"})
        say(f"Next: skpatch score {shown(shlex.quote(output))} FOLDER -o scores.csv")
