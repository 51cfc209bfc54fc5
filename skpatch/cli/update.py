# SPDX-License-Identifier: BSD-3-Clause
"""The command that takes decisions, and more images, over into a saved model."""

import os
import time
from typing import NamedTuple

from ..console.decisions import numbers_by_decision, read_decisions
from ..console.inputs import common_folder, named_inputs, readable_images, training_images
from ..console.output import check_free
from ..runtime.stages import Stages
from ..runtime.text import listed, say
from .fit import save_model
from .loading import load_pipeline

__all__ = ["run_update"]


def run_update(*, model, decisions, add, output, force, quiet, layout, jobs, skip_bad, **options):
    """Forget, add and trust training images, and save the model."""
    started = time.monotonic()
    check_free(output, ".skpatch", "--output", force)
    decided = {} if decisions is None else read_decisions(decisions)
    inputs = named_inputs(add) if add else []
    added = training_images(inputs, layout, quiet=quiet)
    os.stat(model)
    stages = Stages(2, quiet)
    with stages.begin(f"reading the model{f' and {len(added)} images' if added else ''}"):
        model = load_pipeline(model, jobs=jobs, **options)
        model[1].set_params(verbose=not quiet)
        plan = _plan(model, decided, decisions, added)
        if plan.wanted:
            wanted = readable_images(
                plan.wanted,
                skip_bad=skip_bad,
                quiet=quiet,
                jobs=jobs,
                intensity_range=model[0].intensity_range_,
                grid=model[0].grid_size_,
            )
            plan = plan._replace(wanted=wanted)
    with stages.begin("updating the model"):
        n_trusted = _follow(model, plan, added)
    if not quiet:
        say(
            f"{len(plan.forgotten)} forgotten, {len(plan.wanted)} added, {n_trusted} trusted, "
            f"{plan.n_unsure} unsure."
        )
    save_model(model, output, started, quiet)


class _Plan(NamedTuple):
    """What an update does, beyond what was done before."""

    # Numbers of training images.
    forgotten: list[int]
    trusted: list[int]
    # Paths of new images: those to learn from, those of them to trust, and defects.
    wanted: list[str]
    normal: set[str]
    defects: set[str]
    n_unsure: int


def _plan(model, decided, decisions, added):
    """Find the images of decisions among those of a model, those left out, and new ones."""
    detector, out = model[1], model.left_out_names_
    n_known, names = len(detector.forgotten_images_), getattr(model, "image_names_", None)
    first = n_known + len(out)
    names = names if names is None else names + out
    found = numbers_by_decision(decided, decisions, names, added)
    old = {kind: [i for i in numbers if i < first] for kind, numbers in found.items()}
    new = {
        kind: {added[i - first] for i in numbers if i >= first} for kind, numbers in found.items()
    }
    is_gone = [*detector.forgotten_images_, *[True] * len(out)]
    gone = [names[i] for i in old["normal"] if is_gone[i]]
    if gone:
        raise ValueError(
            f"{len(gone)} images that are decided to be normal were forgotten or left out before, "
            f"and the model knows nothing of them: {listed(gone)}. Add them with --add, from a "
            "folder of another name, or fit again."
        )
    again = sorted(set(_names_to_add(added).values()).intersection(names or ()))
    if again:
        raise ValueError(
            f"The model knows {len(again)} images by the names of those to add, and could not tell "
            f"them apart: {listed(again)}. Give the folder that holds them another name."
        )
    return _Plan(
        forgotten=[i for i in old["defect"] if not is_gone[i]],
        trusted=[i for i in old["normal"] if not detector.declared_normal_[i]],
        wanted=[path for path in added if path not in new["defect"]],
        normal=new["normal"],
        defects=new["defect"],
        n_unsure=len(found["unsure"]),
    )


def _names_to_add(paths):
    """Names of new images by their paths: from above their folder, or all days were the same."""
    above = os.path.dirname(common_folder(paths)) if paths else ""
    return {path: os.path.relpath(path, above) for path in paths}


def _follow(model, plan, added):
    """Forget, add and trust images of a model; how many are trusted."""
    if plan.forgotten:
        model.forget(plan.forgotten)
    n_known, names = len(model[1].forgotten_images_), getattr(model, "image_names_", None)
    if plan.wanted:
        model.partial_fit(plan.wanted)
    if names is not None:
        known = _names_to_add(added)
        model.image_names_ = names + [known[path] for path in plan.wanted]
        model.left_out_names_ += [known[path] for path in added if path in plan.defects]
    trusted = plan.trusted + [
        n_known + i for i, path in enumerate(plan.wanted) if path in plan.normal
    ]
    if trusted:
        model.trust(trusted)
    return len(trusted)
