# SPDX-License-Identifier: BSD-3-Clause
"""The command line. What the commands do is in modules that load when a command runs."""

import sys
import textwrap
import warnings
from pathlib import Path

import click

from .. import __version__
from ..bench.settings import ELPV_SETS, METHODS
from ..inspection.words import PVALUE, REGION, REGION_SCORE, SCORE
from ..runtime.memory import memory_errors
from ..runtime.text import say, shown_lines
from .options import (
    device_option,
    engine_option,
    force_option,
    run_options,
    training_options,
)
from .output import in_words

__all__ = ["commands", "main"]

_ANOMALOUS, _UNREADABLE, _INTERRUPTED = 3, 4, 130
# What is wrong with a path is said by the work, as an error that is no wrong usage.
_TEXT, _PATH = click.Path(readable=False), click.Path(readable=False, path_type=Path)


class _Commands(click.Group):
    """Commands whose errors are messages, not tracebacks."""

    def invoke(self, ctx):
        """Run a command."""
        try:
            with memory_errors():
                result = super().invoke(ctx)
            # Here, so that click handles a pipe that nobody reads any more.
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except (OSError, ValueError, ImportError, MemoryError) as error:
            raise click.ClickException(in_words(error)) from error
        return result


def _table(rows):
    """Names with what they mean, in lines for a terminal."""
    indents = {"initial_indent": "  ", "subsequent_indent": " " * 13}
    return "\n".join(
        textwrap.fill(f"{key:<9}  {text}", 78, **indents) for key, text in rows.items()
    )


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code: 0 for success, 1 for an error that the message explains, 2 for wrong usage; if
        asked for, 3 for an anomalous image and 4 for one that was not inspected; 130 after Ctrl-C.
    """
    # Names of files need not be in the alphabet of a terminal or a log.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    shown = set()

    def show_once(message, *_):
        # Training images are read twice, and others in parts.
        if str(message) not in shown:
            shown.add(str(message))
            say(f"Warning: {message}", sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show_once
        try:
            return commands.main(argv, prog_name="skpatch", standalone_mode=False) or 0
        except click.ClickException as error:
            error.message = shown_lines(error.message)
            error.show()
            return error.exit_code
        except click.Abort:
            say("Interrupted.", sys.stderr)
            return _INTERRUPTED


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="""\b
Examples:
  skpatch audit photos                      which images of a folder are defective?
  skpatch fit photos -o line.skpatch        learn from a folder
  skpatch score line.skpatch new -o new.csv inspect other images
\b
Exit codes: 0 done, 1 an error that the message explains, 2 wrong usage,
130 interrupted; with score --fail-on-anomaly 3 for an anomalous image and
4 for none, but one that could not be read (--skip-bad).""",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def commands():
    """Find defects in images, learned from a folder that holds defective ones too."""


@commands.command(
    epilog="""\b
Examples:
  skpatch audit photos
  skpatch audit photos -o monday.html --csv monday.csv --top 20"""
)
@click.argument("folder", type=_PATH)
@click.option(
    "-o", "--output", type=_TEXT, default="skpatch-audit.html", help="HTML report to write."
)
@click.option("--csv", type=_TEXT, help="Also write the ranking to this .csv file.")
@click.option("--top", type=click.IntRange(min=0), default=10, help="Images to print.")
@force_option
@training_options
def audit(**options):
    """Find the defective images of an unlabelled FOLDER.

    Learns from all images in FOLDER and its subfolders, scores each of them without itself, and
    writes a report to look at in a browser: all images in the order of suspicion, with heat maps.
    The score is the mean of the worst patches of the image, in units of the model's threshold:
    above 1 it is suspicious. The p-value is the share of normal images that look at least as
    unusual. Of a folder with a known layout, such as
    MVTec AD, only the training images are taken.
    """
    from .train import run_audit

    run_audit(**options)


@commands.command(
    short_help="Learn from a folder and save a model.",
    epilog="""\b
Examples:
  skpatch fit photos -o line.skpatch
  skpatch fit photos -o line.skpatch --contamination 0.01 --image-size 320""",
)
@click.argument("folder", type=_PATH)
@click.option("-o", "--output", type=_TEXT, required=True, help="Model to write, a .skpatch file.")
@force_option
@training_options
def fit(**options):
    """Learn from all images in FOLDER and its subfolders, and save a model.

    The images need no labels, and some of them may be defective. Of a folder with a known layout,
    such as MVTec AD, only the training images are learned from.
    """
    from .train import run_fit

    run_fit(**options)


@commands.command(
    short_help="Inspect images with a saved model.",
    epilog="""\b
Examples:
  skpatch score line.skpatch new -o new.csv
  skpatch score line.skpatch a.png b.png -o new.csv --maps heat --report new.html
  skpatch score line.skpatch new -o new.csv --fail-on-anomaly || echo look at new.csv
\b
Columns of the CSV:
"""
    + _table(
        {
            "image": "path as given",
            "score": SCORE,
            "p_value": PVALUE,
            "label": "anomalous if the score is above 1, else normal; unreadable, with nothing in "
            "the other columns, for an image that was skipped",
            "unlike": "whether it looks like another product or camera",
            "n_regions": f"number of regions; each is a {REGION}",
            "regions": 'JSON, the worst first: [{"box": [left, top, right, bottom] in pixels, '
            f'"area": pixels, "score": {REGION_SCORE}}}, ...]',
        }
    ),
)
@click.argument("model", type=_PATH)
@click.argument("images", type=_TEXT, nargs=-1, required=True)
@click.option("-o", "--output", type=_TEXT, required=True, help="CSV file to write.")
@click.option(
    "--maps",
    type=_PATH,
    help="Folder for a PNG of each image under its heat map; made if missing.",
)
@click.option("--report", type=_TEXT, help="Also write this HTML report.")
@force_option
@click.option(
    "--fail-on-anomaly",
    is_flag=True,
    help="Exit with 3 if any image is anomalous, with 4 if none is but one was unreadable.",
)
@click.option("--weights", type=_TEXT, help="File of the network's weights, if it had one.")
@device_option
@engine_option(None, "The model's own by default.")
@run_options
@click.pass_context  # type: ignore[arg-type]
def score(context, fail_on_anomaly, **options):
    """Inspect IMAGES (files, and folders with their subfolders) with a saved MODEL.

    Of a folder with a known layout, such as MVTec AD, the test images are inspected; masks never.

    A region is a group of adjacent patches above the threshold, 8 pixels of the network's
    input each unless the model has another network. An anomalous image has at least one region, and
    a normal one may have small ones: its score is a mean. Heat maps and reports outline regions;
    their colours begin with orange at .86 of the threshold, and are magenta at twice the threshold.
    """
    from .score import run_score

    n_anomalous, n_unreadable = run_score(**options)
    if fail_on_anomaly and (n_anomalous or n_unreadable):
        context.exit(_ANOMALOUS if n_anomalous else _UNREADABLE)


@commands.command(
    epilog="""\b
Example:
  skpatch export line.skpatch -o line.onnx"""
)
@click.argument("model", type=_PATH)
@click.option("-o", "--output", type=_TEXT, required=True, help="ONNX file to write.")
@force_option
@click.option("--weights", type=_TEXT, help="File of the network's weights, if it had one.")
def export(**options):
    """Export a saved MODEL to ONNX, for onnxruntime, OpenVINO or TensorRT.

    One graph, from the pixels of images of any size to their scores, p-values, verdicts and maps.
    It is compared with the model before it is written. Needs the package extra 'onnx'.
    """
    from .export import run_export

    run_export(**options)


@commands.command()
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
    from .demo import run_demo

    run_demo(output, seed, force=force)


@commands.command(
    epilog="""\b
Examples:
  skpatch bench
  skpatch bench --sets mono --noise 0 --noise 0.1 --seeds 10
  skpatch bench --sets none --data mvtec/bottle --data mvtec/cable"""
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
