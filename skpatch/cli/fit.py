# SPDX-License-Identifier: BSD-3-Clause
"""The commands that save a model: fit, and update without the images of before."""

import os
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


def run_update(
    *, model, decisions, add, output, force, quiet, layout, weights, device, engine, jobs, skip_bad
):
    """Forget, add and trust training images, and save the model."""
    started = time.monotonic()
    check_free(output, ".skpatch", "--output", force)
    decided = {} if decisions is None else read_decisions(decisions)
    inputs = named_inputs(add) if add else []
    added = training_images(inputs, layout, quiet=quiet)
    os.stat(model)
    say_progress(f"Reading {shown(model)}{f' and {len(added)} images' if added else ''} ...", quiet)
    model = load_pipeline(model, weights, device, engine, jobs)
    model[1].set_params(verbose=not quiet)
    names, n_known = getattr(model, "image_names_", None), len(model[1].forgotten_images_)
    found = numbers_by_decision(decided, decisions, names, added)
    _check_left(model, found["normal"])
    forgotten = [number for number in found["defect"] if number < n_known]
    wanted = [path for i, path in enumerate(added) if n_known + i not in found["defect"]]
    if wanted:
        wanted = readable_images(
            wanted,
            skip_bad=skip_bad,
            quiet=quiet,
            jobs=jobs,
            intensity_range=model[0].intensity_range_,
            grid=model[0].grid_size_,
        )
    trusted = _change(model, forgotten, wanted, {*found["normal"]}, added)
    if not quiet:
        say(
            f"{len(forgotten)} images forgotten, {len(wanted)} added, {trusted} trusted; "
            f"{len(found['unsure'])} are unsure."
        )
    _save(model, output, started, quiet)


def _check_left(model, numbers):
    """Raise for images that are normal now, but were forgotten."""
    is_gone = model[1].forgotten_images_
    gone = [model.image_names_[i] for i in numbers if i < len(is_gone) and is_gone[i]]
    if gone:
        raise ValueError(
            f"{len(gone)} images that are decided to be normal were forgotten by an earlier "
            f"update, and the model knows nothing of them any more: {listed(gone)}. Add them again "
            "with --add, under another name, or fit again."
        )


def _change(model, forgotten, wanted, normal, added):
    """Forget, add and trust images of a model; how many are trusted.

    Parameters
    ----------
    model : PatchPipeline
    forgotten : list of int
    wanted : list of str
        Paths of images to add.
    normal : set of int
        Images to trust, of which those to add are numbered on as in `added`.
    added : list of str
        Paths of all images that could have been added.
    """
    names, n_before = getattr(model, "image_names_", None), len(model[1].forgotten_images_)
    if forgotten:
        model.forget(forgotten)
    trusted = [number for number in normal if number < n_before]
    if wanted:
        model.partial_fit(wanted)
        if names is not None:
            # With the name of their folder, or those of several days would be the same.
            above = os.path.dirname(common_folder(added))
            model.image_names_ = names + [os.path.relpath(path, above) for path in wanted]
        trusted += [
            n_before + i for i, path in enumerate(wanted) if n_before + added.index(path) in normal
        ]
    if trusted:
        model.trust(trusted)
    return len(trusted)


def _save(model, output, started, quiet):
    """Save a model as the library has it by default, wherever it is loaded, and say what it is."""
    from ..persistence import save
    from .info import print_model

    model[0].set_params(device="auto", n_jobs=None, verbose=False)
    model[1].set_params(device="cpu", verbose=False)
    save(model, output)
    if not quiet:
        print_model(output, seconds=f"{time.monotonic() - started:.1f}")
