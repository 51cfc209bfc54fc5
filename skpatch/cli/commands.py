# SPDX-License-Identifier: BSD-3-Clause
"""The command line. What the commands do is in modules that load when a command runs."""

import os
import signal
import sys
import warnings
from pathlib import Path

import click

from .. import __version__
from ..console.helping import Command, help_width, table
from ..console.options import (
    contamination_option,
    decisions_option,
    force_option,
    form_option,
    image_size_option,
    machine_options,
    network_options,
    run_options,
    training_options,
    weights_option,
)
from ..inspection.words import PVALUE, REGION, REGION_SCORE, SCORE
from ..runtime.files import in_words
from ..runtime.memory import memory_errors
from ..runtime.text import say, shown_lines
from .experiments import bench, demo, reproduce

__all__ = ["commands", "main"]

_ANOMALOUS, _UNREADABLE, _INTERRUPTED = 3, 4, 130
# What is wrong with a path is said by the work, as an error that is no wrong usage.
_TEXT, _PATH = click.Path(readable=False), click.Path(readable=False, path_type=Path)


class _Commands(click.Group):
    """Commands whose errors are messages, not tracebacks."""

    command_class = Command

    def resolve_command(self, ctx, args):
        """Find a command; what somebody wants of a folder is most often an audit."""
        if self.get_command(ctx, args[0]) is None and os.path.exists(args[0]):
            ctx.fail(f"Say what to do with {args[0]!r}, for instance: skpatch audit {args[0]!r}")
        return super().resolve_command(ctx, args)

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


# Files, folders, patterns, and lists of them on standard input.
_images = click.argument("images", type=_TEXT, nargs=-1, required=True)


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
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "terminal_width": help_width(),
    },
    epilog="""\b
Examples:
  skpatch audit photos                      which images of a folder are defective?
  skpatch fit photos -o line.skpatch        learn from a folder
  skpatch info line.skpatch                 what was it learned from?
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
  skpatch audit monday tuesday -o week.html --csv week.csv --top 20
  find . -name "*.png" | skpatch audit - --csv - --format jsonl"""
)
@_images
@click.option(
    "-o",
    "--output",
    type=_TEXT,
    show_default="<folder>-audit.html",
    help="HTML report to write.",
)
@click.option(
    "--csv", type=_TEXT, help="Also write the ranking to this .csv file; - for standard output."
)
@form_option("the ranking")
@image_size_option
@click.option(
    "--top", metavar="NUMBER", type=click.IntRange(min=0), default=10, help="Images to print."
)
@force_option
@training_options
def audit(**options):
    """Find the defective images of an unlabelled folder.

    Learns from IMAGES (files, folders with their subfolders, patterns, and - for a list of them on
    standard input), scores each of them without itself, and
    writes a report to look at in a browser: all images in the order of suspicion, with heat maps.
    The score is the mean of the worst patches of the image, in units of the model's threshold:
    above 1 it is suspicious. The p-value is the share of normal images that look at least as
    unusual. Of a folder with a known layout, such as
    MVTec AD, only the training images are taken.
    """
    from .audit import run_audit

    run_audit(**options)


@commands.command(
    short_help="Learn from a folder and save a model.",
    epilog="""\b
Examples:
  skpatch fit photos -o line.skpatch
  skpatch fit photos -o line.skpatch --decisions decisions.csv
  skpatch fit photos -o line.skpatch --contamination 0.01 --image-size 320""",
)
@_images
@click.option("-o", "--output", type=_TEXT, required=True, help="Model to write, a .skpatch file.")
@force_option
@training_options
def fit(**options):
    """Learn from IMAGES (files, folders with their subfolders, - for a list), and save a model.

    The images need no labels, and some of them may be defective. Those that --decisions calls
    defects are left out, and those that it calls normal are trusted. Of a folder with a known
    layout, such as MVTec AD, only the training images are learned from.
    """
    from .fit import run_fit

    run_fit(**options)


@commands.command(
    short_help="Forget, trust and add images of a saved model.",
    epilog="""\b
Examples:
  skpatch update line.skpatch --decisions decisions.csv -o line2.skpatch
  skpatch update line.skpatch --add monday --add tuesday -o line2.skpatch""",
)
@click.argument("model", type=_PATH)
@decisions_option
@click.option(
    "--add",
    multiple=True,
    type=_TEXT,
    metavar="IMAGES",
    help="Files, and folders with their subfolders, to learn from too. Repeatable.",
)
@click.option("-o", "--output", type=_TEXT, required=True, help="Model to write, a .skpatch file.")
@force_option
@network_options
@run_options
def update(**options):
    """Take decisions over into a saved MODEL, without the images that it was learned from.

    Training images that --decisions calls defects are forgotten, and those that it calls normal
    are trusted. Images to --add may be among them: their defects are left out.
    """
    if not (options["decisions"] or options["add"]):
        raise click.UsageError("Nothing to do: pass --decisions, or --add.")
    from .update import run_update

    run_update(**options)


@commands.command(short_help="Say what a saved model was learned from.")
@click.argument("model", type=_TEXT)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Rows to read, or JSON for programs.",
)
def info(model, form):
    """Say what a saved MODEL was learned from: images, decisions, sizes, noise, threshold."""
    from .info import run_info

    run_info(model, form)


@commands.command(
    short_help="Sort images into folders by decisions.",
    epilog="""\b
Example:
  skpatch sort photos --decisions decisions.csv --to sorted""",
)
@_images
@click.option(
    "--decisions",
    type=_TEXT,
    required=True,
    help="CSV file with the columns image and decision, as a report saves it.",
)
@click.option(
    "--to", "target", type=_PATH, required=True, help="Folder for the folders; made if missing."
)
@click.option("--move", is_flag=True, help="Move the images instead of copying them.")
def sort(**options):
    """Copy IMAGES (files and folders) into the folders defect, normal and unsure.

    Subfolders are kept. Nothing is overwritten, and images without a decision stay where they are.
    """
    from .sort import run_sort

    run_sort(**options)


@commands.command(
    short_help="Inspect images with a saved model.",
    epilog="""\b
Examples:
  skpatch score line.skpatch new -o new.csv
  skpatch score line.skpatch a.png b.png -o new.csv --maps heat --report new.html
  skpatch score line.skpatch new -o new.csv --fail-on-anomaly || echo look at new.csv
  ls today/*.png | skpatch score line.skpatch - -o - --format jsonl
\b
Columns of the table:
"""
    + table(
        {
            "image": "path as given",
            "score": SCORE,
            "p_value": PVALUE,
            "label": "anomalous if the score is above 1, else normal; unreadable, with nothing in "
            "the other columns, for an image that was skipped",
            "rank": "place among all images, 1 for the worst",
            "n_regions": f"number of regions; each is a {REGION}",
            "regions": 'JSON, the worst first: [{"box": [left, top, right, bottom] in pixels, '
            f'"area": pixels, "score": {REGION_SCORE}}}, ...]',
            "noise_patches": "of audits: patches that were taken for noise",
            "decision": "of audits: what was decided on the image",
            "unlike": "only if one is: whether it looks like another product or camera",
        }
    ),
)
@click.argument("model", type=_PATH)
@_images
@click.option(
    "-o", "--output", type=_TEXT, required=True, help="Table to write; - for standard output."
)
@form_option("the table")
@click.option(
    "--maps",
    type=_PATH,
    help="Folder for a PNG of each image under its heat map, named by rank and score; made if "
    "missing.",
)
@click.option("--report", type=_TEXT, help="Also write this HTML report.")
@image_size_option
@force_option
@click.option(
    "--fail-on-anomaly",
    is_flag=True,
    help="Exit with 3 if any image is anomalous, with 4 if none is but one was unreadable.",
)
@contamination_option(click.option, None, "The model's own by default.")
@network_options
@run_options
@click.pass_context  # type: ignore[arg-type]
def score(context, fail_on_anomaly, **options):
    """Inspect IMAGES (files, folders with their subfolders, - for a list) with a saved MODEL.

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
@click.option("--no-maps", is_flag=True, help="Scores only, in less than half of the time.")
@force_option
@weights_option
def export(**options):
    """Export a saved MODEL to ONNX, for onnxruntime, OpenVINO or TensorRT.

    One graph, from the pixels of images of any size to their scores, p-values, verdicts and maps.
    It is compared with the model before it is written. Needs the package extra 'onnx'.
    """
    from .export import run_export

    run_export(**options)


@commands.command(
    short_help="Score images as they come into a folder.",
    epilog="""\b
Examples:
  skpatch watch line.skpatch incoming -o results.jsonl
  skpatch watch line.skpatch incoming -o results.jsonl --move-to done
\b
Each line has what is known of the columns of score --format jsonl, and:
"""
    + table(
        {
            "image": "path from the folder on",
            "error": "why an unreadable image is one",
            "drift": "yes if the last 100 images look more unusual than normal ones, else no",
            "time": "when it was scored",
            "latency": "seconds since it was first seen",
            "size, modified": "of the file: one with others is scored again",
            "moved_to": "where --move-to moves it next",
        }
    ),
)
@click.argument("model", type=_PATH)
@click.argument("folder", type=_PATH)
@click.option(
    "-o", "--output", type=_TEXT, required=True, help="Results, a .jsonl file; added to if it is."
)
@click.option(
    "--move-to",
    type=_PATH,
    help="Move images that are done to the folders normal, anomalous and unreadable in this one.",
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=0.5,
    help="Between two looks. A file that two of them find unchanged is complete.",
)
@network_options
@machine_options
@click.pass_context  # type: ignore[arg-type]
def watch(context, **options):
    """Score images as they come into a FOLDER, with a saved MODEL, until Ctrl-C.

    Subfolders are looked into. Each image is scored once: the results file is the record of what is
    done, and a second start goes on where the first has ended. Files that are no picture, a full
    disk and folders that are away for a while do not end it.
    """
    from .watch import run_watch

    if run_watch(**options) == signal.SIGINT:
        context.exit(_INTERRUPTED)


@commands.command(
    short_help="Score images that are sent over HTTP.",
    epilog="""\b
Examples:
  skpatch serve line.skpatch
  skpatch serve front.skpatch back.skpatch --port 8000
  curl --data-binary @image.png http://localhost:8000/models/front/score
\b
A page to drop images on is at /, what can be asked at /docs, the state at
/health, and counts for Prometheus at /metrics.""",
)
@click.argument("models", type=_PATH, nargs=-1, required=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0 for a free one.")
@click.option(
    "--host",
    default="127.0.0.1",
    help="Address to listen at; others than this computer's own take an API key.",
)
@click.option(
    "--api-key",
    envvar="SKPATCH_API_KEY",
    show_envvar=True,
    help="Key that each request has to bring.",
)
@click.option(
    "--max-megabytes",
    metavar="NUMBER",
    type=click.IntRange(1),
    default=50,
    help="The most that a request may send.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    help="Time after which a request is given up.",
)
@click.option(
    "--state",
    metavar="FILE",
    type=_TEXT,
    help="JSON file for recent p-values, so that a restart does not forget whether images have "
    "changed.",
)
@network_options
@machine_options
def serve(**options):
    """Score images that are sent over HTTP, with saved MODELS, until Ctrl-C.

    Each model is served under the name of its file. Requests that wait are scored together. Needs
    the package extra 'serve'.
    """
    from .serve import run_serve

    run_serve(**options)


commands.add_command(demo)
commands.add_command(bench)
commands.add_command(reproduce)
