# SPDX-License-Identifier: BSD-3-Clause
"""Commands that show and measure what the library is worth: demo, bench, reproduce."""

from pathlib import Path

import click

from ..bench.settings import ELPV_SETS, METHODS, PRESETS
from ..console.helping import Command
from ..console.options import AutoOr, Size, force_option
from ..console.output import check_free

__all__ = ["bench", "demo", "reproduce"]

_TEXT, _PATH = click.Path(readable=False), click.Path(readable=False, path_type=Path)


def _names(context, parameter, text):
    """Names between commas."""
    return text if text is None else tuple(name.strip() for name in text.split(","))


_BENCH = [
    click.option("--backbone", help="Network, as for skpatch fit; that of the preset by default."),
    click.option("--weights", metavar="PATH|random", help="State dict of the network."),
    click.option("--layers", callback=_names, help="Layers whose maps are used, with commas."),
    click.option("--image-size", type=AutoOr(click.IntRange(1)), help="Shorter side, or auto."),
    click.option("--resize", type=click.IntRange(1), help="Shorter side before --crop."),
    click.option("--crop", type=click.IntRange(1), help="Side of the central square that is seen."),
    click.option("--patch-size", type=click.IntRange(1), help="Side of the patches, odd."),
    click.option("--embedding-dim", type=click.IntRange(1), help="Features after pooling."),
    click.option("--coreset-size", type=AutoOr(Size()), help="As for skpatch fit."),
    click.option(
        "--noise-threshold",
        type=AutoOr(click.FloatRange(0, 1, max_open=True)),
        help="As for skpatch fit, for all methods.",
    ),
    click.option(
        "--copies",
        type=click.Choice(["rotation", "affine", "blur", "noise"]),
        help="Inject altered copies of the tested defects, as the paper does with overlap.",
    ),
    click.option(
        "--seeds",
        multiple=True,
        type=click.IntRange(0, 2**32 - 1),
        default=[10, 11, 12],
        help="Draw the images and seed the detector; repeatable.",
    ),
    click.option(
        "--jobs",
        "n_jobs",
        metavar="NUMBER",
        type=click.IntRange(1),
        default=1,
        help="Processes that measure at a time.",
    ),
    click.option(
        "--style",
        type=click.Choice(["markdown", "latex"]),
        default="markdown",
        help="Of the tables; latex needs the package booktabs.",
    ),
    click.option(
        "--output",
        default="robustness",
        type=_TEXT,
        help="The .csv without ending; the .png of several shares of noise has its name.",
    ),
    click.option(
        "--cache",
        type=_PATH,
        help="Folder for the features; by default <output>-features.",
    ),
]


def _measuring(command):
    """Add the options of the commands that measure, which are parameters of estimators and more."""
    for option in reversed(_BENCH):
        command = option(command)
    return command


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
  skpatch bench --sets none --data mvtec/bottle --data mvtec/cable
  skpatch bench --preset softpatch --backbone resnet18 --layers layer2,layer3""",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="default",
    help="What is measured where no option says otherwise.",
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
    help="A folder laid out as MVTec AD or the like, or of such ones; repeatable.",
)
@click.option(
    "--noise",
    multiple=True,
    type=click.FloatRange(0, 1),
    help="Injected defects divided by normal training images; repeatable.",
)
@click.option(
    "--methods",
    multiple=True,
    type=click.Choice(list(METHODS)),
    help="Repeatable.",
)
@_measuring
def bench(sets, folders, **options):
    """Measure accuracy against the share of defects in the training set.

    The protocol of the SoftPatch paper on photographs of solar cells and on any folders: a CSV,
    tables, and a plot of several shares of noise. It takes hours. Rows are written as soon as they
    are measured, and a run that was stopped goes on where it was: delete the CSV, or its rows of a
    method, to measure anew. Needs the package extra 'demo'.
    """
    sets = [name for name in sets if name != "none"]
    if not (sets or folders):
        raise click.UsageError("--sets is none and there is no --data.")
    _measure(sets=sets, folders=folders, **options)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  skpatch reproduce softpatch --data mvtec
  skpatch reproduce patchcore --data mvtec/bottle --weights wide_resnet50_2.pth""",
)
@click.argument("preset", type=click.Choice([name for name in PRESETS if name != "default"]))
@click.option(
    "--data",
    "folders",
    multiple=True,
    required=True,
    type=_TEXT,
    help="A folder laid out as MVTec AD or the like, or of such ones; repeatable.",
)
@_measuring
def reproduce(preset, folders, **options):
    """Measure a published method by its own protocol.

    softpatch is PatchCore and SoftPatch with 10 % of defects among the training images, softpatch+
    fuses its discriminators, patchcore is PatchCore on clean ones, all with a WideResNet-50-2,
    whose weights torchvision downloads;
    anomalydino is a memory of all tokens of DINOv2, which timm downloads. Published figures
    are printed below the tables where there are any. Else as skpatch bench.
    """
    _measure(preset=preset, sets=[], folders=folders, **options)


def _measure(**options):
    from ..plotting.checks import check_matplotlib

    check_matplotlib("The benchmark")
    from ..bench.run import run_bench

    own = (
        "preset",
        "sets",
        "folders",
        "noise",
        "methods",
        "copies",
        "seeds",
        "n_jobs",
        "style",
        "output",
        "cache",
    )
    run = {name: options.pop(name) for name in own if name in options}
    parameters = {name: value for name, value in options.items() if value is not None}
    run_bench(**run, parameters=parameters)
