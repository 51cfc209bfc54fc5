# SPDX-License-Identifier: BSD-3-Clause
"""Where the source of a documented object is, for ``sphinx.ext.linkcode``."""

import importlib
import inspect
import re
from pathlib import Path

import skpatch

__all__ = ["EDIT", "PROJECT_URL", "source_link"]

_ROOT = Path(__file__).parent.parent
# The owner's address stands in one place.
_SETTINGS = (_ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT_URL = re.search(r'^Source = "(.+)"$', _SETTINGS, re.MULTILINE)[1]
# Lines are those of the release, or of the branch that it will come from.
_REVISION = "main" if "dev" in skpatch.__version__ else f"v{skpatch.__version__}"
EDIT = f"{PROJECT_URL}/edit/main"


def source_link(module, name):
    """Address of the lines that define `name`, such as ``SoftPatchDetector.fit``, of a module.

    None for what has no lines in the package: attributes, and what other libraries define.
    """
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    found = inspect.unwrap(found.fget if isinstance(found, property) else found)
    try:
        path = Path(inspect.getsourcefile(found)).resolve()
        lines, first = inspect.getsourcelines(found)
    except TypeError:
        return None
    if not path.is_relative_to(_ROOT):
        return None
    place = path.relative_to(_ROOT).as_posix()
    return f"{PROJECT_URL}/blob/{_REVISION}/{place}#L{first}-L{first + len(lines) - 1}"
