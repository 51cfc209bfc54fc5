# SPDX-License-Identifier: BSD-3-Clause
"""Images that a command is given: listed, and all of them decoded once before the work."""

import glob
import os
import sys
from pathlib import Path

from ..datasets.folder import images_to_inspect, read_folder
from ..datasets.layouts import LAYOUTS
from ..datasets.listing import list_folder, natural_key
from ..images.collection import ImageList
from ..runtime.text import say, shown
from ..runtime.threads import execution, progress, thread_pool

__all__ = [
    "all_images",
    "common_folder",
    "images_to_score",
    "named_inputs",
    "readable_images",
    "training_images",
]


def named_inputs(given):
    """Paths that a user names: "-" is a list of them on standard input, patterns are looked up."""
    names = []
    for one in given:
        names += [line.rstrip("\r\n") for line in sys.stdin] if one == "-" else [one]
    found = []
    for name in filter(None, names):
        # A file may have the name of a pattern.
        is_pattern = not os.path.lexists(name) and glob.has_magic(name)
        matches = glob.glob(name, recursive=True) if is_pattern else []
        found += sorted(matches, key=natural_key) or [name]
    if not found:
        raise ValueError("Standard input names no file or folder; give one a line.")
    missing = [path for path in found if not os.path.exists(path)]
    if missing:
        listed = "".join(f"\n  {shown(path)}" for path in missing)
        raise FileNotFoundError(f"{len(missing)} of the images and folders do not exist:{listed}")
    return found


def all_images(inputs):
    """Paths of files and of all images in folders, each once, whatever they are of."""
    paths = {}
    for given in inputs:
        is_folder = os.path.isdir(given)
        for path in _join(Path(given), list_folder(given).images) if is_folder else [given]:
            paths.setdefault(os.path.abspath(path), path)
    return list(paths.values())


def training_images(inputs, layout, region=None, quiet=True):
    """Paths of files and of all images to learn from in folders, each once.

    Says which, if not all are. A picture of the region that is inspected, which may lie among them,
    is none of them.
    """
    paths = {}
    for given in inputs:
        found = [given]
        if os.path.isdir(given):
            parts = read_folder(Path(given), layout, without=region)
            _say(parts, "learning from", parts.train, quiet)
            found = _join(Path(given), parts.train)
        for path in found:
            paths.setdefault(os.path.abspath(path), path)
    if region is not None:
        paths.pop(os.path.abspath(region), None)
    return list(paths.values())


def images_to_score(inputs, layout, quiet=True):
    """Paths of files and of all images to inspect in folders, each once.

    Returns
    -------
    paths, unread : list of str
        Those, and what looks like an image in the folders but is of a format that is not read.
    """
    paths, unread = {}, {}
    for given in inputs:
        is_folder = os.path.isdir(given)
        found, others = _in_folder(Path(given), layout, quiet) if is_folder else ([given], [])
        for path in found:
            paths.setdefault(os.path.abspath(path), path)
        for path in others:
            unread.setdefault(os.path.abspath(path), path)
    return list(paths.values()), [path for key, path in unread.items() if key not in paths]


def _in_folder(folder, layout, quiet):
    names, parts = images_to_inspect(folder, layout)
    _say(parts, "inspecting", names, quiet)
    return _join(folder, names), _join(folder, parts.unread)


def _join(folder, names):
    return [str(folder / name) for name in names]


def _say(parts, what, names, quiet):
    """Say what a folder's layout is, and what of it is used."""
    if parts.layout == "plain" or quiet:
        return
    others = parts.summary(without=names)
    where = os.path.commonpath([os.path.dirname(name) for name in names])
    say(
        f"Layout {LAYOUTS[parts.layout].title}: {what} {len(names)} images"
        f"{f' in {shown(where)}' if where else ''}"
        f"{f'; {others} are left alone' if others else ''}."
    )


def common_folder(inputs):
    """Absolute folder that holds all given files and folders."""
    folders = [path if os.path.isdir(path) else os.path.dirname(path) for path in inputs]
    return os.path.commonpath([os.path.abspath(folder) for folder in folders])


def readable_images(paths, *, skip_bad, quiet, jobs, intensity_range, grid=(1, 1), at_least=1):
    """Decode all images; return the paths of the good ones.

    Parameters
    ----------
    paths : list of str
    skip_bad : bool
        Whether to print the bad ones, instead of raising an error that lists them.
    quiet : bool
        Whether to show no progress bar.
    jobs : int or None
        Number of threads.
    intensity_range : (black, white), "auto" or None
        Of images that are not 8-bit.
    grid : tuple (h, w)
        Patches of an image, which must not have fewer pixels.
    at_least : int
        Number of images that the command needs.
    """
    reasons = _decode_all(ImageList(paths, intensity_range), grid, quiet, jobs)
    good = [path for path, reason in zip(paths, reasons, strict=True) if reason is None]
    n_bad = len(paths) - len(good)
    listed = "".join(
        f"\n  {shown(path)}: {reason}"
        for path, reason in zip(paths, reasons, strict=True)
        if reason is not None
    )
    if n_bad and not skip_bad:
        raise ValueError(
            f"{n_bad} of {len(paths)} images cannot be used:{listed}\n"
            "Repair or remove them, or pass --skip-bad to go on without them."
        )
    if n_bad:
        say(f"Skipped {n_bad} of {len(paths)} images:{listed}", sys.stderr)
    if len(good) < at_least:
        left = f" left of {len(paths)}" if n_bad else ""
        raise ValueError(
            f"Found {len(good)} image{'s' * (len(good) != 1)}{left}, while at least {at_least} "
            "are needed."
        )
    return good


def _decode_all(images, grid, quiet, jobs):
    """Why each image cannot be used; None for the good ones."""

    def decode(index):
        try:
            images.check_size(index, images.load(index).shape[:2], grid)
        except (OSError, ValueError, TypeError) as error:
            return _reason(error, images.name(index))
        return None

    with (
        execution(None, not quiet),
        progress(len(images), "reading images") as bar,
        thread_pool(jobs) as pool,
    ):
        reasons = []
        for reason in pool.map(decode, range(len(images))):
            reasons.append(reason)
            bar.update()
    return reasons


def _reason(error, path):
    """What a message says about an image, without its path."""
    text = str(error)
    for prefix in (f"The image file {path!r} ", f"{path!r} ", f"{shown(path)} "):
        text = text.removeprefix(prefix)
    return shown(text)
