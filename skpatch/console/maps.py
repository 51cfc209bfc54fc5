# SPDX-License-Identifier: BSD-3-Clause
"""Heat maps that a command writes: where they go, and that nothing is in the way."""

import os
import re
from functools import partial
from pathlib import Path

from .. import __version__
from ..runtime.files import check_length, remove_abandoned, replaced_file, replacing
from ..runtime.text import score_text
from .output import check_replaced, is_written

__all__ = ["make_folders", "map_places", "write_maps"]

# What the name of a heat map has before that of its image: rank and score.
_NAMED = re.compile(r"\d+_[\d.]+_(.+)", re.DOTALL)


def map_places(maps, paths, root, inputs):
    """Where each heat map goes, by the path of its image, before rank and score are known.

    Nothing that was given is in the way.
    """
    if not maps.absolute().parent.is_dir():
        raise FileNotFoundError(f"--maps={str(maps)!r}: its parent folder does not exist.")
    if maps.exists() and not maps.is_dir():
        raise NotADirectoryError(f"--maps={str(maps)!r} is a file.")
    if not os.access(maps if maps.exists() else maps.absolute().parent, os.W_OK):
        raise PermissionError(f"--maps={str(maps)!r} cannot be written to.")
    places = {path: maps / _as_png(os.path.relpath(os.path.abspath(path), root)) for path in paths}
    names = (place.name for place in places.values())
    longest = max(names, key=lambda name: len(os.fsencode(name)), default="")
    check_length(maps.absolute().parent / _file_name(len(paths), len(paths), 1.00001, longest))
    lowest = {os.path.realpath(folder) for folder in {place.parent for place in places.values()}}
    above = {str(parent) for folder in lowest for parent in _upwards(folder)}
    if not above.isdisjoint(map(os.path.realpath, inputs)):
        raise ValueError(
            f"--maps={str(maps)!r} would put heat maps among the images to inspect; give "
            "another folder."
        )
    for folder in _folders(places.values(), maps):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(
                f"--maps={str(maps)!r}: {str(folder)!r} is a file, and heat maps need a folder of "
                "that name; give another folder."
            )
    return places


def _as_png(name):
    """Name of an image with the ending of a heat map: a.jpg and a.png may lie side by side."""
    return name if name.lower().endswith(".png") else f"{name}.png"


def _file_name(rank, n_images, score, name):
    """Name by which a file manager puts the worst first."""
    return f"{rank:0{len(str(n_images))}d}_{score_text(score)}_{name}"


def _folders(places, maps):
    """Folders that heat maps go to, from `maps` down."""
    lowest = {place.parent for place in places}
    return {folder for path in lowest for folder in _upwards(path) if folder.is_relative_to(maps)}


def _upwards(folder):
    """A folder and all around it."""
    return Path(folder), *Path(folder).parents


def make_folders(places, maps):
    """Make the folders of heat maps, and remove what killed processes left in them."""
    # One by one, since a call that makes all folders above fails where they are very deep.
    for folder in sorted(_folders(places.values(), maps)):
        folder.mkdir(exist_ok=True)
        remove_abandoned(folder)


def write_maps(inspection, places, pool, force):
    """Write the heat map of each image on a pool of threads; earlier ones of them are replaced."""
    n_images = len(inspection.ranking)
    targets = {}
    for rank, index in enumerate(inspection.ranking.tolist(), 1):
        place = places[inspection.names[index]]
        name = _file_name(rank, n_images, inspection.scores[index], place.name)
        targets[index] = place.with_name(name)
    for target in targets.values():
        replaced_file(str(target), "--maps")
        if not force:
            check_replaced(target, ".png", "--maps")
    list(pool.map(partial(_write_map, inspection), targets, targets.values()))
    _remove_earlier(set(places.values()), set(targets.values()))


def _write_map(inspection, index, target):
    """Write the heat map of one image; the file says what its colours mean."""
    from PIL.PngImagePlugin import PngInfo

    from ..inspection.heat import TOP

    mark = PngInfo()
    mark.add_text("Software", f"skpatch {__version__}")
    score = score_text(inspection.scores[index])
    mark.add_text("Description", f"Score {score}; 1 = threshold, outlined; colours up to {TOP:g}")
    with replacing(target, sweep=False) as file:
        inspection.overlay(index).save(file, "PNG", pnginfo=mark)


def _remove_earlier(places, targets):
    """Remove heat maps of the same images with the rank and score of an earlier run."""
    for folder in {place.parent for place in places}:
        for file in folder.iterdir():
            named = _NAMED.fullmatch(file.name)
            is_earlier = named and folder / named[1] in places and file not in targets
            if is_earlier and is_written(file, ".png"):
                file.unlink()
