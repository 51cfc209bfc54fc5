# SPDX-License-Identifier: BSD-3-Clause
"""Damage done to any file: the mutations that need not know what is in it."""

import struct

# Edges of number types, sizes that are just too large, and sizes that would fill the memory.
NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536, 2**20, 2**31 - 1, 2**31)
NUMBERS += (2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)


def flip_bits(data, rng):
    """Flip a few bits."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def flip_header_bits(data, rng):
    """Flip bits where formats keep their sizes."""
    return flip_bits(data[:64], rng) + data[64:]


def truncate(data, rng):
    """Leave out the end."""
    return data[: rng.randrange(len(data) + 1)]


def remove_block(data, rng):
    """Leave out a part."""
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 64) :]


def repeat_block(data, rng):
    """Repeat a part, a few or many times."""
    start = rng.randrange(len(data))
    block = data[start : start + rng.randint(1, 64)]
    return data[:start] + block * rng.choice((2, 3, 50)) + data[start:]


def insert_noise(data, rng):
    """Insert random bytes."""
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.randbytes(rng.randint(1, 64)) + data[start:]


def edit_number(data, rng):
    """Write a number of two, four or eight bytes over another, as a length field might be."""
    code = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(code)
    start = rng.randrange(max(1, len(data) - size))
    value = rng.choice(NUMBERS) & (256**size - 1)
    return data[:start] + struct.pack(code, value) + data[start + size :]


def splice(data, other, rng):
    """Join the beginning of one file and the end of another."""
    return truncate(data, rng) + other[rng.randrange(len(other)) :]


ANYWHERE = (
    flip_bits,
    flip_header_bits,
    truncate,
    remove_block,
    repeat_block,
    insert_noise,
    edit_number,
)


def violation(condition, message):
    """Raise if a promise is broken, as no `except` of the library catches it."""
    if condition:
        raise Violation(message)


class Violation(BaseException):
    """The library did something else than give a result or name what is wrong."""
