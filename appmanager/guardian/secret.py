"""The secret by which the orders within one start of a guardian are known: made once, and handed to the node alone.

It lies in a file without a name, in memory: the guardian reads it never, so that what is forked from it has no copy.
"""

from __future__ import annotations

import os

BYTES = 32


def make() -> int:
    """A new secret, as an open file that no other program gets."""
    fd = os.memfd_create("gridlink-orders", os.MFD_CLOEXEC)
    os.getrandom(1)  # waits until the kernel has gathered enough chance, which the file below doesn't
    chance = bytearray(BYTES)
    with open("/dev/urandom", "rb", buffering=0) as source:
        source.readinto(chance)
    os.pwrite(fd, chance, 0)
    chance[:] = bytes(BYTES)
    return fd


def take(fd: int) -> str:
    """In the node: the secret in hexadecimal digits. Closes the file."""
    found = os.pread(fd, BYTES, 0).hex()
    os.close(fd)
    return found
