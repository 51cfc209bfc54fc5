# SPDX-License-Identifier: BSD-3-Clause
"""Options that commands share."""

from pathlib import Path

import click

from ..runtime.memory import memory_bytes

__all__ = [
    "bench_options",
    "device_option",
    "engine_option",
    "force_option",
    "limit_threads",
    "run_options",
    "training_options",
]


class _AutoOr(click.ParamType):
    """The word "auto" or a number of a range."""

    def __init__(self, numbers):
        self._numbers = numbers
        self.name = f"auto|{numbers.name}"

    def convert(self, value, param, ctx):
        """Value of the option from its text."""
        return value if value == "auto" else self._numbers.convert(value, param, ctx)


class _Size(click.ParamType):
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


device_option = click.option(
    "--device", default="auto", help="Torch device: cpu, cuda; auto takes a GPU if there is one."
)


force_option = click.option(
    "--force", is_flag=True, help="Replace outputs that skpatch has not written, too."
)


def engine_option(default, note):
    """Option for what runs the network; importing the engines' names would load numpy."""
    return click.option(
        "--engine",
        type=click.Choice(["torch", "openvino"]),
        default=default,
        help=f"What runs the network; openvino needs the package extra of that name. {note}",
    )


_TRAINING = [
    click.option(
        "--discriminator",
        type=click.Choice(["support", "lof", "gaussian", "nearest", "none"]),
        default="support",
        help="What tells noise. lof and gaussian: SoftPatch, for aligned objects; none: PatchCore.",
    ),
    click.option(
        "--noise-threshold",
        type=_AutoOr(click.FloatRange(0, 1, max_open=True)),
        default="auto",
        help="Share of patches to drop as noise. auto: found in the images; 0.15 for the others "
        "than support.",
    ),
    click.option(
        "--coreset-size",
        type=_AutoOr(_Size()),
        default="auto",
        help="Memory patches: a share of all patches such as 0.1, or a number such as 5000. auto: "
        "a tenth, at most 20000.",
    ),
    click.option(
        "--contamination",
        type=_AutoOr(click.FloatRange(0, 0.5, min_open=True)),
        default="auto",
        help="Share of normal images that may be called anomalous by mistake; n images cannot "
        "promise less than 1 / (n + 1). auto: 5 %, or what is beyond three robust standard "
        "deviations.",
    ),
    click.option(
        "--backbone",
        default="efficientnet_lite0",
        help="Network: efficientnet_lite0, or a torchvision model (downloads its weights).",
    ),
    click.option(
        "--weights",
        type=click.Path(readable=False),
        help="State dict of the network, instead of a download.",
    ),
    click.option(
        "--image-size",
        type=_AutoOr(click.IntRange(1)),
        default="auto",
        help="Shorter side, in pixels, to which images are resized for the network. A larger one "
        "finds smaller defects, and takes time with its square. auto: 320 for square images, as "
        "many pixels in all for others, but 224 at least.",
    ),
    click.option(
        "--intensity-range",
        type=float,
        nargs=2,
        metavar="BLACK WHITE",
        help="Numbers that are black and white in images that are not 8-bit, such as 0 4095; "
        "learned from the images by default.",
    ),
    click.option(
        "--tile-size",
        type=click.IntRange(1),
        help="Largest side of tiles, in pixels, that pass the network one by one; for a large "
        "--image-size.",
    ),
    click.option(
        "--memory-limit",
        type=_Memory(),
        help="Memory to take, such as 2G. More images than fit are learned from in shards, and "
        "pass the network twice.",
    ),
    click.option(
        "--region",
        type=click.Path(readable=False),
        help="Picture of the images' proportions, white where they are inspected.",
    ),
    click.option(
        "--trust",
        "trusted",
        multiple=True,
        metavar="NAME",
        help="An image that is known to be normal, such as a rare variant; the end of its path "
        "will do. Repeatable.",
    ),
    click.option(
        "--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Seed of the random choices."
    ),
    device_option,
    engine_option("torch", "It is saved with the model."),
]
_RUN = [
    click.option(
        "--layout",
        type=click.Choice(["auto", "mvtec", "btad", "visa", "sorted", "beside", "plain"]),
        default="auto",
        help="What folders hold: labelled images and masks in a layout that is known (auto finds "
        "it), or plain images.",
    ),
    click.option("--jobs", type=click.IntRange(1), help="Threads; as many as cores by default."),
    click.option(
        "--max-pixels",
        type=click.IntRange(1),
        callback=_allow_pixels,
        expose_value=False,
        help="Pixels of the largest image that is read; 178956970 by default.",
    ),
    click.option("--skip-bad", is_flag=True, help="Go on without images that cannot be read."),
    click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only."),
]


def run_options(command):
    """Add the options of every command that reads images."""
    for option in reversed(_RUN):
        command = option(command)
    return command


def training_options(command):
    """Add the options of a command that learns."""
    command = run_options(command)
    for option in reversed(_TRAINING):
        command = option(command)
    return command


def _names(context, parameter, text):
    """Names between commas."""
    return text if text is None else tuple(name.strip() for name in text.split(","))


_BENCH = [
    click.option("--backbone", help="Network, as for skpatch fit; that of the preset by default."),
    click.option("--weights", metavar="PATH|random", help="State dict of the network."),
    click.option("--layers", callback=_names, help="Layers whose maps are used, with commas."),
    click.option("--image-size", type=_AutoOr(click.IntRange(1)), help="Shorter side, or auto."),
    click.option("--resize", type=click.IntRange(1), help="Shorter side before --crop."),
    click.option("--crop", type=click.IntRange(1), help="Side of the central square that is seen."),
    click.option("--patch-size", type=click.IntRange(1), help="Side of the patches, odd."),
    click.option("--embedding-dim", type=click.IntRange(1), help="Features after pooling."),
    click.option("--coreset-size", type=_AutoOr(_Size()), help="As for skpatch fit."),
    click.option(
        "--noise-threshold",
        type=_AutoOr(click.FloatRange(0, 1, max_open=True)),
        help="As for skpatch fit, for all methods.",
    ),
    click.option(
        "--seeds",
        multiple=True,
        type=click.IntRange(0, 2**32 - 1),
        default=[10, 11, 12],
        help="Draw the images and seed the detector; repeatable.",
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
        type=click.Path(readable=False),
        help="The .csv and .png without ending.",
    ),
    click.option(
        "--cache",
        type=click.Path(readable=False, path_type=Path),
        help="Folder for the features; by default <output>-features.",
    ),
]


def bench_options(command):
    """Add the options of the commands that measure, which are parameters of estimators and more."""
    for option in reversed(_BENCH):
        command = option(command)
    return command


def limit_threads(jobs):
    """Let the network, and the detector with it, use that many threads during the command."""
    if jobs is not None:
        import torch

        before = torch.get_num_threads()
        click.get_current_context().call_on_close(lambda: torch.set_num_threads(before))
        torch.set_num_threads(jobs)
