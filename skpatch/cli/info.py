# SPDX-License-Identifier: BSD-3-Clause
"""What a saved model is: the command info, and what fit and update say at the end."""

import json
from contextlib import contextmanager

import numpy as np

from ..features.view import sizes_in_words
from ..inspection.words import FEW
from ..persistence.summary import summarize
from ..runtime.telling import image_names
from ..runtime.text import listed, say, shown

__all__ = ["print_model", "run_info"]

_WIDTH = 16
# Names that are printed of the images on which somebody has decided.
_NAMED = 5


def run_info(model, form):
    """Print what a saved model was made from, in rows or as JSON."""
    if form == "text":
        print_model(model, _versions)
        return
    with _errors_naming(model):
        facts = json.dumps(_facts(model, summarize(model)), indent=2, allow_nan=False)
    say(facts)


def print_model(path, last):
    """Print facts about a saved model, and more rows, which a function makes of them."""
    with _errors_naming(path):
        found = summarize(path)
        rows = {
            **_rows(found),
            **last(found),
            "model": f"{shown(path)}, {found.n_bytes / 1e6:.1f} MB",
        }
        reason = "" if found.finding is None else shown(found.finding["reason"])
    for name, value in rows.items():
        say(f"{name:<{_WIDTH}}  {value}")
    if reason:
        say(reason)


@contextmanager
def _errors_naming(path):
    """Have errors of any kind name the file, which need not be a model.

    Nor need what is in it be what it should be.
    """
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(f"{path!r} cannot be read: {shown(error)}") from error


def _facts(path, found):
    """The facts of a ModelSummary for programs."""
    return {
        "model": path,
        "n_bytes": found.n_bytes,
        "n_images": int((~found.forgotten).sum()),
        "folder": found.folder,
        "n_suspicious": len(found.suspicious),
        "suspicious": image_names(found.suspicious, found.names),
        "n_copies": found.n_copies,
        **_decided(found),
        "network": found.network,
        "detector": found.params,
        "grid": found.grid,
        "n_memory_patches": found.n_patches,
        "noise_share": found.noise_share,
        "noise_finding": found.finding,
        "threshold": found.threshold,
        "versions": found.versions,
    }


def _rows(found):
    return {
        "images": _images(found),
        **_suspicious(found),
        **_decisions(found),
        **_network(found),
        "memory patches": found.n_patches,
        "noise threshold": _noise_threshold(found),
        "taken for noise": f"{found.noise_share:.1%} of the patches",
        "threshold": f"{found.threshold:.4g}, a distance between features; "
        f"contamination {shown(found.params['contamination'])}",
    }


def _versions(found):
    versions = sorted(found.versions.items(), key=lambda item: item[0] != "skpatch")
    return {"saved by": ", ".join(f"{shown(name)} {shown(text)}" for name, text in versions)}


def _images(found):
    n_left, n_found = int((~found.forgotten).sum()), len(found.suspicious)
    place = "" if found.folder is None else f" of {shown(found.folder)}"
    told = f"{n_found} of them suspicious" if n_left >= FEW else "too few to tell noise"
    copied = "a copy of another" if found.n_copies == 1 else f"{found.n_copies} copies of others"
    copies = f", {copied}" if found.n_copies else ""
    return f"{n_left}{place}, {told}{copies}"


def _suspicious(found):
    """Row with the names of the most suspicious images, unless there are too few to tell."""
    n_left, names = (~found.forgotten).sum(), image_names(found.suspicious, found.names)
    return {"suspicious": listed(names)} if names and n_left >= FEW else {}


def _decisions(found):
    """Rows on the images on which somebody has decided, with the names of some."""
    rows = {
        word.replace("_", " "): f"{len(some)}: {listed(some, _NAMED)}"
        for word, some in _decided(found).items()
        if some
    }
    return rows or {"decisions": "none"}


def _decided(found):
    """Names of the images on which somebody has decided, by what was done."""
    return {
        "left_out": found.left_out,
        "forgotten": image_names(np.flatnonzero(found.forgotten), found.names),
        "trusted": image_names(np.flatnonzero(found.declared), found.names),
    }


def _network(found):
    """Rows on what the network is given; none of a detector without one."""
    if found.network is None:
        return {}
    rows, columns = found.grid
    sizes = sizes_in_words(found.network["image_size_"], found.network["n_scales_"])
    backbone = found.network["backbone"]
    engine = shown(found.network["engine"])
    if found.network["is_in_file"]:
        engine += "; in the file, so that it needs no torch"
    region = {} if found.network["region"] is None else {"region": "a part of the images"}
    return {
        "network": f"{shown(backbone or 'a module of its own')}, {engine}",
        "network input": f"{sizes} pixels, {columns} x {rows} patches",
        "intensity range": _intensity_range(found.network["intensity_range_"]),
        **region,
    }


def _intensity_range(intensity_range):
    if intensity_range is None:
        return "8-bit images"
    black, white = intensity_range
    return f"{black:g} is black and {white:g} white in images that are not 8-bit"


def _noise_threshold(found):
    """The noise threshold, and what "auto" has decided."""
    name, threshold, finding = (
        found.params["discriminator"],
        found.params["noise_threshold"],
        found.finding,
    )
    name = name["class"] if isinstance(name, dict) else name
    if name is None:
        return "none, since nothing tells noise"
    if threshold != "auto":
        return f"{threshold:g}"
    if finding is None:
        return f"auto, the default of {shown(name)}"
    evidence = finding["evidence"]
    return f"auto: {'no' if evidence == 'none' else shown(evidence)} evidence of noise"
