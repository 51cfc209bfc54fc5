# SPDX-License-Identifier: BSD-3-Clause
"""Save fitted models and load them again, without pickle: loading runs no code from the file.

Imports pipeline, detector, discriminators, bank, features, likeness, networks, engines,
distances and runtime.
"""

from .models import load, save

__all__ = ["load", "save"]
