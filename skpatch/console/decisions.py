# SPDX-License-Identifier: BSD-3-Clause
"""What somebody has decided on images, in a CSV file: defect, normal or unsure."""

import csv
import io
import os
from contextlib import suppress

from ..images.names import find_by_name
from ..runtime.files import open_regular
from ..runtime.text import shown

__all__ = [
    "DECISIONS",
    "holds_decisions",
    "numbers_by_decision",
    "read_decisions",
    "relative_names",
]

DECISIONS = ("defect", "normal", "unsure")
_KINDS = f"{', '.join(DECISIONS[:-1])} or {DECISIONS[-1]}"


def read_decisions(path):
    """Decision on each image of a file that a report has saved, or a table with that column.

    Parameters
    ----------
    path : path
        CSV file in UTF-8 with the columns ``image`` and ``decision``, and perhaps others; fields
        may be separated by semicolons.

    Returns
    -------
    dict of str to str
        Names with one of `DECISIONS`. Rows without a decision are left out.

    Raises
    ------
    ValueError
        If the file has other columns, another decision, or two for one name; it names the line.
    """
    decisions, lines = {}, {}
    for line, name, text in _rows(path):
        decision = text.strip().lower()
        if not decision:
            continue
        where = f"{shown(path)}, line {line}"
        if decision not in DECISIONS:
            raise ValueError(f"{where}: {shown(repr(text))} is no decision; write {_KINDS}.")
        if not name.strip():
            raise ValueError(f"{where}: the decision {decision!r} is on no image.")
        if decisions.setdefault(name, decision) != decision:
            raise ValueError(
                f"{where}: {shown(repr(name))} is {decision}, but {decisions[name]} in line "
                f"{lines[name]}; leave one of them."
            )
        lines.setdefault(name, line)
    if not decisions:
        raise ValueError(f"{shown(path)} holds no decision: none of its rows says {_KINDS}.")
    return decisions


def _rows(path):
    """Yield the line, name and decision of each row."""
    with open_regular(path) as file:
        content = file.read()
    if b"\0" in content:
        raise ValueError(f"{shown(path)} is no CSV file in UTF-8; save it as one.")
    # Bytes of names that are no text stay as they are.
    text = content.decode("utf-8-sig", "surrogateescape")
    header = text.partition("\n")[0]
    is_split_by_semicolons = ";" in header and "," not in header
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if is_split_by_semicolons else ","
    )
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        if not {"image", "decision"}.issubset(columns):
            raise ValueError(
                f"{shown(path)} has no columns image and decision in its first line; decisions are "
                "saved by a report, or written into a table of 'skpatch audit --csv'."
            )
        image, decision = columns.index("image"), columns.index("decision")
        for row in reader:
            if row:
                row += [""] * len(columns)
                yield reader.line_num, row[image], row[decision]
    except csv.Error as error:
        raise ValueError(f"{shown(path)}, line {reader.line_num}: {error}.") from error


def holds_decisions(path):
    """Whether a file is a table with anything in its column of decisions."""
    with suppress(ValueError):
        return any(text.strip() for _, _, text in _rows(path))
    return False


def numbers_by_decision(decisions, path, names, others=(), folder=None):
    """Numbers of training images by decision.

    Parameters
    ----------
    decisions : dict of str to str
        Names with one of `DECISIONS`.
    path : path
        The file that they were read from, for messages.
    names : list of str
        Of the training images.
    others : list of str
        Paths of further images, numbered on.
    folder : path, optional
        That of the training images, where it is known.

    Returns
    -------
    dict of str to list of int
        For each of `DECISIONS` the numbers of its images.

    Raises
    ------
    ValueError
        If there are names that no image has, or several have; all are listed. If an image has two
        decisions.
    """
    try:
        given = list(decisions) if folder is None else relative_names(decisions, folder)
        numbers = find_by_name(given, names, others)
    except ValueError as error:
        # Spreadsheets have another encoding by default; files on Linux may have names in any.
        is_other = any("\udc80" <= sign <= "\udcff" for name in decisions for sign in name)
        hint = " It is not in UTF-8: save it as 'CSV UTF-8'." if is_other else ""
        raise ValueError(f"{shown(path)} does not fit the images.{hint}\n{error}") from error
    found = {}
    for number, (name, decision) in zip(numbers, decisions.items(), strict=True):
        if found.setdefault(number, decision) != decision:
            raise ValueError(
                f"{shown(path)}: the image of {shown(repr(name))} is {decision}, but under another "
                f"name {found[number]}; leave one of them."
            )
    return {
        kind: [number for number, decision in found.items() if decision == kind]
        for kind in DECISIONS
    }


def relative_names(names, folder):
    """Names from a folder, of those that are files in it: a shell completes them from elsewhere."""
    return [_from(folder, name) if os.path.isfile(name) else name for name in names]


def _from(folder, name):
    found = os.path.relpath(name, folder)
    return name if found.startswith(os.pardir) else found
