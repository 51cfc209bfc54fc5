# SPDX-License-Identifier: BSD-3-Clause
"""What a folder of images is: training images, test images and masks, told by their paths.

Paths are those from the folder, with slashes. Upper and lower case do not matter in the names of
folders.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field

from .mask_files import assign_masks, find_masks, is_neutral

__all__ = [
    "LAYOUTS",
    "PLAIN",
    "Parts",
    "check_unlabelled",
    "is_for_test",
    "is_named_normal",
    "is_named_otherwise",
    "is_normal",
    "list_categories",
    "split",
]

# The way past every message.
PLAIN = "The layout 'plain' takes every image as a training image."


def _words(*names):
    return re.compile("|".join(names), re.IGNORECASE)


# Names of folders.
_NORMAL = _words("good", "ok", "normal")
_DEFECTIVE = _words(
    *("bad", "ko", "nok", "nio", "ng", "defect(ive|s)?", "faulty", "anomal(y|ies|ous)", "abnormal"),
    *("fail(ed|s|ures?)?", "reject(ed|s)?", "schlecht", "mauvais"),
)
# Which of them is normal, users do not agree on.
_POSITIVE = _words("positives?")


def _parts(*names):
    """Names of parts of a set, as in train, train_images and train2017."""
    return _words(f"({'|'.join(names)})([ _-]?(images?|imgs?|data|sets?|[0-9]{{4}}))*")


_TRAIN = _parts("train(ing)?")
_TEST = _parts(
    *("tests?", "testing", "test_public", "test_private.*", "val(id|idation)?", "eval.*")
)
_COLOUR, _DEPTH = _words("rgb"), _words("xyz")
# The same among other words, as in line1_ok or def_front.
_SOMEHOW_NORMAL = _words("(.*[ ._-])?(good|ok|normal)([ ._-].*)?")
_SOMEHOW_DEFECTIVE = _words(f"(.*[ ._-])?({_DEFECTIVE.pattern}|def)([ ._-].*)?")


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
    # Pictures that cannot be read, wherever they lie.
    unread: list[str] = field(default_factory=list)
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


def is_for_test(name, layout):
    """Whether a layout has a test image at that path."""
    return bool(_match(LAYOUTS[layout].test, name))


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
    masks, twins = find_masks(names)
    known = set(masks)
    photographs = [name for name in names if name not in known]
    if layout == "auto":
        layout = _find_layout(root, photographs, masks)
    if layout == "plain":
        return Parts("plain", names)
    parts = Parts(layout, [], twins=twins)
    for name in photographs:
        _place(name, LAYOUTS[layout], parts)
    masked = photographs if layout == "beside" else [name for name, _ in parts.test]
    parts.masks, parts.strays = assign_masks(masks, masked)
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
        labels = _labels(sorted(folders))
        if labels:
            others = ", ".join(sorted(folders - {labels[0]})[:5])
            raise ValueError(
                f"{str(root)!r} holds the folder {above + labels[0]!r}, which by its name says "
                f"what its images are, beside others: {others}. Pass that of the training images. "
                f"{PLAIN}"
            )


def _labels(folders):
    """Those of some folders side by side whose names say that their images differ in kind."""
    for words in (_NORMAL, _DEFECTIVE, _POSITIVE, _TRAIN, _COLOUR, _SOMEHOW_DEFECTIVE):
        labels = [folder for folder in folders if words.fullmatch(folder)]
        if 0 < len(labels) < len(folders):
            return labels
    return []


def _find_layout(root, photographs, masks):
    """Find the layout of a folder that has one, or "plain"."""
    for layout, known in LAYOUTS.items():
        categories = _find_categories(layout, known, photographs, masks)
        if "" in categories:
            return layout
        if categories:
            listed = ", ".join(sorted(category.rstrip("/") for category in categories))
            is_one = len(categories) == 1
            several = "a category" if is_one else "several categories"
            what = "its folder" if is_one else "the folder of one of them"
            raise ValueError(
                f"{str(root)!r} holds {several} laid out as {known.title}; pass {what}: {listed}. "
                f"{PLAIN}"
            )
    if masks:
        raise ValueError(
            f"{str(root)!r} holds {len(masks)} images that by their names are masks, such as "
            f"{masks[0]!r}, but of no image in it. Pass the folder of the training images. {PLAIN}"
        )
    return "plain"


def list_categories(names):
    """Folders, as paths, that are laid out as one set each; "." for images of a single one."""
    masks, _ = find_masks(names)
    among = set(masks)
    photographs = [name for name in names if name not in among]
    for layout, known in LAYOUTS.items():
        categories = _find_categories(layout, known, photographs, masks)
        if categories:
            return sorted(category or "." for category in categories)
    return ["."]


def _find_categories(layout, known, photographs, masks):
    """Folders, as starts of paths, that have a layout."""
    if layout == "beside":
        if not assign_masks(masks, photographs)[0]:
            return set()
        found = (_match(r"(?P<category>([^/]+/)+?)(train|test)/", name) for name in photographs)
        categories = {match["category"] for match in found if match}
        return {one for one in categories if not all(map(is_neutral, one.split("/")))} or {""}
    pattern = re.compile(f"(?P<category>([^/]+/)*?){known.train}", re.IGNORECASE)
    found = {match["category"] for match in map(pattern.match, photographs) if match}
    if layout == "sorted":
        return {category for category in found if _is_sorted(category, photographs, masks)}
    return found


def _is_sorted(category, photographs, masks):
    """Whether a folder of normal images lies among folders of defective ones."""
    if any(_TEST.fullmatch(folder) or _TRAIN.fullmatch(folder) for folder in category.split("/")):
        return False
    below = [name[len(category) :] for name in photographs if name.startswith(category)]
    folders = {name.split("/")[0] for name in below if "/" in name}
    others = {folder for folder in folders if not _NORMAL.fullmatch(folder)}
    # Such as normal_test, whose images are not defective for being elsewhere.
    is_odd = (words.fullmatch(one) for one in others for words in (_TEST, _TRAIN, _SOMEHOW_NORMAL))
    if not others or any(is_odd):
        return False
    has_masks = any(name.startswith(category) for name in masks)
    return has_masks or all(_DEFECTIVE.fullmatch(folder) for folder in others)
