# SPDX-License-Identifier: BSD-3-Clause
"""Downloads of weights: kept where torch.hub keeps them, and known by their SHA-256 at each use.

torch.hub's own loader runs the code in a file that somebody else put there.
"""

import hashlib
import os

__all__ = ["download", "file_digest", "place_of"]


def place_of(url):
    """Where a download is kept, and how its SHA-256 begins, which is part of its name."""
    import torch

    name = url.rpartition("/")[2]
    path = os.path.join(torch.hub.get_dir(), "checkpoints", name)
    return path, torch.hub.HASH_REGEX.search(name)[1]


def download(url, backbone):
    """File of the weights of a backbone, which are downloaded unless they are here."""
    path, expected = place_of(url)
    if not os.path.exists(path):
        _fetch(url, path, expected, backbone)
    digest = file_digest(path) if os.path.isfile(path) else "none, as it is no file"
    if not digest.startswith(expected):
        raise ValueError(
            f"The downloaded weights of backbone={backbone!r} in {path!r} are damaged, or not "
            f"torchvision's: their SHA-256 is {digest}, and should begin with {expected}. Delete "
            "the file, and it is downloaded again."
        )
    return path


def _fetch(url, path, expected, backbone):
    import torch

    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, path, expected)
    except (OSError, RuntimeError) as error:
        # URLError and HTTPError are OSErrors; a hash mismatch is a RuntimeError.
        raise OSError(
            f"The weights of backbone={backbone!r} could not be downloaded from {url} ({error}). "
            "Without a network, get that file by other means and pass "
            f'weights="path/to/{os.path.basename(path)}", or use the default backbone, whose '
            "weights are installed."
        ) from error


def file_digest(path):
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
