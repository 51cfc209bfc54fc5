# SPDX-License-Identifier: BSD-3-Clause
"""What a folder of images is: training images, test images and masks, told by their paths.

Paths are those from the folder, with slashes. Upper and lower case do not matter in the names of
folders.
"""

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field

__all__ = [
    "LAYOUTS",
    "PLAIN",
    "Parts",
    "check_unlabelled",
    "is_named_normal",
    "is_named_otherwise",
    "is_normal",
    "split",
]

# The way past every message.
PLAIN = "The layout 'plain' takes every image as a training image."


def _words(*names):
    return re.compile("|".join(names), re.IGNORECASE)


# Names of folders.
_NORMAL = _words("good", "ok", "normal")
_DEFECTIVE = _words(
    *("bad", "ko", "nok", "ng", "defect(ive|s)?", "faulty", "anomal(y|ies|ous)", "abnormal")
)
_TRAIN = _words("train(ing)?")
_TEST = _words("tests?", "testing", "test_public", "test_private.*", "val(id|idation)?", "eval.*")
_COLOUR, _DEPTH = _words("rgb"), _words("xyz")
_MASKS = _words(
    *("ground[ _-]?truths?", "gt", "masks?", "labels?", "annotations?"),
    *("segs?", "segmentations?", "segmentation(class|object)"),
)
# These make no difference to which image a mask belongs to.
_NEUTRAL = _words("data", "images?", "imgs?", "jpegimages", "rgb", "test(_public)?", _MASKS.pattern)
# Names of files without their ending.
_MASK = re.compile(
    r"((?P<stem>.+)[ _.-])?((ground[_-]?truth|gt|masks?)([ _-]?\d+)?|labels?|seg(mentation)?)",
    re.IGNORECASE,
)
_PHOTOGRAPHS = (".jpg", ".jpeg", ".jpe", ".jfif")


@dataclass(frozen=True)
class _Layout:
    """A layout, by patterns of what the paths of its images start with."""

    title: str
    # Where training images are, in words.
    place: str
    # Training images, which are normal.
    train: str
    # Others; the group "type" is the folder that says what they are.
    test: str
    # Images that the layout has for other ends.
    unused: str = "$."
    # Whether the others are all that is to be inspected, and not just the defective images.
    has_test_part: bool = False


LAYOUTS = {
    # Its successors, too: LOCO AD, AD 2 and 3D-AD.
    "mvtec": _Layout(
        "MVTec AD",
        place="in train/good",
        train="train/(good|normal)/(?!xyz/)",
        test="test(_public)?/(?P<type>[^/]+)/(?!xyz/)",
        unused="(validation|calibration|test_private(_mixed)?)/|(train|test)/[^/]+/xyz/",
        has_test_part=True,
    ),
    "btad": _Layout(
        "BTAD",
        place="in train/ok",
        train="train/ok/",
        test="test/(?P<type>[^/]+)/",
        has_test_part=True,
    ),
    "visa": _Layout(
        "VisA",
        place="in Data/Images/Normal",
        train="(data/)?images/normal/",
        test="(data/)?images/(?P<type>[^/]+)/",
    ),
    "sorted": _Layout(
        "folders of normal and defective images",
        place="in a folder good, ok or normal",
        train="(good|ok|normal)/",
        test="(?P<type>[^/]+)/",
    ),
    # Whether an image is defective, its mask says.
    "beside": _Layout(
        "images with masks",
        place="among the images whose masks are black",
        train="(?!((data|images?|imgs?)/)*test/)",
        test="((data|images?|imgs?)/)*(?P<type>test)/",
    ),
}


@dataclass
class Parts:
    """What the images of a folder are."""

    layout: str
    train: list[str]
    # Each image with its type.
    test: list[tuple[str, str]] = field(default_factory=list)
    # Those of an image.
    masks: dict[str, list[str]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    # Images where the layout has none, masks of no image, and masks that are known only by having
    # the names of photographs.
    unplaced: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    twins: list[str] = field(default_factory=list)

    def summary(self, without=()):
        """Numbers of images and masks in words; none where all images are those named."""
        named = set(without)
        counts = {
            "training images": set(self.train),
            "test images": {name for name, _ in self.test},
            "masks": {*self.strays, *(mask for masks in self.masks.values() for mask in masks)},
            "other images": {*self.unused, *self.unplaced},
        }
        left = {what: len(names - named) for what, names in counts.items()}
        return ", ".join(
            f"{count} {what if count > 1 else what[:-1]}" for what, count in left.items() if count
        )


def is_normal(kind):
    """Whether the type of a test image, the name of its folder, says that it is normal."""
    return bool(_NORMAL.fullmatch(kind))


def is_named_otherwise(name):
    """Whether a folder of an image is named as none of those with training images."""
    folders = name.split("/")[:-1]
    return any(words.fullmatch(one) for words in (_DEFECTIVE, _TEST, _DEPTH) for one in folders)


def is_named_normal(name):
    """Whether a folder of an image is named as those of normal or training images."""
    folders = name.split("/")[:-1]
    return any(_NORMAL.fullmatch(folder) or _TRAIN.fullmatch(folder) for folder in folders)


def split(root, names, layout="auto"):
    """Tell what the images of a folder are.

    Parameters
    ----------
    root : path
        The folder, for messages.
    names : list of str
        Paths of all its images.
    layout : str
        One of `LAYOUTS`, "plain", or "auto" to find it.

    Returns
    -------
    Parts

    Raises
    ------
    ValueError
        If the folder does not have the layout, holds several that have one, or holds masks of no
        image.
    """
    twins = _find_twins(names)
    masks = [name for name in names if name in twins or _is_mask(name)]
    known = set(masks)
    photographs = [name for name in names if name not in known]
    if layout == "auto":
        layout = _find_layout(root, photographs, masks)
    if layout == "plain":
        return Parts("plain", names)
    parts = Parts(layout, [], twins=sorted(twins))
    for name in photographs:
        _place(name, LAYOUTS[layout], parts)
    masked = photographs if layout == "beside" else [name for name, _ in parts.test]
    parts.masks, parts.strays = _assign(masks, masked)
    return parts


def _place(name, layout, parts):
    """Put an image into one of the parts."""
    test = _match(layout.test, name)
    if _match(layout.unused, name):
        parts.unused.append(name)
    elif _match(layout.train, name):
        parts.train.append(name)
    elif test:
        parts.test.append((name, test["type"]))
    else:
        parts.unplaced.append(name)


def _match(pattern, name):
    return re.match(pattern, name, re.IGNORECASE)


def check_unlabelled(root, names):
    """Raise unless all images may be training images, by the names of their folders."""
    children = defaultdict(set)
    for name in names:
        above = ""
        for folder in name.split("/")[:-1]:
            if _TEST.fullmatch(folder):
                raise ValueError(
                    f"{str(root)!r} has no known layout, but images that by the name of the folder "
                    f"{folder!r} are not for training, such as {name!r}. Pass the folder of the "
                    f"training images. {PLAIN}"
                )
            children[above].add(folder)
            above += f"{folder}/"
    for above, folders in children.items():
        labels = [name for name in sorted(folders) if _is_label(name)]
        if labels and len(folders) > 1:
            others = ", ".join(sorted(folders - {labels[0]})[:5])
            raise ValueError(
                f"{str(root)!r} holds the folder {above + labels[0]!r}, which by its name says "
                f"what its images are, beside others: {others}. Pass that of the training images. "
                f"{PLAIN}"
            )


def _is_label(folder):
    return any(words.fullmatch(folder) for words in (_NORMAL, _DEFECTIVE, _TRAIN, _COLOUR))


def _find_layout(root, photographs, masks):
    """Find the layout of a folder that has one, or "plain"."""
    for layout, known in LAYOUTS.items():
        categories = _find_categories(layout, known, photographs, masks)
        if "" in categories:
            return layout
        if categories:
            listed = ", ".join(sorted(category.rstrip("/") for category in categories))
            several = "several categories" if len(categories) > 1 else "a category"
            raise ValueError(
                f"{str(root)!r} holds {several} laid out as {known.title}; pass the folder of one "
                f"of them: {listed}. {PLAIN}"
            )
    if masks:
        raise ValueError(
            f"{str(root)!r} holds {len(masks)} images that by their names are masks, such as "
            f"{masks[0]!r}, but of no image in it. Pass the folder of the training images. {PLAIN}"
        )
    return "plain"


def _find_categories(layout, known, photographs, masks):
    """Folders, as starts of paths, that have a layout."""
    if layout == "beside":
        if not _assign(masks, photographs)[0]:
            return set()
        found = (_match(r"(?P<category>([^/]+/)+?)(train|test)/", name) for name in photographs)
        categories = {match["category"] for match in found if match}
        return {one for one in categories if not _are_neutral(one)} or {""}
    pattern = re.compile(f"(?P<category>([^/]+/)*?){known.train}", re.IGNORECASE)
    found = {match["category"] for match in map(pattern.match, photographs) if match}
    if layout == "sorted":
        return {category for category in found if _is_sorted(category, photographs, masks)}
    return found


def _are_neutral(start):
    return all(_NEUTRAL.fullmatch(folder) for folder in start.split("/")[:-1])


def _is_sorted(category, photographs, masks):
    """Whether a folder of normal images lies among folders of defective ones."""
    if any(_TEST.fullmatch(folder) or _TRAIN.fullmatch(folder) for folder in category.split("/")):
        return False
    below = [name[len(category) :] for name in photographs if name.startswith(category)]
    folders = {name.split("/")[0] for name in below if "/" in name}
    others = {folder for folder in folders if not _NORMAL.fullmatch(folder)}
    if not others or any(_TEST.fullmatch(one) or _TRAIN.fullmatch(one) for one in others):
        return False
    has_masks = any(name.startswith(category) for name in masks)
    return has_masks or all(_DEFECTIVE.fullmatch(folder) for folder in others)


def _is_mask(name):
    *folders, file = name.split("/")
    stem = os.path.splitext(file)[0]
    return bool(_MASK.fullmatch(stem)) or any(map(_MASKS.fullmatch, folders))


def _find_twins(names):
    """PNG files beside JPEG files of the same name, which none of a camera's are."""
    split_names = [os.path.splitext(name) for name in names]
    photographs = {stem for stem, ending in split_names if ending.lower() in _PHOTOGRAPHS}
    return {
        stem + ending
        for stem, ending in split_names
        if ending.lower() == ".png" and stem in photographs
    }


def _assign(masks, photographs):
    """Masks of each image that has any, and those of no image."""
    images = defaultdict(set)
    for name in photographs:
        *folders, stem = os.path.splitext(name)[0].split("/")
        # Masks of several folders of images may lie in one; their names alone have to do then.
        for key in {_key(folders, stem), (stem,)}:
            images[key].add(name)
    assigned, strays = defaultdict(list), []
    for mask in masks:
        found = next((images[key] for key in _possible_keys(mask) if key in images), set())
        # Of several images only those that differ in nothing but their endings are one.
        is_clear = len({os.path.splitext(name)[0] for name in found}) == 1
        for name in found if is_clear else ():
            assigned[name].append(mask)
        if not is_clear:
            strays.append(mask)
    return dict(assigned), strays


def _key(folders, stem):
    """What an image and its mask have in common."""
    return (*[one.lower() for one in folders if not _NEUTRAL.fullmatch(one)], stem)


def _possible_keys(mask):
    """Keys of the images that a mask may belong to, the most likely first."""
    *folders, file = mask.split("/")
    stem = os.path.splitext(file)[0]
    match = _MASK.fullmatch(stem)
    if match and match["stem"]:
        yield _key(folders, match["stem"])
    yield _key(folders, stem)
    # A folder of masks for each image, as in MVTec LOCO AD.
    if folders:
        yield _key(folders[:-1], folders[-1])
