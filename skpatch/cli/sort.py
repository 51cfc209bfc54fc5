# SPDX-License-Identifier: BSD-3-Clause
"""The command that sorts images into folders, as was decided."""

import os
import shutil

from ..console.decisions import DECISIONS, numbers_by_decision, read_decisions
from ..console.inputs import all_images, common_folder, named_inputs
from ..runtime.text import listed, say, shown

__all__ = ["run_sort"]


def run_sort(*, images, decisions, target, move):
    """Copy or move images into a folder for each decision; nothing is overwritten."""
    decided = read_decisions(decisions)
    inputs = named_inputs(images)
    root, paths = common_folder(inputs), all_images(inputs)
    names = [os.path.relpath(path, root) for path in paths]
    found = numbers_by_decision(decided, decisions, names, folder=root)
    moves = {
        paths[number]: target / kind / names[number] for kind in DECISIONS for number in found[kind]
    }
    _check_targets(target, moves.values(), root)
    for source, place in moves.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        # Another process may have put something there since.
        with open(source, "rb") as original, open(place, "xb") as copy:
            shutil.copyfileobj(original, copy)
        shutil.copystat(source, place)
        if move:
            os.unlink(source)
    for kind in DECISIONS:
        if found[kind]:
            say(f"{'Moved' if move else 'Copied'} {len(found[kind])} to {shown(target / kind)}")
    if left := len(paths) - len(moves):
        say(f"{left} without a decision stay where they are.")


def _check_targets(target, places, root):
    """Raise before anything is copied if there is something in the way."""
    if os.path.commonpath([os.path.realpath(target), os.path.realpath(root)]) == os.path.realpath(
        root
    ):
        raise ValueError(
            f"--to={str(target)!r} lies among the images, of which there would be two then; give a "
            "folder beside them."
        )
    taken = [str(place) for place in places if os.path.lexists(place)]
    if taken:
        raise FileExistsError(
            f"{len(taken)} files are there already, and none is replaced: {listed(taken)}. Give "
            "another folder with --to."
        )
