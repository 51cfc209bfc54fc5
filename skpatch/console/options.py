# SPDX-License-Identifier: BSD-3-Clause
"""Options that commands share."""

from functools import partial

import click

from ..inspection.table_files import FORMS
from ..runtime.memory import memory_bytes
from .helping import Option

__all__ = [
    "AutoOr",
    "Size",
    "contamination_option",
    "decisions_option",
    "force_option",
    "form_option",
    "image_size_option",
    "limit_threads",
    "machine_options",
    "network_options",
    "run_options",
    "training_options",
    "weights_option",
]


class AutoOr(click.ParamType):
    """The word "auto" or a number of a range."""

    def __init__(self, numbers):
        self._numbers = numbers
        self.name = f"auto|{numbers.name}"

    def convert(self, value, param, ctx):
        """Value of the option from its text."""
        return value if value == "auto" else self._numbers.convert(value, param, ctx)


class Size(click.ParamType):
    """A share with a point, or a whole number."""

    name = "share|number"

    def convert(self, value, param, ctx):
        """Value of the option from its text."""
        is_whole = isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
        numbers = click.IntRange(1) if is_whole else click.FloatRange(0, 1, min_open=True)
        return numbers.convert(value, param, ctx)


class _Memory(click.ParamType):
    """Bytes as text."""

    name = "bytes"

    def convert(self, value, param, ctx):
        """Value of the option, which the detector understands, too."""
        try:
            memory_bytes(value)
        except ValueError:
            self.fail(f"{value!r} is no amount of memory such as 500M, 2G or '2 GiB'.", param, ctx)
        return value


def _allow_pixels(context, _, number):
    """Let Pillow open images of that many pixels during the command."""
    if number is not None:
        from PIL import Image

        before = Image.MAX_IMAGE_PIXELS
        context.call_on_close(lambda: setattr(Image, "MAX_IMAGE_PIXELS", before))
        # Pillow refuses twice as many as this.
        Image.MAX_IMAGE_PIXELS = -(-number // 2)


_training = partial(click.option, cls=Option, heading="What is learned")
_run = partial(click.option, cls=Option, heading="Images and machine")


device_option = _run(
    "--device",
    default="auto",
    metavar="cpu|cuda|auto",
    help="Torch device; auto takes a GPU if there is one.",
)


decisions_option = click.option(
    "--decisions",
    type=click.Path(readable=False),
    help="CSV file with the columns image and decision, as a report saves it: each is defect, "
    "normal or unsure.",
)


def form_option(what):
    """Option for the form of a table."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(FORMS),
        help=f"Form of {what}; by the ending of its name by default, and csv for -.",
    )


def contamination_option(option, default, note):
    """Option, made by a function, for the share of false alarms."""
    return option(
        "--contamination",
        metavar="SHARE|auto",
        type=AutoOr(click.FloatRange(0, 0.5, min_open=True)),
        default=default,
        help="Share of normal images that may be called anomalous by mistake; n images cannot "
        f"promise less than 1 / (n + 1). {note}",
    )


force_option = click.option(
    "--force", is_flag=True, help="Replace outputs that skpatch has not written, too."
)


image_size_option = click.option(
    "--image-size-in-report",
    "report_image_size",
    metavar="SIZE",
    type=click.IntRange(16),
    show_default="320, and of more than 1,000 images 160",
    help="Longest side, in pixels, of the copies in the report.",
)


def engine_option(default, note):
    """Option for what runs the network; importing the engines' names would load numpy."""
    return _run(
        "--engine",
        type=click.Choice(["torch", "openvino", "onnx"]),
        default=default,
        help="What runs the network; openvino and onnx need the package extras of these names. "
        f"{note}",
    )


_TRAINING = [
    _training(
        "--discriminator",
        type=click.Choice(["support", "lof", "gaussian", "nearest", "fusion", "none"]),
        default="support",
        help="What tells noise. lof, gaussian: SoftPatch, and fusion: SoftPatch+, for aligned "
        "objects; none: PatchCore.",
    ),
    _training(
        "--noise-threshold",
        metavar="SHARE|auto",
        type=AutoOr(click.FloatRange(0, 1, max_open=True)),
        default="auto",
        help="Share of patches to drop as noise. auto: found in the images; 0.15 for the others "
        "than support.",
    ),
    _training(
        "--coreset-size",
        metavar="SHARE|NUMBER|auto",
        type=AutoOr(Size()),
        default="auto",
        help="Memory patches: a share of all patches such as 0.1, or a number such as 5000. auto: "
        "a tenth, at most 20000.",
    ),
    contamination_option(
        _training, "auto", "auto: 5 %, or what is beyond three robust standard deviations."
    ),
    _training(
        "--backbone",
        metavar="NAME",
        default="efficientnet_lite0",
        help="Network: efficientnet_lite0, a model of torchvision, or timm/NAME of timm (both "
        "download their weights).",
    ),
    _training(
        "--weights",
        type=click.Path(readable=False),
        help="State dict of the network, instead of a download.",
    ),
    _training(
        "--image-size",
        type=AutoOr(click.IntRange(1)),
        default="auto",
        metavar="SIZE|auto",
        help="Shorter side, in pixels, to which images are resized for the network. A larger one "
        "finds smaller defects, and takes time with its square. auto: 320 for square images, as "
        "many pixels in all for others, but 224 at least.",
    ),
    _training(
        "--augment",
        type=click.Choice(["rotation", "flip"]),
        help="Learn from turned or mirrored copies, too: for few images of parts that lie in any "
        "direction.",
    ),
    _training(
        "--intensity-range",
        type=float,
        nargs=2,
        metavar="BLACK WHITE",
        help="Numbers that are black and white in images that are not 8-bit, such as 0 4095; "
        "learned from the images by default.",
    ),
    _training(
        "--tile-size",
        type=click.IntRange(1),
        metavar="SIZE",
        help="Largest side of tiles, in pixels, that pass the network one by one; for a large "
        "--image-size.",
    ),
    _training(
        "--memory-limit",
        metavar="MEMORY",
        type=_Memory(),
        help="Memory to take, such as 2G. More images than fit are learned from in shards, and "
        "pass the network twice.",
    ),
    _training(
        "--region",
        type=click.Path(readable=False),
        help="Picture of the images' proportions, white where they are inspected.",
    ),
    _training(
        "--trust",
        "trusted",
        multiple=True,
        metavar="NAME",
        help="An image that is known to be normal, such as a rare variant; the end of its path "
        "will do. Repeatable.",
    ),
    decisions_option,
    _training(
        "--seed",
        metavar="NUMBER",
        type=click.IntRange(0, 2**32 - 1),
        default=0,
        help="Seed of the random choices.",
    ),
    device_option,
    engine_option("torch", "It is saved with the model."),
]
_MACHINE = [
    _run(
        "--jobs",
        metavar="NUMBER",
        type=click.IntRange(1),
        help="Threads; as many as cores by default.",
    ),
    _run(
        "--max-pixels",
        metavar="NUMBER",
        type=click.IntRange(1),
        callback=_allow_pixels,
        expose_value=False,
        help="Pixels of the largest image that is read; 178956970 by default.",
    ),
    _run("-q", "--quiet", is_flag=True, help="Print errors and warnings only."),
]
_RUN = [
    _run(
        "--layout",
        type=click.Choice(["auto", "mvtec", "btad", "visa", "sorted", "beside", "plain"]),
        default="auto",
        help="What folders hold: labelled images and masks in a layout that is known (auto finds "
        "it), or plain images.",
    ),
    _run("--skip-bad", is_flag=True, help="Go on without images that cannot be read."),
]


weights_option = click.option(
    "--weights",
    type=click.Path(readable=False),
    help="File of the network's weights, if it had one.",
)


def network_options(command):
    """Add the options of every command that runs the network of a saved model."""
    command = engine_option(None, "The model's own by default.")(command)
    return weights_option(device_option(command))


def machine_options(command):
    """Add the options of every command that a saved model works for."""
    for option in reversed(_MACHINE):
        command = option(command)
    return command


def run_options(command):
    """Add the options of every command that reads given images."""
    command = machine_options(command)
    for option in reversed(_RUN):
        command = option(command)
    return command


def training_options(command):
    """Add the options of a command that learns."""
    command = run_options(command)
    for option in reversed(_TRAINING):
        command = option(command)
    return command


def limit_threads(jobs):
    """Let the network, and the detector with it, use that many threads during the command."""
    if jobs is not None:
        from ..runtime.products import get_threads, set_threads

        before = get_threads()
        click.get_current_context().call_on_close(lambda: set_threads(before))
        set_threads(jobs)
