# SPDX-License-Identifier: BSD-3-Clause
"""Addresses of the project, and where the source of a documented object is."""

import importlib
import inspect
import re
from pathlib import Path

import skpatch

__all__ = ["EDIT", "HOSTED_NOTEBOOK", "PROJECT_URL", "SITE", "VERSION", "source_link"]

_ROOT = Path(__file__).parent.parent
_SETTINGS = (_ROOT / "pyproject.toml").read_text(encoding="utf-8")
_ADDRESSES = dict(re.findall(r'^(\w+) = "(https://.+)"$', _SETTINGS, re.MULTILINE))
PROJECT_URL, SITE = _ADDRESSES["Source"], _ADDRESSES["Documentation"]
# Folder of the site, and line of the version switcher.
VERSION = "dev" if "dev" in skpatch.__version__ else skpatch.__version__
# Lines are those of the release, or of the branch that it will come from.
_REVISION = "main" if VERSION == "dev" else f"v{VERSION}"
EDIT = f"{PROJECT_URL}/edit/main"
# The service reads it from the project's branch.
HOSTED_NOTEBOOK = (
    PROJECT_URL.replace("github.com", "colab.research.google.com/github")
    + "/blob/main/examples/plot_first_hour.ipynb"
)


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
    # Other libraries may be installed below the root.
    if not path.is_relative_to(_ROOT / "skpatch"):
        return None
    place = path.relative_to(_ROOT).as_posix()
    return f"{PROJECT_URL}/blob/{_REVISION}/{place}#L{first}-L{first + len(lines) - 1}"
