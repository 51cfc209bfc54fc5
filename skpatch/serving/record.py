# SPDX-License-Identifier: BSD-3-Clause
"""The results file of a watched folder, which is the record of what is done as well."""

import hashlib
import json
import os
from collections import deque

from ..runtime.files import check_output, lock, sync_folder
from ..runtime.text import shown
from .drift import WINDOW

__all__ = ["Record", "file_key"]

# Of every line.
_BEGINNING = b'{"image": '


class Record:
    """JSON lines that are on the disk once they are appended, and known after a restart.

    Parameters
    ----------
    path : path
        The .jsonl file; made if missing. A last line that was not written to its end is cut off.

    Attributes
    ----------
    labels : dict
        Label of each image that is done, by :func:`file_key`.
    recent : deque of (str, float)
        Name and p-value of the last images that have one, for :class:`Drift`.

    Raises
    ------
    ValueError
        If the file has other lines, or another process has it open.
    """

    def __init__(self, path):
        check_output(path, ".jsonl", "--output")
        self.path, self.labels, self.recent = path, {}, deque(maxlen=WINDOW)
        # Without a buffer: what did not fit on the disk must not be written later by itself.
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115
        try:
            self._lock()
            self._read()
        except BaseException:
            self.close()
            raise
        sync_folder(os.path.dirname(path) or ".")

    def append(self, rows):
        """Write rows, and return once they are on the disk; an error leaves none of them."""
        content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        end = self._file.seek(0, os.SEEK_END)
        try:
            while content:
                content = content[self._file.write(content) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(end)
            raise
        for row in rows:
            self._remember(row)

    def close(self):
        """Let others have the file."""
        self._file.close()

    def _lock(self):
        try:
            lock(self._file)
        except BlockingIOError:
            raise ValueError(
                f"--output={str(self.path)!r} is in use by another 'skpatch watch'; give another "
                "name, or end that one."
            ) from None
        except OSError:
            # Some network drives have no locks.
            pass

    def _read(self):
        """Remember what is done, and cut off a line that was not written to its end."""
        self._file.seek(0)
        end = 0
        with open(self._file.fileno(), "rb", closefd=False) as lines:
            for number, line in enumerate(lines, 1):
                if _is_torn(line):
                    break
                try:
                    self._remember(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    raise ValueError(
                        f"--output={str(self.path)!r}, line {number}, is none of 'skpatch watch': "
                        f"{shown(line[:60])}. Give another name."
                    ) from None
                end += len(line)
        self._file.truncate(end)

    def _remember(self, row):
        self.labels[file_key(row["image"], row["size"], row["modified"])] = row["label"]
        if row.get("p_value") is not None:
            self.recent.append((row["image"], row["p_value"]))


def file_key(name, size, modified):
    """What tells a file from others, and from what it was before, in few bytes."""
    text = f"{name}\0{size}\0{modified}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=12).digest()


def _is_torn(line):
    """Whether it is the beginning of a line, which a kill or a power cut has left."""
    is_own = line[: len(_BEGINNING)] in (_BEGINNING, _BEGINNING[: len(line)], b"")
    return not line.endswith(b"\n") and (is_own or not line.strip(b"\0"))
