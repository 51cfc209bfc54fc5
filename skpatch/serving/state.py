# SPDX-License-Identifier: BSD-3-Clause
"""What a server knows of recent images, in a file, so that a restart does not forget it."""

import hashlib
import json
import sys
import time

import numpy as np

from .. import __version__
from ..runtime.files import check_output, in_words, open_regular, replacing
from ..runtime.text import say

__all__ = ["StateFile"]

# The file is written that often at most: on a slow disk it takes as long as a score.
_SECONDS = 5


class StateFile:
    """The last p-values of each model that is served, for its :class:`Drift`.

    The file is replaced as a whole, so that one that is read is complete. A model that has been
    fitted or updated since begins anew, as p-values by the old one say nothing of it.

    Parameters
    ----------
    path : path
        The .json file; made if missing.
    served : dict of str to Served
        Models by name, which are given what the file knows of them.

    Raises
    ------
    ValueError
        If the file is of somebody else.
    OSError
        If it cannot be read or written.
    """

    def __init__(self, path, served):
        check_output(path, ".json", "--state")
        self._path, self._served, self._trouble = path, served, None
        try:
            self._read()
        except FileNotFoundError:
            pass
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ValueError(
                f"--state={str(path)!r} is none of 'skpatch serve'; give another name."
            ) from None
        self._write()

    def keep(self):
        """Write the file, unless it is only just written."""
        if time.monotonic() - self._written >= _SECONDS:
            self.close()

    def close(self):
        """Write the file; tell of trouble with the disk once, as long as it lasts."""
        try:
            self._write()
        except OSError as error:
            trouble, before = in_words(error), self._trouble
            if trouble != before:
                say(f"Warning: the state is not kept: {trouble}", sys.stderr)
            self._trouble = trouble
        else:
            self._trouble = None

    def _read(self):
        with open_regular(self._path) as file:
            models = json.load(file)["models"]
        for name, one in self._served.items():
            known = models.get(name)
            if known is not None and known["calibration"] == _calibration(one):
                recent = [(str(image), float(pvalue)) for image, pvalue in known["recent"]]
                one.drift.recall(recent, bool(known["changed"]))

    def _write(self):
        self._written = time.monotonic()
        models = {
            name: {
                "calibration": _calibration(one),
                "changed": one.drift.is_changed,
                "recent": one.drift.recent,
            }
            for name, one in self._served.items()
        }
        with replacing(self._path, encoding="utf-8") as file:
            json.dump({"skpatch": __version__, "models": models}, file)


def _calibration(served):
    """What tells the normal images that a model compares with from those of others."""
    scores = np.sort(served.pipeline[1].calibration_scores_)
    return hashlib.blake2b(scores.tobytes(), digest_size=12).hexdigest()
