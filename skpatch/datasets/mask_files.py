# SPDX-License-Identifier: BSD-3-Clause
"""Which image files are masks, and of which images, told by their paths.

Paths are those from a folder, with slashes.
"""

import os
import re
from collections import defaultdict
from functools import lru_cache

__all__ = ["assign_masks", "find_masks", "is_neutral"]

_FOLDER = re.compile(
    r"ground[ _-]?truths?|gt|masks?|labels?|annotations?|segs?|segmentations?|"
    r"segmentation(class|object)|(.*[ ._-])?(ground[ _-]?truths?|gt|masks)([ ._-].*)?",
    re.IGNORECASE,
)
# These make no difference to which image a mask belongs to.
_NEUTRAL = re.compile(
    rf"|data|images?|imgs?|jpegimages|rgb|test(_public)?|{_FOLDER.pattern}", re.IGNORECASE
)
# Names of files, without their ending.
_AFTER = re.compile(
    r"((?P<stem>.+)([ _.-]|(?<=[0-9])))?"
    r"((ground[_-]?truth|gt|masks?)([ _-]?\d+)?|labels?|seg(mentation)?)",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"(ground[_-]?truth|gt|masks?|labels?|seg(mentation)?)[ _.-](?P<stem>.+)", re.IGNORECASE
)
_PHOTOGRAPHS = (".jpg", ".jpeg", ".jpe", ".jfif")


def find_masks(names):
    """Images that are masks by their names.

    Parameters
    ----------
    names : list of str
        All images of a folder.

    Returns
    -------
    masks, twins : list of str
        All of them, and those that are known by nothing else than having the name of a photograph
        beside them: PNG files beside JPEG files.
    """
    paths = [os.path.splitext(name) for name in names]
    photographs = {path for path, ending in paths if ending.lower() in _PHOTOGRAPHS}
    keys = {_key(path) for path, _ in paths}
    masks, twins = [], []
    for name, (path, ending) in zip(names, paths, strict=True):
        if _is_mask(path, keys):
            masks.append(name)
        elif ending.lower() == ".png" and path in photographs:
            masks.append(name)
            twins.append(name)
    return masks, twins


def _is_mask(path, keys):
    """Whether the path of an image, without its ending, is that of a mask."""
    *folders, stem = path.split("/")
    if any(map(_is_mask_folder, folders)) or _AFTER.fullmatch(stem):
        return True
    # Photographs of labels may be numbered, so there has to be an image of the same number.
    return any(key in keys for key in _keys_of_prefixed(path))


@lru_cache
def _is_mask_folder(folder):
    return bool(_FOLDER.fullmatch(folder))


def assign_masks(masks, images):
    """Find the image of each mask.

    Parameters
    ----------
    masks, images : list of str

    Returns
    -------
    assigned : dict of str to list of str
        The masks of each image that has any.
    strays : list of str
        Masks of no image, or of several.
    """
    by_key, by_stem = defaultdict(set), defaultdict(set)
    for name in images:
        path = os.path.splitext(name)[0]
        by_key[_key(path)].add(name)
        by_stem[_key(path)[-1:]].add(name)
    assigned, strays = defaultdict(list), []
    for mask in masks:
        found = next((by_key[key] for key in _possible_keys(mask) if key in by_key), None)
        if found is None:
            # Masks of several folders of images may lie in one.
            found = next(filter(None, (_below(key, by_stem) for key in _possible_keys(mask))), ())
        # Of several images only those that differ in nothing but their endings are one.
        is_clear = len({os.path.splitext(name)[0] for name in found}) == 1
        for name in found if is_clear else ():
            assigned[name].append(mask)
        if not is_clear:
            strays.append(mask)
    return dict(assigned), strays


def _below(key, by_stem):
    """Images of the same name as one of a key, whose folders are among theirs."""
    return {
        name
        for name in by_stem.get(key[-1:], ())
        if set(key[:-1]) <= set(_key(os.path.splitext(name)[0])[:-1])
    }


@lru_cache
def is_neutral(folder):
    """Whether a folder makes no difference to which image a mask belongs to."""
    return bool(_NEUTRAL.fullmatch(folder))


def _key(path):
    """What the paths of an image and its mask have in common; without endings."""
    *folders, stem = path.split("/")
    return (*[folder.lower() for folder in folders if not is_neutral(folder)], stem)


def _possible_keys(mask):
    """Keys of the images that a mask may belong to, the most likely first."""
    path = os.path.splitext(mask)[0]
    folder, stem = os.path.split(path)
    match = _AFTER.fullmatch(stem)
    if match and match["stem"]:
        yield _key(f"{folder}/{match['stem']}")
    yield _key(path)
    yield from _keys_of_prefixed(path)
    # A folder of masks for each image, as in MVTec LOCO AD.
    yield _key(folder)


def _keys_of_prefixed(path):
    """Keys of the images of a mask whose name starts with such a word."""
    folder, stem = os.path.split(path)
    match = _BEFORE.fullmatch(stem)
    if match:
        for start in ("", "image_", "img_"):
            yield _key(f"{folder}/{start}{match['stem']}")
