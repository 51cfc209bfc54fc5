# SPDX-License-Identifier: BSD-3-Clause
"""The commands that save a model: fit, and update without the images of before."""

import os
import shlex
import time

from ..inspection.decisions import numbers_by_decision, read_decisions
from ..runtime.text import listed, say, shown
from .inputs import common_folder, named_inputs, readable_images, training_images
from .loading import load_pipeline
from .output import check_free
from .terminal import say_progress
from .train import list_training, train

__all__ = ["run_fit", "run_update"]


def run_fit(*, images, output, force, quiet, layout, region, decisions, trusted, **options):
    """Learn from images and save the model."""
    started = time.monotonic()
    check_free(output, ".skpatch", "--output", force)
    training = list_training(
        images, layout=layout, region=region, quiet=quiet, decisions=decisions, trusted=trusted
    )
    model, _, _ = train(training, quiet=quiet, region=region, **options)
    _save(model, output, started, quiet)


def run_update(*, model, decisions, add, output, force, quiet, layout, jobs, skip_bad, **options):
    """Forget, add and trust training images, and save the model."""
    started = time.monotonic()
    check_free(output, ".skpatch", "--output", force)
    decided = {} if decisions is None else read_decisions(decisions)
    inputs = named_inputs(add) if add else []
    added = training_images(inputs, layout, quiet=quiet)
    os.stat(model)
    say_progress(f"Reading {shown(model)}{f' and {len(added)} images' if added else ''} ...", quiet)
    model = load_pipeline(model, jobs=jobs, **options)
    model[1].set_params(verbose=not quiet)
    names, n_known = _known_names(model)
    found = numbers_by_decision(decided, decisions, names, added)
    first = n_known + len(model.left_out_names_)
    old = {kind: [i for i in numbers if i < n_known] for kind, numbers in found.items()}
    new = {
        kind: {added[i - first] for i in numbers if i >= first} for kind, numbers in found.items()
    }
    is_gone = [*model[1].forgotten_images_, *[True] * len(model.left_out_names_)]
    _check_left([names[i] for i in found["normal"] if i < first and is_gone[i]])
    wanted = [path for path in added if path not in new["defect"]]
    if wanted:
        wanted = readable_images(
            wanted,
            skip_bad=skip_bad,
            quiet=quiet,
            jobs=jobs,
            intensity_range=model[0].intensity_range_,
            grid=model[0].grid_size_,
        )
    if old["defect"]:
        model.forget(old["defect"])
    trusted = old["normal"] + [
        n_known + number for number, path in enumerate(wanted) if path in new["normal"]
    ]
    if added:
        _add(model, wanted, added, new["defect"])
    if trusted:
        model.trust(trusted)
    if not quiet:
        say(
            f"{len(old['defect'])} forgotten, {len(wanted)} added, {len(trusted)} trusted, "
            f"{len(found['unsure'])} unsure."
        )
    _save(model, output, started, quiet)


def _known_names(model):
    """Names of the training images, then of those left out, and how many the former are."""
    n_known, names = len(model[1].forgotten_images_), getattr(model, "image_names_", None)
    return names if names is None else names + model.left_out_names_, n_known


def _check_left(gone):
    """Raise for images that are normal now, but were taken out."""
    if gone:
        raise ValueError(
            f"{len(gone)} images that are decided to be normal were forgotten or left out before, "
            f"and the model knows nothing of them: {listed(gone)}. Add them with --add, from a "
            "folder of their own, or fit again."
        )


def _add(model, wanted, added, defects):
    """Learn from images too, which are some of those in a folder; the defects in it are noted."""
    # With the name of their folder, or those of several days would be the same.
    above = os.path.dirname(common_folder(added))
    names = getattr(model, "image_names_", None)
    if wanted:
        model.partial_fit(wanted)
    if names is not None:
        model.image_names_ = names + [os.path.relpath(path, above) for path in wanted]
    model.left_out_names_ += [os.path.relpath(path, above) for path in added if path in defects]


def _save(model, output, started, quiet):
    """Save a model as the library has it by default, wherever it is loaded, and say what it is."""
    from ..persistence import save
    from .info import print_model

    model[0].set_params(device="auto", n_jobs=None, verbose=False)
    model[1].set_params(device="cpu", verbose=False)
    save(model, output)
    if not quiet:
        print_model(output, lambda _: {"seconds": f"{time.monotonic() - started:.1f}"})
        say(f"Next: skpatch score {shown(shlex.quote(output))} FOLDER -o scores.csv")
