# SPDX-License-Identifier: BSD-3-Clause
"""The command line."""

import argparse
import sys
from pathlib import Path

from . import __version__

__all__ = ["main"]


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code: 0 for success, 1 for an error that the message explains, 2 for wrong usage.
    """
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (OSError, ValueError, ImportError) as error:
        print(f"skpatch: {error}", file=sys.stderr)
        return 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="skpatch",
        description="Find defects in images when the training images are themselves contaminated.",
    )
    parser.add_argument("--version", action="version", version=f"skpatch {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="find defective solar cells after training on a contaminated folder",
        description="Train PatchCore and skpatch on 200 normal and 20 defective photographs of "
        "solar cells, given as one unlabelled set; score 300 others; print one table and write a "
        "picture of heat maps. Needs the package extra 'demo'.",
    )
    demo.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("skpatch-demo.png"),
        help="picture to write (default: %(default)s)",
    )
    demo.add_argument("--seed", type=int, default=0, help="choice of the images (default: 0)")
    demo.set_defaults(run=_run_demo)
    return parser


def _run_demo(arguments):
    from ._demo import run_demo

    run_demo(arguments.output, arguments.seed)
    return 0
