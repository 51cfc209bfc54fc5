# SPDX-License-Identifier: BSD-3-Clause
import hashlib
import json
import struct

import numpy as np

from skpatch import load, save

LEARNED = [
    "memory_bank_",
    "memory_weights_",
    "memory_reaches_",
    "memory_source_",
    "noise_scores_",
    "kept_",
    "trusted_images_",
    "forgotten_images_",
    "declared_normal_",
    "training_scores_",
    "calibration_scores_",
    "coreset_radius_",
    "grid_shape_",
    "n_features_in_",
    "offset_",
]


def saved(model, tmp_path, **given):
    path = tmp_path / "model.skpatch"
    save(model, path)
    return load(path, **given)


def assert_same(first, second, names=LEARNED):
    for name in names:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
        assert type(getattr(first, name)) is type(getattr(second, name))
    assert plain(first.get_params()) == plain(second.get_params())


def plain(params):
    """Parameters as texts, numpy's numbers as Python's."""
    return {
        name: repr(value.item() if isinstance(value, np.generic) else value)
        for name, value in params.items()
        if not hasattr(value, "get_params")
    }


def write(path, header, body):
    """A file whose SHA-256 is right."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(seal(text, body, struct.pack("<Q", len(text))))


def seal(text, body, length):
    """Bytes of a file whose SHA-256 is right, from its JSON and the JSON's length as bytes."""
    prefix = b"\x89skpatch" + struct.pack("<Q", 1) + length
    return prefix + hashlib.sha256(prefix + text + body).digest() + text + body


def parts(content):
    """Header and arrays of a file, and the arrays' places in it."""
    (length,) = struct.unpack("<Q", content[16:24])
    header, body = json.loads(content[56 : 56 + length]), content[56 + length :]
    places, start = {}, 0
    for name, dtype, shape in header["arrays"]:
        stop = start + np.dtype(dtype).itemsize * int(np.prod(shape))
        places[name] = slice(start, stop)
        start = stop
    return header, body, places
