# SPDX-License-Identifier: BSD-3-Clause
"""Files written by the library: checked beforehand, and whole or not at all."""

import errno
import os
import re
import stat
import time
import uuid
from contextlib import contextmanager, suppress

try:
    import fcntl
except ImportError:
    # Windows, where temporary files of killed processes stay.
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\.skpatch-[0-9a-f]{32}")
# A file may be this young and not locked: just created, or about to take its place.
_SECONDS_WITHOUT_LOCK = 60
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ADVICE = {
    errno.ENOENT: "Check its name, and the folder that it is looked for in",
    errno.ENOTDIR: "A part of its path is a file",
    errno.EISDIR: "Name a file",
    errno.EACCES: "Ask its owner for the right, or name another file",
    errno.EPERM: "Ask its owner for the right, or name another file",
    errno.EROFS: "Name a file on another disk",
    errno.ENOSPC: "Make room, or name a file on another disk",
    errno.EDQUOT: "Make room, or name a file on another disk",
    errno.EFBIG: "Raise the limit, or name a file on another disk",
    errno.ENAMETOOLONG: "Give a shorter name",
    errno.ELOOP: "Its links lead in a circle",
}


def check_output(output, suffix=".npy", name="output"):
    """Raise before the work when the output could not be written after it."""
    if output is None:
        return
    output = os.fspath(output)
    folder = os.path.dirname(output) or "."
    if not output.endswith(suffix):
        raise ValueError(f"{name}={output!r} must be the name of a {suffix} file.")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{name}={output!r}: the folder {folder!r} does not exist.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{name}={output!r}: the folder {folder!r} cannot be written to.")
    replaced_file(output, name)


def replaced_file(output, name="output"):
    """Status of the file that an output replaces, None if there is none; raise if it may not be."""
    try:
        found = os.lstat(output)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(f"{name}={output!r} is a folder.")
    if not stat.S_ISREG(found.st_mode):
        kind = "a link" if stat.S_ISLNK(found.st_mode) else "a device, pipe or socket"
        raise FileExistsError(
            f"{name}={output!r} is {kind}, and only a regular file is replaced; give another name."
        )
    if not os.access(output, os.W_OK):
        raise PermissionError(f"{name}={output!r} exists and cannot be written to.")
    return found


def check_length(path):
    """Raise if a name is longer than the file system allows."""
    with suppress(FileNotFoundError):
        os.lstat(path)


def remove_abandoned(folder):
    """Remove temporary files of killed processes: nobody holds their locks."""
    if fcntl is None:
        return
    # A folder that may be written to need not be one that may be listed.
    with suppress(PermissionError):
        for name in os.listdir(folder):
            if _TEMPORARY.fullmatch(name):
                with suppress(OSError, ValueError):
                    _remove_if_abandoned(os.path.join(folder, name))


def _remove_if_abandoned(path):
    # What others put under such a name may be a link.
    with open_regular(path, follow_links=False) as file:
        if time.time() - os.fstat(file.fileno()).st_mtime > _SECONDS_WITHOUT_LOCK:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)


def open_regular(path, *, follow_links=True):
    """Open a file to read its bytes; raise for a pipe or a device, which may have no end."""
    more = 0 if follow_links else getattr(os, "O_NOFOLLOW", 0)
    return open(path, "rb", opener=lambda path, flags: _open_without_waiting(path, flags | more))


def _open_without_waiting(path, flags):
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    # Of a folder Python says by itself that it is one.
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        os.close(descriptor)
        raise ValueError("it is a pipe or a device, not a file")
    return descriptor


@contextmanager
def replacing(path, sweep=True, **text):
    """Give a new file, open for writing, that replaces `path` at the end, or goes on an error.

    The content is on the disk before it gets its name: a power cut leaves one of the two files.
    Who could not read or change the old file cannot read or change the new one. What somebody else
    has put in the place of the new file is not given the name.

    Parameters
    ----------
    path : path
    sweep : bool
        Whether to remove temporary files that killed processes left in the folder first.
    **text
        Encoding and so on of a text file, as for :func:`open`; without, the file is binary.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    old = replaced_file(path)
    if sweep:
        remove_abandoned(folder)
    temporary = _temporary_name(path)

    def create(name, flags):
        # Unlike tempfile's, a new file gets the permissions that users expect.
        return os.open(name, flags, 0o666 if old is None else 0o600)

    with (
        _errors_naming(path, temporary),
        open(temporary, "x+" if text else "x+b", opener=create, **text) as file,
    ):
        try:
            with suppress(OSError):
                lock(file)
            if old is not None:
                _take_over_rights(file, old)
            yield file
            file.flush()
            os.fsync(file.fileno())
            _take_place(file, temporary, path)
        except BaseException:
            # On a full disk what is still to be written is lost, too.
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                os.unlink(temporary)
            raise
    sync_folder(folder)


def _take_place(file, temporary, path):
    """Give an open file the name `path`."""
    swapped = FileExistsError(
        f"output={path!r} is not written: another process has put something else in the place of "
        "its temporary file. Write to a folder that others cannot write to."
    )
    replaced_file(path)
    if not _is_name_of(temporary, file):
        raise swapped
    if fcntl is None:
        # Windows renames no open file.
        file.close()
    os.replace(temporary, path)
    if os.path.islink(path):
        # It was swapped in the microseconds since, which no system call can rule out.
        raise swapped


def _is_name_of(path, file):
    """Whether a path leads to an open file, and not over a link."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _take_over_rights(file, old):
    """Give a new file, empty yet, owner, group and mode of the one that it replaces."""
    if not hasattr(os, "fchown"):
        return
    mode = stat.S_IMODE(old.st_mode) & 0o777
    for owner, group in ((old.st_uid, -1), (-1, old.st_gid)):
        with suppress(OSError):
            os.fchown(file.fileno(), owner, group)
    if os.fstat(file.fileno()).st_gid != old.st_gid:
        # The rights of one group are not those of another.
        mode &= ~stat.S_IRWXG
    with suppress(OSError):
        os.fchmod(file.fileno(), mode)


@contextmanager
def _errors_naming(path, temporary):
    """Have errors of the system name the output, not its temporary file."""
    try:
        yield
    except OSError as error:
        is_of_output = is_full(error) and error.filename is None
        if error.errno is not None and (is_of_output or error.filename == temporary):
            raise OSError(error.errno, error.strerror, path) from error
        raise


def _temporary_name(path):
    """Name of a new file in the folder of a path."""
    folder, name = os.path.split(path)
    code = uuid.uuid4().hex
    temporary = os.path.join(folder, f".skpatch-{code}")
    try:
        check_length(temporary)
    except OSError:
        # The path is nearly as long as one may be.
        temporary = os.path.join(folder, f".{code}"[: len(name)])
    return temporary


def lock(file):
    """Lock an open file, where the system has locks; BlockingIOError if another process has it."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sync_folder(folder):
    """Have the disk know the names of the files in a folder, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_full(error):
    """Whether an error of the system says that a disk, or a share of it, is full."""
    return error.errno in _FULL


def in_words(error):
    """Message of an error; of one of the system, the file, what is wrong, and what to do."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    name = "" if error.filename is None else f"{os.fsdecode(error.filename)!r}: "
    advice = _ADVICE.get(error.errno)
    return f"{name}{error.strerror}." + (f" {advice}." if advice else "")
