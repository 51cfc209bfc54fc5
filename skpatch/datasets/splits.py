# SPDX-License-Identifier: BSD-3-Clause
"""Which images of a set are for training, where its publishers say so in a file.

VisA has a table of all categories beside these, Real-IAD a file of each category beside the folder
of all.
"""

import csv
import json
import warnings
from typing import NamedTuple

__all__ = ["apply_split"]


class _Row(NamedTuple):
    """An image, by paths from the folder of its category."""

    name: str
    is_training: bool
    # What the file says that it shows.
    kind: str
    mask: str | None


def apply_split(root, names, parts):
    """Let the file that a set's publishers wrote say what the images of a category are.

    Parameters
    ----------
    root : Path
        Folder of the category.
    names : list of str
        Paths of all its images, masks included.
    parts : Parts
        Changed where there is such a file. Images that it does not list are unused then.

    Raises
    ------
    ValueError
        If the file is not what the publishers wrote.

    Warns
    -----
    UserWarning
        If the file lists images that are not there.
    """
    path, read = _find(root, parts.layout)
    if path is None:
        return
    try:
        with path.open(encoding="utf-8", newline="") as file:
            known = {row.name: row for row in read(file, root.name)}
    except (LookupError, AttributeError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{str(path)!r} should say which images of {str(root)!r} are for training, but cannot "
            f"be read ({type(error).__name__}: {error}). Unpack it again, or take it away: then "
            "the folders alone say it."
        ) from error
    if not known:
        return
    rows = [known[name] for name in names if name in known]
    present = set(names)
    missing = sorted(known.keys() - present)
    if missing:
        warnings.warn(
            f"{str(path)!r} lists {len(missing)} images that are not in {str(root)!r}, such as "
            f"{missing[0]!r}; figures will not compare with published ones.",
            UserWarning,
            stacklevel=5,
        )
    placed = [*parts.train, *(name for name, _ in parts.test)]
    parts.unused += [name for name in placed if name not in known]
    parts.train = [row.name for row in rows if row.is_training]
    parts.test = [(row.name, row.kind) for row in rows if not row.is_training]
    parts.masks = {row.name: [row.mask] for row in rows if row.mask in present}
    # It names the masks, so nothing was guessed.
    parts.twins = []


def _find(root, layout):
    """Path of the file that splits a category, and how it is read; None without one."""
    if layout == "visa":
        places = {root.parent / "split_csv" / "1cls.csv": _visa_rows}
    elif layout == "sorted":
        folder = root.parent.parent / "realiad_jsons"
        places = {
            place / f"{root.name}.json": _real_iad_rows
            for place in (folder / "realiad_jsons", folder)
        }
    else:
        places = {}
    return next((found for found in places.items() if found[0].is_file()), (None, None))


def _visa_rows(file, category):
    """Rows of one of the categories, whose folders the paths start with."""
    for row in csv.DictReader(file):
        if row["object"] == category:
            name, mask = (row[what].removeprefix(f"{category}/") for what in ("image", "mask"))
            yield _Row(name, row["split"] == "train", row["label"], mask)


def _real_iad_rows(file, category):
    """Rows of a category. Views that do not show the defect of a part are normal."""
    split = json.load(file)
    for part in ("train", "test"):
        for entry in split[part]:
            yield _Row(
                entry["image_path"], part == "train", entry["anomaly_class"], entry["mask_path"]
            )
