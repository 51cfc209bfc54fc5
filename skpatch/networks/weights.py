# SPDX-License-Identifier: BSD-3-Clause
"""Weights of a network from a file of tensors, whatever else the file holds."""

import os
import re
import warnings
from collections import Counter
from itertools import accumulate

import torch

from ..runtime.memory import memory_errors
from ..runtime.tensor_files import read_tensors
from ..runtime.text import listed, shown
from .timm_models import renamed

__all__ = ["load_weights"]

# Names in torchvision's DenseNet files, from when module names could hold dots.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
# The number of a layer in a sequence.
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
# Counts batches in training. Old files lack it, and nothing reads it afterwards.
_UNUSED = "num_batches_tracked"
# Dictionaries within each other; a damaged file may hold one that contains itself.
_DEEPEST = 5


@memory_errors()
def load_weights(path, model, whole):
    """Give a network the weights in a file, without running any code in it.

    The tensors may lie in dictionaries, and all their names may begin alike, as those of a
    checkpoint or of a network that was part of another do.

    Parameters
    ----------
    path : str or path-like
        A .safetensors file, or one that torch.save has written.
    model : nn.Module
        The part of the network that is used: what it needs must be in the file.
    whole : nn.Module
        The network. What the file has for other parts of it is passed over without a word.
    """
    path = os.fspath(path)
    tensors = renamed(_read_tensors(path), whole)
    known = whole.state_dict()
    # Tracing makes constants of the part that the network does not have by a name.
    needed = {name: value for name, value in model.state_dict().items() if name in known}
    prefix = _find_prefix(tensors, needed)
    found = {name: tensors[prefix + name] for name in needed if prefix + name in tensors}
    _check(path, tensors, prefix, found, needed)
    _check_more(path, tensors, prefix, needed, known)
    # Copies of the network's own number types, also where it has no memory for weights yet.
    values = {
        name: torch.empty_like(needed[name], device="cpu").copy_(tensor)
        for name, tensor in found.items()
    }
    model.load_state_dict(values, strict=False, assign=True)
    _tell_ignored(path, tensors, prefix, known)


def _read_tensors(path):
    """All tensors of a file, by their names, which those of dictionaries begin."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'weights={path!r} is not a file. Pass "default", None for random weights, or the '
            "path of a state dict."
        )
    content = read_tensors(path)
    tensors = dict(_flatten(content)) if isinstance(content, dict) else {}
    if not tensors:
        raise ValueError(f"weights={path!r} holds a {type(content).__name__}, not a state dict.")
    return tensors


def _flatten(content, prefix="", depth=0):
    """Names and tensors of a dictionary, and of those in it."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if torch.is_tensor(value):
            # A compiled module is one more level.
            name = name.replace("_orig_mod.", "")
            yield _OLD_DENSENET.sub(r"\1\2.", name), value
        elif isinstance(value, dict) and depth < _DEEPEST:
            yield from _flatten(value, f"{name}.", depth + 1)


def _find_prefix(tensors, needed):
    """Beginning of the names under which most of the needed tensors are."""
    counts = Counter()
    for name, tensor in tensors.items():
        parts = name.split(".")
        for start in range(len(parts)):
            rest = ".".join(parts[start:])
            if rest in needed:
                counts[name.removesuffix(rest)] += 1 + (tensor.shape == needed[rest].shape)
    # Of two networks that fit alike, the teacher is the one to use, or else the first.
    return max(counts, key=lambda prefix: (counts[prefix], "teacher" in prefix), default="")


def _check(path, tensors, prefix, found, needed):
    """Raise unless all needed tensors are found, in the right shapes."""
    lacking = [name for name in needed if name not in found and not name.endswith(_UNUSED)]
    if lacking:
        where = f" below {shown(repr(prefix))}" if prefix else ""
        raise ValueError(
            f"weights={path!r} does not fit the backbone: it lacks {listed(lacking)}, which the "
            f"layers in use need. It has {listed(list(tensors))}; {len(found)} of {len(needed)} "
            f"tensors were found{where}."
        )
    different = [
        f"{name} of shape {tuple(tensor.shape)} and type {tensor.dtype}, which is "
        f"{tuple(needed[name].shape)} and {needed[name].dtype} in the network"
        for name, tensor in found.items()
        if tensor.shape != needed[name].shape
        or tensor.is_floating_point() != needed[name].is_floating_point()
    ]
    if different:
        raise ValueError(f"weights={path!r} does not fit the backbone: it has {listed(different)}.")
    endless = [name for name, tensor in found.items() if not tensor.isfinite().all()]
    if endless:
        raise ValueError(
            f"weights={path!r} is damaged, or its training failed: NaN or infinite numbers are in "
            f"{listed(endless)}."
        )


def _check_more(path, tensors, prefix, needed, known):
    """Raise for a file with more layers in the sequences in use, as of a deeper network.

    Other parts, such as another classifier, change no features. Sequences are told by the numbers
    of their layers; those of which the network does not use all may go on in the file.
    """
    in_use, unused = (
        {name[: number.start()] for name in names for number in _NUMBER.finditer(name)}
        for names in (needed, known.keys() - needed.keys())
    )
    own = [name.removeprefix(prefix) for name in tensors if name.startswith(prefix)]
    more = [
        name
        for name in own
        if name.endswith(".weight") and name not in known
        if any(name[: dot.end()] in in_use - unused for dot in re.finditer(r"\.", name))
    ]
    if more:
        raise ValueError(
            f"weights={path!r} does not fit the backbone: it has {listed(more)}, for which the "
            "layers in use have no place. It is of another network, perhaps a deeper one; give "
            "that one as backbone."
        )


def _tell_ignored(path, tensors, prefix, known):
    """Warn of tensors that the network has no place for."""
    ignored = Counter()
    for name, tensor in tensors.items():
        own = known.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if own is None or own.shape != tensor.shape:
            # As much of the name as tells it from the used ones: "module.encoder_k".
            groups = accumulate(name.split("."), "{}.{}".format)
            ignored[next((g for g in groups if not prefix.startswith(f"{g}.")), name)] += 1
    if ignored:
        groups = [f"{group} ({count})" for group, count in ignored.items()]
        used = f"Used are those below {shown(repr(prefix))}; ignored" if prefix else "Ignored"
        warnings.warn(
            f"weights={path!r} has tensors for other networks, or for other parts of this one. "
            f"{used}, with the number of tensors: {listed(groups)}.",
            stacklevel=2,
        )
