# SPDX-License-Identifier: BSD-3-Clause
"""Image folders: paths of images and masks, and labels."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import layouts
from .layouts import (
    LAYOUTS,
    PLAIN,
    check_unlabelled,
    is_for_test,
    is_named_normal,
    is_named_otherwise,
    is_normal,
    split,
)
from .listing import IMAGE_EXTENSIONS, list_folder, natural_key, tell_left_out
from .masks import read_mask
from .splits import apply_split

if TYPE_CHECKING:
    from sklearn.utils import Bunch

__all__ = ["images_to_inspect", "list_categories", "load_folder", "read_folder"]


def load_folder(path: str | os.PathLike, *, layout: str = "auto") -> "Bunch":
    """List the images of a folder, with labels and masks where its layout has them.

    Files are listed recursively in natural order (``img2`` before ``img10``), and links are
    followed. Images are not read. Hidden files, thumbnails, what file servers and desktops keep in
    folders of their own, and formats that are not read are left out with a warning.

    Parameters
    ----------
    path : str or path-like
        One category, such as ``mvtec/bottle``, or any folder of images.
    layout : {"auto", "mvtec", "btad", "visa", "sorted", "beside", "plain"}, default="auto"
        - "mvtec": ``train/good``, ``test/good``, ``test/<defect>`` and
          ``ground_truth/<defect>/<stem>_mask.png``, as in MVTec AD [1]_, and as in its successors
          LOCO AD, AD 2 and 3D-AD;
        - "btad": ``train/ok``, ``test/ok``, ``test/ko`` and ``ground_truth/ko/<stem>.png`` (or
          another image extension), as in BTAD [2]_;
        - "visa": ``Data/Images/Normal``, ``Data/Images/Anomaly`` and ``Data/Masks/Anomaly``, as in
          VisA [3]_, whose ``split_csv/1cls.csv`` beside the category says which images are for
          training; without it all normal ones are;
        - "sorted": ``good`` (or ``ok``, ``normal``), other folders of defective images, and perhaps
          ``mask/<defect>``. The category's file in ``realiad_jsons`` two folders above, as in
          Real-IAD [4]_, says which images are for training, and which views show a defect;
        - "beside": masks beside the images (``<stem>_label.bmp``, or ``<stem>.png`` of
          ``<stem>.jpg``) or in a folder ``Label``, ``masks``, ``gt`` or the like beside them or
          their folder, as in KolektorSDD and DAGM 2007. Masks are read: an image is defective if
          its mask is not black. Without a mask it is normal, if others of its folder have one;
        - "plain": every image in the folder, without labels;
        - "auto": the one that the folder has. If it has none, and nothing in the names says that
          its images are of several kinds, "plain".

        Upper and lower case do not matter in the names of folders. In all layouts a mask has the
        name of its image, which "_mask", "_gt", "_seg" or "_label" may follow.

    Returns
    -------
    Bunch
        - train_images : list of str, absolute paths;
        - test_images : list of str, absolute paths, normal images first; empty if plain;
        - test_labels : ndarray of shape (n_test,), 1 = defective, 0 = normal;
        - test_masks : list of (str, tuple of str or None), the path of each test image's mask, or
          those of several; None for normal images and for defective ones without a mask;
        - test_annotated : ndarray of shape (n_test,), bool, False for defective images without a
          mask: leave them out of pixel metrics, which take None for a normal image;
        - test_types : list of str, the name of each test image's folder, or what the publishers'
          file calls it; "good" or "defective" if the masks are beside the images;
        - defect_types : list of str, the defects' folder names;
        - unused_images : list of str, images that the layout has for other ends: those to validate,
          those without published labels, maps of depth, and what the publishers' file leaves out;
        - layout : str, the layout found.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    NotADirectoryError
        If `path` is a file.
    ValueError
        If `layout` is unknown, the folder does not have it or holds several categories, no training
        image is found, or the names say that there are masks, test images or labels in a way that
        is not understood (so that these never end up among the training images by mistake).

    Warns
    -----
    UserWarning
        If files are left out; if masks belong to no image, images lie where the layout has none, or
        the publishers' file lists images that are not there.

    See Also
    --------
    read_mask : Read one of the masks.

    References
    ----------
    .. [1] P. Bergmann, K. Batzner, M. Fauser, D. Sattlegger and C. Steger, "The MVTec anomaly
       detection dataset", International Journal of Computer Vision 129, 2021.
    .. [2] P. Mishra, R. Verk, D. Fornasier, C. Piciarelli and G. L. Foresti, "VT-ADL: A vision
       transformer network for image anomaly detection and localization", ISIE 2021.
    .. [3] Y. Zou, J. Jeong, L. Pemula, D. Zhang and O. Dabeer, "SPot-the-Difference self-supervised
       pre-training for anomaly detection and segmentation", ECCV 2022.
    .. [4] C. Wang et al., "Real-IAD: A real-world multi-view dataset for benchmarking versatile
       industrial anomaly detection", CVPR 2024.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skpatch.datasets import load_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("train/good/1.png", "test/good/2.png", "test/dent/3.png"):
    ...         (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
    ...         Image.new("L", (8, 8)).save(Path(folder) / name)
    ...     parts = load_folder(folder)
    >>> parts.layout, len(parts.train_images), parts.test_types
    ('mvtec', 1, ['good', 'dent'])
    >>> parts.test_labels
    array([0, 1])
    """
    root = Path(path).expanduser().absolute()
    parts = read_folder(root, layout)
    test = sorted(
        parts.test, key=lambda row: (not is_normal(row[1]), natural_key("/".join(row[::-1])))
    )
    rows = [_test_row(root, parts, name, kind) for name, kind in test]
    labels = np.array([is_bad for _, _, is_bad, _ in rows], dtype=int)
    has_mask = np.array([masks is not None for *_, masks in rows], dtype=bool)
    # Whoever only lists a folder does not wait for it to load.
    from sklearn.utils import Bunch

    return Bunch(
        train_images=[str(root / name) for name in parts.train],
        test_images=[path for path, *_ in rows],
        test_labels=labels,
        test_masks=[masks for *_, masks in rows],
        test_annotated=has_mask | (labels == 0),
        test_types=[kind for _, kind, *_ in rows],
        defect_types=list(dict.fromkeys(kind for _, kind, is_bad, _ in rows if is_bad)),
        unused_images=[str(root / name) for name in parts.unused],
        layout=parts.layout,
    )


def read_folder(root, layout="auto", without=None):
    """What a folder holds to learn from, and what else.

    Parameters
    ----------
    root : Path
    layout : str
        As for :func:`load_folder`.
    without : path, optional
        A file that is no image of the folder.

    Returns
    -------
    Parts
    """
    parts = _list_parts(root, layout, without)
    if parts.layout == "beside":
        _sort_by_masks(root, parts)
    if parts.layout != "plain":
        parts.unplaced += filter(is_named_otherwise, parts.train)
        parts.train = [name for name in parts.train if not is_named_otherwise(name)]
    if layout == "auto" and parts.layout in ("plain", "beside"):
        check_unlabelled(root, parts.train)
    if not parts.train:
        twins = f", such as {parts.twins[0]!r} of the JPEG file beside it" if parts.twins else ""
        raise ValueError(
            f"{str(root)!r} holds no training images {LAYOUTS[parts.layout].place}, where the "
            f"layout {parts.layout!r} has them; seen were {parts.summary()}{twins}. {PLAIN}"
        )
    _tell(root, parts)
    return parts


def list_categories(path):
    """Folders below a path, or itself, that each are laid out as one set: a list of str.

    The path itself is left where it is none, so that :func:`load_folder` says why.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        return [str(path)]
    categories = layouts.list_categories(list_folder(root).images)
    return [str(path)] if "." in categories else [str(root / name) for name in categories]


def images_to_inspect(root, layout="auto"):
    """What a folder holds to inspect, and what else: paths from it, and `Parts`.

    These are the test images where the layout has a part for them, and else all but the masks.
    """
    parts = _list_parts(root, layout)
    test = [name for name, _ in parts.test]
    if parts.layout != "plain" and LAYOUTS[parts.layout].has_test_part:
        if not test:
            raise ValueError(
                f"{str(root)!r} is laid out as {LAYOUTS[parts.layout].title}, without test images. "
                "Pass the folder of the images to inspect."
            )
        parts.unread = [name for name in parts.unread if is_for_test(name, parts.layout)]
    else:
        test = sorted([*parts.train, *test, *parts.unplaced], key=natural_key)
        parts.unplaced = []
    _tell(root, parts)
    return test, parts


def _list_parts(root, layout, without=None):
    if not root.exists():
        raise FileNotFoundError(f"There is no folder {str(root)!r}.")
    if not root.is_dir():
        raise NotADirectoryError(f"{str(root)!r} is a file; pass the folder that holds the images.")
    known = ("auto", *LAYOUTS, "plain")
    if layout not in known:
        raise ValueError(f"Unknown layout {layout!r}; known are {', '.join(map(repr, known))}.")
    listing = list_folder(root)
    tell_left_out(root, listing.left_out)
    names = [
        name for name in listing.images if without is None or not _is_same(root, name, without)
    ]
    if not names:
        raise ValueError(
            f"{str(root)!r} holds no images. Recognised are files ending in "
            f"{', '.join(IMAGE_EXTENSIONS)}."
        )
    parts = split(root, names, layout)
    apply_split(root, names, parts)
    parts.unread = listing.unread
    return parts


def _is_same(root, name, other):
    path = os.path.join(root, name)
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


def _tell(root, parts):
    """Warn of what a layout has no place for, and of what only looks like a mask."""
    told = {
        "images that lie where the layout has none are left alone": parts.unplaced,
        "masks of no image are left alone": parts.strays,
        "PNG files that have the names of JPEG files beside them are taken for their masks (the "
        "layout 'plain' takes them for images)": parts.twins,
    }
    for what, names in told.items():
        if names:
            warnings.warn(
                f"{str(root)!r}, layout {parts.layout!r}: {what}: {len(names)}, such as "
                f"{names[0]!r}.",
                UserWarning,
                stacklevel=4,
            )


def _sort_by_masks(root, parts):
    """Find the defective images among those that have their masks beside them."""
    images = [(name, False) for name in parts.train] + [(name, True) for name, _ in parts.test]
    annotated = {os.path.dirname(name) for name in parts.masks}
    parts.train, parts.test = [], []
    for name, is_test in images:
        masks = parts.masks.get(name, [])
        if any(read_mask(root / mask).any() for mask in masks):
            parts.test.append((name, "defective"))
        elif not (masks or os.path.dirname(name) in annotated or is_named_normal(name)):
            parts.unplaced.append(name)
        elif is_test:
            parts.test.append((name, "good"))
        else:
            parts.train.append(name)


def _test_row(root, parts, name, kind):
    """Path, type, whether it is defective, and its masks of a test image."""
    is_bad = not is_normal(kind)
    masks = [str(root / mask) for mask in parts.masks.get(name, [])] if is_bad else []
    return str(root / name), kind, is_bad, (masks[0] if len(masks) == 1 else tuple(masks)) or None
