# SPDX-License-Identifier: BSD-3-Clause
"""The command line: a module for each command, which loads when it runs.

May import every other room.
"""

from .commands import main

__all__ = ["main"]
