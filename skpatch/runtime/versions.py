# SPDX-License-Identifier: BSD-3-Clause
"""The versions of what results depend on, for whoever asks later how they came about."""

import platform
from contextlib import suppress
from importlib import metadata

from .. import __version__

__all__ = ["installed_versions"]

_LIBRARIES = ("numpy", "torch", "torchvision", "scikit-learn")


def installed_versions():
    """Those of the libraries that are here, of skpatch and of Python, by name."""
    libraries = {}
    for name in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            libraries[name] = metadata.version(name)
    return {**libraries, "skpatch": __version__, "python": platform.python_version()}
