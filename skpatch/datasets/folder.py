# SPDX-License-Identifier: BSD-3-Clause
"""Image folders: paths of images and masks, and labels, without reading an image."""

import os
import re
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

__all__ = ["labelled_layout", "list_images", "load_folder"]

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

# The name of the normal class tells the layouts apart.
_NORMAL_NAMES = {"mvtec": "good", "btad": "ok"}


def load_folder(path: str | os.PathLike, *, layout: str = "auto") -> Bunch:
    """List the images of a folder, with labels and masks where its layout has them.

    No image is read. Files are listed recursively in natural order (``img2`` before ``img10``);
    hidden files are skipped.

    Parameters
    ----------
    path : str or path-like
        One category, such as ``mvtec/bottle``, or any folder of images.
    layout : {"auto", "mvtec", "btad", "plain"}, default="auto"
        - "mvtec": ``train/good``, ``test/good``, ``test/<defect>`` and
          ``ground_truth/<defect>/<stem>_mask.png``, as in MVTec AD [1]_;
        - "btad": ``train/ok``, ``test/ok``, ``test/ko`` and ``ground_truth/ko/<stem>.png`` (or
          another image extension), as in BTAD [2]_;
        - "plain": every image in the folder, without labels;
        - "auto": "mvtec" where there is a ``train/good``, "btad" where there is a ``train/ok``,
          "plain" otherwise.

        Both ways to name a mask are understood in both layouts.

    Returns
    -------
    Bunch
        - train_images : list of str, absolute paths;
        - test_images : list of str, absolute paths, normal images first; empty if plain;
        - test_labels : ndarray of shape (n_test,), 1 = defective, 0 = normal;
        - test_masks : list of (str or None), the path of each test image's mask; None for normal
          images and for defective ones without a mask;
        - test_annotated : ndarray of shape (n_test,), bool, False for defective images without a
          mask: leave them out of pixel metrics, which take None for a normal image;
        - test_types : list of str, the name of each test image's folder;
        - defect_types : list of str, the defects' folder names;
        - layout : str, the layout found.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    NotADirectoryError
        If `path` is a file.
    ValueError
        If `layout` is unknown, the folder does not have it, no training image is found, or the
        folder holds labelled images in a way that is not understood (so that test images or
        masks never end up among the training images by mistake).

    See Also
    --------
    read_mask : Read one of the masks.

    References
    ----------
    .. [1] P. Bergmann, K. Batzner, M. Fauser, D. Sattlegger and C. Steger, "The MVTec anomaly
       detection dataset", International Journal of Computer Vision 129, 2021.
    .. [2] P. Mishra, R. Verk, D. Fornasier, C. Piciarelli and G. L. Foresti, "VT-ADL: A vision
       transformer network for image anomaly detection and localization", ISIE 2021.

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
    if not root.exists():
        raise FileNotFoundError(f"There is no folder {str(root)!r}.")
    if not root.is_dir():
        raise NotADirectoryError(f"{str(root)!r} is a file; pass the folder that holds the images.")
    known = ("auto", *_NORMAL_NAMES, "plain")
    if layout not in known:
        raise ValueError(f"Unknown layout {layout!r}; known are {', '.join(map(repr, known))}.")
    if layout == "auto":
        layout = _find_layout(root)
    if layout == "plain":
        return _make_bunch(layout, _require_images(root), [])
    normal = _NORMAL_NAMES[layout]
    train_images = _require_images(root / "train" / normal)
    return _make_bunch(layout, train_images, _list_test(root, normal))


def _find_layout(root):
    found = labelled_layout(root)
    if found:
        return found
    categories = sorted(child.name for child in root.iterdir() if labelled_layout(child))
    if categories:
        raise ValueError(
            f"{str(root)!r} holds several categories; pass the folder of one of them: "
            f"{', '.join(categories)}."
        )
    if (root / "test").is_dir() or (root / "ground_truth").is_dir():
        raise ValueError(
            f"{str(root)!r} has a test or ground_truth folder, but neither train/good (MVTec AD) "
            "nor train/ok (BTAD). Rename the folder of normal training images, or pass "
            'layout="plain" to take every image as a training image.'
        )
    return "plain"


def labelled_layout(folder):
    """Return the layout of a category with labels, None for any other folder."""
    for layout, normal in _NORMAL_NAMES.items():
        if (folder / "train" / normal).is_dir():
            return layout
    return None


def _require_images(folder):
    images = list_images(folder)
    if not images:
        what = "holds no images" if folder.is_dir() else "does not exist"
        raise ValueError(
            f"{str(folder)!r} {what}. Recognised are files ending in {', '.join(IMAGE_EXTENSIONS)}."
        )
    return images


def list_images(folder):
    """All image paths under a folder, in natural order."""
    paths = [
        str(path)
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_EXTENSIONS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    return sorted(paths, key=_natural_key)


def _natural_key(path):
    pieces = re.split("([0-9]+)", path)
    # The path itself decides between 1.png and 01.png.
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)], path


def _list_test(root, normal):
    """Return one (path, type, is_defective, mask path or None) per test image."""
    folder = root / "test"
    names = [child.name for child in folder.iterdir()] if folder.is_dir() else []
    loose = [name for name in names if Path(name).suffix.lower() in IMAGE_EXTENSIONS]
    if loose:
        raise ValueError(
            f"{str(folder)!r} holds images outside of its subfolders, such as {min(loose)}; put "
            f"normal ones into test/{normal}, defective ones into test/<defect>."
        )
    names = [name for name in names if (folder / name).is_dir() and not name.startswith(".")]
    rows = []
    for name in sorted(names, key=lambda name: (name != normal, _natural_key(name))):
        masks = {} if name == normal else _list_masks(root / "ground_truth" / name)
        for path in list_images(folder / name):
            key = str(Path(path).relative_to(folder / name).with_suffix(""))
            mask = masks.get(f"{key}_mask", masks.get(key))
            rows.append((path, name, name != normal, mask))
    return rows


def _list_masks(folder):
    """Mask path by its path in the folder, without the extension."""
    if not folder.is_dir():
        return {}
    return {str(Path(p).relative_to(folder).with_suffix("")): p for p in list_images(folder)}


def _make_bunch(layout, train_images, test):
    masks = [mask for *_, mask in test]
    labels = np.array([is_defective for _, _, is_defective, _ in test], dtype=int)
    has_mask = np.array([mask is not None for mask in masks], dtype=bool)
    return Bunch(
        train_images=train_images,
        test_images=[path for path, *_ in test],
        test_labels=labels,
        test_masks=masks,
        test_annotated=has_mask | (labels == 0),
        test_types=[name for _, name, *_ in test],
        defect_types=list(dict.fromkeys(name for _, name, bad, _ in test if bad)),
        layout=layout,
    )
