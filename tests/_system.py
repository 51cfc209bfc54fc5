# SPDX-License-Identifier: BSD-3-Clause
"""What an operating system does to files: limits, full disks, users, read-only folders."""

import os
import subprocess
from contextlib import contextmanager, suppress

import pytest


@contextmanager
def largest_file(n_bytes):
    """No file may grow beyond a size."""
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def mounted(folder):
    """A disk of four megabytes at a folder."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def another_user(user, group):
    """Be a user without rights of root, and in no other group."""
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(group, group, 0)
    os.setresuid(user, user, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@contextmanager
def umask(mask):
    """New files lack some rights."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def filled(folder):
    """No byte is left on the disk of a folder."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(2**16)):
            pass
    try:
        yield
    finally:
        filler.unlink()


def contents(folder):
    """Bytes of all files in a folder, hidden ones included."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
