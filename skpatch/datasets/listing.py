# SPDX-License-Identifier: BSD-3-Clause
"""Images below a folder, and what looks like an image but is left out."""

import os
import re
import warnings
from typing import NamedTuple

from ..images.formats import reads_heif

__all__ = ["IMAGE_EXTENSIONS", "Listing", "list_folder", "natural_key", "tell_left_out"]

IMAGE_EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".pgm", ".ppm", ".pbm", ".pnm"),
)
# Read with a package extra.
_HEIF_EXTENSIONS = (".heic", ".heif", ".hif")
# Pictures that Pillow does not read, not in all versions, or not as a photograph; and videos.
_OTHER_EXTENSIONS = (
    *(".avif", ".avifs", ".jxl", ".jxr", ".gif", ".apng", ".svg"),
    *(".psd", ".xcf", ".pdf", ".eps", ".ps", ".ai", ".tga", ".pcx", ".ico", ".exr", ".hdr", ".dcm"),
    *(".fits", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".dng", ".orf"),
    *(".rw2", ".raf", ".pef", ".raw", ".rwl", ".srw", ".x3f", ".3fr", ".iiq", ".kdc", ".dcr"),
    *(".mrw", ".mp4", ".avi", ".mov", ".mkv"),
)
# Of file servers, desktops and archives, which keep thumbnails, deleted files and copies in them.
_SYSTEM_FOLDER = re.compile(
    r"@eadir|@recycle|@recently-snapshot|@tmp|#recycle|[#~.]snapshot|\$recycle\.bin|recycler|"
    r"system volume information|__macosx|\.appledouble|lost\+found|\.trash(es|-\d+)?|"
    r"[._]?thumb(nail)?s?",
    re.IGNORECASE,
)
_THUMBNAIL = re.compile(r".+[ _.-]thumb(nail)?|syno(file|photo)_thumb.*", re.IGNORECASE)

_OF_SYSTEM = "thumbnails, or files in folders of a file server or desktop"
_HIDDEN = "hidden images"
_NOT_READ = "files of a format that is not read (convert them to PNG or JPEG)"
_NOT_READ_HEIF = "HEIC photographs, for which the package extra skpatch[heic] is not installed,"
_NO_FILE = "pipes or devices"
_LOST = "links that lead nowhere"


class Listing(NamedTuple):
    """What a folder holds, by paths from it with slashes."""

    # In natural order.
    images: list[str]
    # What else looks like an image, by what it is.
    left_out: dict[str, list[str]]

    @property
    def unread(self):
        """Files of formats that are not read, without an image of the same name beside them."""
        known = {os.path.splitext(name)[0] for name in self.images}
        names = self.left_out.get(_NOT_READ, []) + self.left_out.get(_NOT_READ_HEIF, [])
        return [name for name in names if os.path.splitext(name)[0] not in known]


def list_folder(folder):
    """List all images of a folder and its subfolders; links are followed.

    A link that leads nowhere is an image, if its name is that of one: reading it says what is
    wrong.
    """
    images, left_out = [], {}
    for name, entry in _walk(folder):
        extension = os.path.splitext(name)[1].lower()
        if extension in (*IMAGE_EXTENSIONS, *_HEIF_EXTENSIONS, *_OTHER_EXTENSIONS):
            kind = _kind_left_out(name, extension, entry)
        else:
            kind = _LOST if not extension and _is_lost(entry) else ""
        if kind is None:
            images.append(name)
        elif kind:
            left_out.setdefault(kind, []).append(name)
    return Listing(sorted(images, key=natural_key), left_out)


def natural_key(name):
    """Key that sorts img2 before img10."""
    pieces = re.split("([0-9]+)", name)
    # The name itself decides between 1.png and 01.png.
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)], name


def tell_left_out(folder, left_out):
    """Warn of what a listing left out: how many, with which endings, and one of each kind."""
    for kind, names in left_out.items():
        endings = sorted({os.path.splitext(name)[1].lower() for name in names} - {""})
        listed = f" ({', '.join(endings)})" if endings else ""
        warnings.warn(
            f"{str(folder)!r}: {kind} are left out: {len(names)}{listed}, such as {min(names)!r}.",
            UserWarning,
            stacklevel=5,
        )


def _walk(folder):
    """Yield the path and the entry of each file; a link to a folder around it is no way in."""
    # Not by recursion, which ends where folders are some hundred deep.
    left = [("", frozenset())]
    while left:
        name, above = left.pop()
        path = os.path.join(folder, name)
        status = os.stat(path)
        here = status.st_dev, status.st_ino
        if here in above:
            continue
        try:
            with os.scandir(path) as entries:
                entries = sorted(entries, key=lambda entry: entry.name)
        except PermissionError:
            if _SYSTEM_FOLDER.fullmatch(os.path.basename(name)):
                continue
            raise
        for entry in entries:
            below = f"{name}/{entry.name}" if name else entry.name
            if entry.is_dir():
                left.append((below, above | {here}))
            else:
                yield below, entry


def _kind_left_out(name, extension, entry):
    """What a file is that is left out; None for an image, "" for what nobody takes for one."""
    *folders, file = name.split("/")
    # What a desktop keeps beside each file on a disk that has no other place for it.
    if file.startswith("._"):
        return ""
    if any(map(_SYSTEM_FOLDER.fullmatch, folders)) or _THUMBNAIL.fullmatch(file[: -len(extension)]):
        return _OF_SYSTEM
    if any(part.startswith(".") for part in (*folders, file)):
        return _HIDDEN
    if extension in _OTHER_EXTENSIONS:
        return _NOT_READ
    if extension in _HEIF_EXTENSIONS and not reads_heif():
        return _NOT_READ_HEIF
    return None if entry.is_file() or _is_lost(entry) else _NO_FILE


def _is_lost(entry):
    """Whether it is a link that leads nowhere."""
    return entry.is_symlink() and not os.path.exists(entry.path)
