# SPDX-License-Identifier: BSD-3-Clause
"""What commands print and write."""

import csv
import errno
import os
import re
import warnings
from contextlib import contextmanager, suppress

from ..runtime.files import check_output, open_regular, replacing
from ..runtime.text import cell

__all__ = ["check_free", "check_replaced", "heard", "in_words", "write_csv"]

# How files begin that skpatch has written.
_BEGINNING = 4096
_SIGNS = {
    ".skpatch": rb"\A\x89skpatch",
    ".html": rb'<meta name="generator" content="skpatch ',
    ".csv": rb"\A\xef\xbb\xbf(rank,)?image,score,p_value,",
    ".onnx": rb"(?s)\A\x08.\x12\x07skpatch",
    ".png": rb"tEXtSoftware\0skpatch",
}
_ADVICE = {
    errno.ENOENT: "Check its name, and the folder that it is looked for in",
    errno.ENOTDIR: "A part of its path is a file",
    errno.EISDIR: "Name a file",
    errno.EACCES: "Ask its owner for the right, or name another file",
    errno.EPERM: "Ask its owner for the right, or name another file",
    errno.EROFS: "Name a file on another disk",
    errno.ENOSPC: "Make room, or name a file on another disk",
    errno.EDQUOT: "Make room, or name a file on another disk",
    errno.EFBIG: "Raise the limit, or name a file on another disk",
    errno.ENAMETOOLONG: "Give a shorter name",
    errno.ELOOP: "Its links lead in a circle",
}


def check_free(output, suffix, name, force):
    """Raise before the work if an output cannot be written, or is a file of somebody else."""
    check_output(output, suffix, name)
    if output is not None and not force:
        check_replaced(output, suffix, name)


def check_replaced(output, suffix, name):
    """Raise if there is a file that skpatch has not written; an empty one is nobody's loss."""
    if not os.path.lexists(output):
        return
    start = None
    # What cannot be read is not known to be skpatch's.
    with suppress(OSError), open_regular(output) as file:
        start = file.read(_BEGINNING)
    if start is None or (start and not re.search(_SIGNS[suffix], start)):
        raise FileExistsError(
            f"{name}={str(output)!r} exists, and skpatch has not written it; give another name, or "
            "pass --force to replace it."
        )


@contextmanager
def heard():
    """Give a list of what is warned of inside, each once; it is shown as ever."""
    show, messages = warnings.showwarning, []

    def show_and_keep(message, category, *others):
        if issubclass(category, UserWarning) and str(message) not in messages:
            messages.append(str(message))
        show(message, category, *others)

    warnings.showwarning = show_and_keep
    try:
        yield messages
    finally:
        warnings.showwarning = show


def in_words(error):
    """Message of an error; of one of the system, the file, what is wrong, and what to do."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    name = "" if error.filename is None else f"{os.fsdecode(error.filename)!r}: "
    advice = _ADVICE.get(error.errno)
    return f"{name}{error.strerror}." + (f" {advice}." if advice else "")


def write_csv(path, header, rows):
    """Write a CSV file as reports do: with the mark of UTF-8, and without formulas.

    Names of files that are no UTF-8 keep their bytes.
    """
    text = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    with replacing(path, **text) as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([cell(str(value)) for value in row] for row in rows)
