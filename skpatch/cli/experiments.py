# SPDX-License-Identifier: BSD-3-Clause
"""Commands that show and measure what the library is worth: demo and bench."""

from pathlib import Path

import click

from ..bench.settings import ELPV_SETS, METHODS
from .helping import Command
from .options import force_option
from .output import check_free

__all__ = ["bench", "demo"]

_TEXT, _PATH = click.Path(readable=False), click.Path(readable=False, path_type=Path)


@click.command(cls=Command)
@click.option(
    "-o",
    "--output",
    type=_PATH,
    default="skpatch-demo.png",
    help="PNG file to write.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Chooses the images.")
@force_option
def demo(output, seed, force):
    """Find defective solar cells after training on a contaminated set.

    Trains PatchCore and skpatch on 200 normal and 20 defective photographs of solar cells, given as
    one unlabelled set; scores 300 others; prints one table and writes a picture of heat maps. Needs
    the package extra 'demo'.
    """
    check_free(str(output), ".png", "--output", force)
    from ..bench.demo import run_demo

    run_demo(output, seed)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  skpatch bench
  skpatch bench --sets mono --noise 0 --noise 0.1 --seeds 10
  skpatch bench --sets none --data mvtec/bottle --data mvtec/cable""",
)
@click.option(
    "--sets",
    multiple=True,
    type=click.Choice([*ELPV_SETS, "none"]),
    default=ELPV_SETS,
    help="Solar cells; repeatable.",
)
@click.option(
    "--data",
    "folders",
    multiple=True,
    type=_TEXT,
    help="A folder laid out as MVTec AD or the like; repeatable.",
)
@click.option(
    "--noise",
    multiple=True,
    type=click.FloatRange(0, 1),
    default=[0.0, 0.1, 0.2, 0.4],
    help="Injected defects divided by normal training images; repeatable.",
)
@click.option(
    "--seeds",
    multiple=True,
    type=click.IntRange(0, 2**32 - 1),
    default=[10, 11, 12],
    help="Draw the images and seed the detector; repeatable.",
)
@click.option(
    "--methods",
    multiple=True,
    type=click.Choice(list(METHODS)),
    default=list(METHODS),
    help="Repeatable.",
)
@click.option(
    "--output", default="robustness", type=_TEXT, help="The .csv and .png without ending."
)
@click.option("--cache", type=_PATH, help="Folder for the features; by default <output>-features.")
def bench(sets, folders, **options):
    """Measure accuracy against the share of defects in the training set.

    The protocol of the SoftPatch paper on photographs of solar cells and on any folders: a CSV, a
    plot, tables. It takes hours. Rows are written as soon as they are measured, and a run that was
    stopped goes on where it was: delete the CSV, or its rows of a method, to measure anew. Needs
    the package extra 'demo'.
    """
    sets = [name for name in sets if name != "none"]
    if not (sets or folders):
        raise click.UsageError("--sets is none and there is no --data.")
    from ..plotting.checks import check_matplotlib

    check_matplotlib("The benchmark")
    from ..bench.run import run_bench

    run_bench(sets=sets, folders=folders, **options)
