# SPDX-License-Identifier: BSD-3-Clause
"""Networks of timm: by name, with what their settings say of the input, and for images of any size.

timm is an extra: whoever names one of its networks, or passes one, has it.
"""

import difflib
import os
import sys
from functools import partial

from ..runtime.text import first_line

__all__ = [
    "PREFIX",
    "declared_size",
    "downloaded_from_hub",
    "fill_buffers",
    "hub_weights",
    "make_timm",
    "read_settings",
    "renamed",
]

PREFIX = "timm/"
_FILE = "model.safetensors"


def make_timm(backbone):
    """What makes a network of timm, of "timm/<name>", with random weights."""
    timm = _timm(backbone)
    name = backbone.removeprefix(PREFIX)
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, [*timm.list_models(), *timm.list_pretrained()])
        hint = f" Did you mean {' or '.join(repr(PREFIX + one) for one in close)}?" if close else ""
        raise ValueError(
            f"backbone={backbone!r} is unknown to timm {timm.__version__}.{hint} "
            "timm.list_models() lists those that it has."
        )
    _settings(backbone)
    return partial(timm.create_model, name)


def fill_buffers(module):
    """Compute what a network of timm computes when it is made, and no file of weights has."""
    for part in module.modules():
        if hasattr(part, "init_non_persistent_buffers"):
            part.init_non_persistent_buffers()


def read_settings(module):
    """Mean and standard deviation that a network of timm says its input has, or None.

    One whose position embedding is for one size is set to resample it for each image, as timm does
    for a network that is created with `dynamic_img_size`.
    """
    if "timm" not in sys.modules:
        return None
    patches = getattr(module, "patch_embed", None)
    # Swin has no tokens that are flattened, and torch.fx cannot trace it for any size.
    if getattr(module, "dynamic_img_size", None) is False and getattr(patches, "flatten", False):
        from timm.layers import Format

        module.dynamic_img_size = True
        patches.strict_img_size = patches.flatten = False
        patches.output_fmt = Format.NHWC
    settings = getattr(module, "pretrained_cfg", None) or {}
    found = settings.get("mean"), settings.get("std")
    return found if None not in found and len(found[0]) == 3 else None


def declared_size(module):
    """Size (H, W) that a network of timm says its images have, None if they may have any."""
    settings = getattr(module, "pretrained_cfg", None) or {}
    is_fixed = settings.get("fixed_input_size") and not getattr(module, "dynamic_img_size", False)
    if "timm" not in sys.modules or not is_fixed:
        return None
    # It may have been made for another size than that of its weights.
    size = getattr(getattr(module, "patch_embed", None), "img_size", None)
    return tuple(size or settings["input_size"][1:])


def hub_weights(backbone):
    """File of the weights of a name, which are downloaded unless they are here."""
    place = _settings(backbone).hf_hub_id
    if not place:
        raise ValueError(
            f"backbone={backbone!r}: timm names no weights of it at Hugging Face. Pass "
            "weights='file.safetensors', or None for random ones."
        )
    # timm brings it.
    from huggingface_hub import hf_hub_download

    try:
        return downloaded_from_hub(backbone) or hf_hub_download(place, _FILE)
    except Exception as error:
        # Besides OSErrors, whatever its HTTP library raises.
        raise OSError(
            f"The weights of backbone={backbone!r} could not be downloaded from the repository "
            f"{place} of Hugging Face ({first_line(error)}). Without a network, get its file "
            f'{_FILE} by other means and pass weights="path/to/{_FILE}".'
        ) from error


def downloaded_from_hub(backbone):
    """File of the weights of a name, where Hugging Face keeps downloads; None if it is not here."""
    place = _settings(backbone).hf_hub_id
    from huggingface_hub import try_to_load_from_cache

    path = place and try_to_load_from_cache(place, _FILE)
    return path if isinstance(path, str) and os.path.isfile(path) else None


def renamed(tensors, module):
    """Tensors of a file by the names that a network of timm has for them, as far as timm knows.

    Weights are in the names of those who trained them, as DINOv2's are, or in timm's.
    """
    source = type(module).__module__
    if not source.startswith("timm.models."):
        return tensors
    rename = getattr(sys.modules[source], "checkpoint_filter_fn", None)
    try:
        return tensors if rename is None else rename(dict(tensors), module)
    except Exception:
        # timm's functions raise whatever a file of another network makes them raise. What such a
        # file lacks is said by whoever reads it.
        return tensors


def _timm(backbone):
    try:
        import timm
    except ImportError as error:
        raise ValueError(
            f"backbone={backbone!r} needs a package that is missing: pip install 'skpatch[timm]'"
        ) from error
    return timm


def _settings(backbone):
    """What timm knows of a network, and of the weights that its name, or timm, chooses."""
    try:
        return _timm(backbone).models.get_pretrained_cfg(backbone.removeprefix(PREFIX))
    except RuntimeError as error:
        raise ValueError(f"backbone={backbone!r}: {error}") from error
