# SPDX-License-Identifier: BSD-3-Clause
"""Heat maps that a command writes: where they go, and that nothing is in the way."""

import os
from pathlib import Path

from .. import __version__
from ..console.output import check_replaced
from ..runtime.files import check_length, remove_abandoned, replaced_file, replacing
from ..runtime.text import score_text

__all__ = ["make_folders", "map_targets", "write_map"]


def map_targets(maps, paths, root, inputs, force):
    """Where the heat map of each image goes, by its path; nothing that was given is in the way."""
    if not maps.absolute().parent.is_dir():
        raise FileNotFoundError(f"--maps={str(maps)!r}: its parent folder does not exist.")
    if maps.exists() and not maps.is_dir():
        raise NotADirectoryError(f"--maps={str(maps)!r} is a file.")
    if not os.access(maps if maps.exists() else maps.absolute().parent, os.W_OK):
        raise PermissionError(f"--maps={str(maps)!r} cannot be written to.")
    # The ending is added, not replaced: a.jpg and a.png may lie side by side.
    targets = {path: maps / f"{os.path.relpath(os.path.abspath(path), root)}.png" for path in paths}
    names = (target.name for target in targets.values())
    longest = max(names, key=lambda name: len(os.fsencode(name)), default="")
    check_length(maps.absolute().parent / longest)
    real = set(_without_links(targets.values()))
    above = {str(parent) for path in set(map(os.path.dirname, real)) for parent in _upwards(path)}
    if not (real | above).isdisjoint({*map(os.path.realpath, inputs), *_without_links(paths)}):
        raise ValueError(
            f"--maps={str(maps)!r} would put heat maps among the images to inspect; give "
            "another folder."
        )
    folders = _folders(targets.values(), maps)
    for target in targets.values():
        if target in folders or target.is_dir():
            raise IsADirectoryError(
                f"--maps={str(maps)!r}: the heat map {str(target)!r} would have the name of a "
                "folder; give another folder, or inspect its image in a run of its own."
            )
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(
                f"--maps={str(maps)!r}: {str(folder)!r} is a file, and heat maps need a folder of "
                "that name; give another folder."
            )
    for target in targets.values():
        replaced_file(str(target), "--maps")
        if not force:
            check_replaced(target, ".png", "--maps")
    return targets


def _folders(targets, maps):
    """Folders that heat maps go to, from `maps` down."""
    lowest = {target.parent for target in targets}
    return {folder for path in lowest for folder in _upwards(path) if folder.is_relative_to(maps)}


def _upwards(folder):
    """A folder and all around it."""
    return Path(folder), *Path(folder).parents


def _without_links(paths):
    """Yield where files really are; many lie in one folder, which is looked up once."""
    folders = {}
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        path = os.path.join(folders[folder], name)
        yield os.path.realpath(path) if os.path.islink(path) else path


def make_folders(targets, maps):
    """Make the folders of heat maps, and remove what killed processes left in them."""
    # One by one, since a call that makes all folders above fails where they are very deep.
    for folder in sorted(_folders(targets.values(), maps)):
        folder.mkdir(exist_ok=True)
        remove_abandoned(folder)


def write_map(inspection, targets, index):
    """Write the heat map of one image; the file says what its colours mean."""
    from PIL.PngImagePlugin import PngInfo

    from ..inspection.heat import TOP

    mark = PngInfo()
    mark.add_text("Software", f"skpatch {__version__}")
    score = score_text(inspection.scores[index])
    mark.add_text("Description", f"Score {score}; 1 = threshold, outlined; colours up to {TOP:g}")
    with replacing(targets[inspection.names[index]], sweep=False) as file:
        inspection.overlay(index).save(file, "PNG", pnginfo=mark)
