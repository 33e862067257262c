"""Lets the kernel merge equal pages of forked processes (KSM), where the machine has it switched on.

Every call and every message writes reference counts into pages that a child has from its guardian, so that it gets a
copy of nearly all that it uses. Most counts return to what they were and the siblings do the same things, so the copies
are equal again: merging them takes a child from 7.7 MiB of its own to 2.7. `/sys/kernel/mm/ksm/run` is the machine's
switch, which isn't ours to turn; docs/hosting.md says what speaks for and against it.
"""

from __future__ import annotations

SWITCH = "/sys/kernel/mm/ksm/run"
PR_SET_MEMORY_MERGE = 67  # Linux 6.4; for all of a process's memory, and its children's
MADV_MERGEABLE = 12  # before that: for what is mapped now, and what children have of it


def is_on() -> bool:
    """Whether the machine merges pages."""
    try:
        with open(SWITCH, encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:  # a kernel without it
        return False


def allow() -> None:
    """Has the kernel merge this process's pages, and those of its children, with equal ones. Does no harm where off."""
    from ctypes import CDLL, c_int, c_size_t, c_void_p  # noqa: PLC0415 - 0.9 MiB, which all children share

    libc = CDLL(None)
    if libc.prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) == 0:
        return
    libc.madvise.argtypes = (c_void_p, c_size_t, c_int)
    for start, end in _own_memory():
        libc.madvise(start, end - start, MADV_MERGEABLE)


def _own_memory() -> list[tuple[int, int]]:
    """The addresses of this process's memory that may be written to, and that no other process sees."""
    found = []
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            addresses, rights, _ = line.split(" ", 2)
            if rights == "rw-p":
                start, _, end = addresses.partition("-")
                found.append((int(start, 16), int(end, 16)))
    return found
