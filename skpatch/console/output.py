# SPDX-License-Identifier: BSD-3-Clause
"""What commands print and write."""

import os
import re
import sys
from contextlib import contextmanager, redirect_stdout, suppress

from ..inspection.table_files import table_form
from ..runtime.files import check_output, open_regular

__all__ = [
    "check_free",
    "check_replaced",
    "check_table",
    "is_written",
    "table_stream",
]


# How files begin that skpatch has written.
_BEGINNING = 4096
_SIGNS = {
    ".skpatch": rb"\A\x89skpatch",
    ".html": rb'<meta name="generator" content="skpatch ',
    ".csv": rb"\A\xef\xbb\xbf(rank,)?image,score,p_value,",
    **dict.fromkeys((".json", ".jsonl"), rb'\A\[?\{"image": "[^\n]*", "score": '),
    ".onnx": rb"(?s)\A\x08.\x12\x07skpatch",
    ".png": rb"tEXtSoftware\0skpatch",
}


def check_free(output, suffix, name, force):
    """Raise before the work if an output cannot be written, or is a file of somebody else."""
    check_output(output, suffix, name)
    if output is not None and not force:
        check_replaced(output, suffix, name)


def check_table(output, form, name, force):
    """As :func:`check_free` of a table in one of `FORMS`, unless it is printed."""
    if output in (None, "-"):
        return
    check_free(output, f".{table_form(output, form)}", name, force)
    if not force and os.path.exists(output):
        from .decisions import holds_decisions

        if holds_decisions(output):
            raise FileExistsError(
                f"{name}={str(output)!r} holds decisions, which would be lost; give another name, "
                "or pass --force to replace it."
            )


def check_replaced(output, suffix, name):
    """Raise if there is a file that skpatch has not written; an empty one is nobody's loss."""
    if os.path.lexists(output) and not is_written(output, suffix):
        raise FileExistsError(
            f"{name}={str(output)!r} exists, and skpatch has not written it; give another name, or "
            "pass --force to replace it."
        )


def is_written(path, suffix):
    """Whether skpatch has written a file, as far as can be told; an empty one is taken for that."""
    # What cannot be read is not known to be skpatch's.
    with suppress(OSError), open_regular(path) as file:
        start = file.read(_BEGINNING)
        return not start or re.search(_SIGNS[suffix], start) is not None
    return False


@contextmanager
def table_stream(output):
    """Give where a table is printed: None for a file; with "-" all else goes to standard error."""
    if output != "-":
        yield None
        return
    stream = sys.stdout
    with redirect_stdout(sys.stderr):
        yield stream
