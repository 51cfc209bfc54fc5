# SPDX-License-Identifier: BSD-3-Clause
"""Files of tensors, read without running any code in them."""

import os
import re
import warnings
import zipfile

from .text import first_line, shown

__all__ = ["read_tensors"]

# How torch names a class or function that it does not call.
_FOREIGN = re.compile(r"GLOBAL (\S+) was not an allowed")


def read_tensors(path):
    """Content of a .safetensors file, a dict of tensors, or of one that torch.save has written."""
    return (_read_safetensors if path.endswith(".safetensors") else _read_pickle)(path)


def _read_safetensors(path):
    """Content of a file that holds nothing but tensors."""
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:
        raise ValueError(
            f"weights={path!r} is not a whole .safetensors file: {first_line(error)}"
        ) from error


def _read_pickle(path):
    """Content of a file of torch.save, which may hold anything, as far as it is plain tensors."""
    import torch

    try:
        if zipfile.is_zipfile(path):
            _check_archive(path)
        with warnings.catch_warnings():
            # That it will try to load a scripted module, which it then refuses.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        # The unpickler meets anything in a file of another kind.
        raise ValueError(
            f"weights={path!r} is not a file of plain tensors that torch can load safely "
            f"(weights_only=True): {_cause(error)} If it holds a whole module, or other "
            "objects beside the tensors, load it where you trust it, and save the state dict "
            "alone: safetensors.torch.save_file(module.state_dict(), 'file.safetensors')."
        ) from error


def _cause(error):
    """What torch says of a file, without its advice to load it in spite of that."""
    text = str(error)
    if found := _FOREIGN.search(text):
        return f"it holds {shown(found[1])}."
    return "it holds something else." if "weights_only" in text else first_line(error)


def _check_archive(path):
    """Raise for an archive of more than the file holds: torch.save compresses nothing."""
    with zipfile.ZipFile(path) as archive:
        n_bytes = sum(entry.file_size for entry in archive.infolist())
    if n_bytes > os.path.getsize(path):
        raise ValueError(f"unpacked it has {n_bytes} bytes, more than the file.")
