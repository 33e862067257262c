"""When a process that starts has imported its module: its node announces that then. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gridlink.registry import Entry

Announced = tuple[str, int]
"""An instance, and the process that it is in: machines of one image number theirs alike."""


def announced(entries: Iterable[Entry]) -> set[Announced]:
    """What nodes announce of instances that they have themselves; without what is announced in their place."""
    return {(entry.instance, entry.pid) for entry in entries if entry.pid}


def is_new(instance: str, entries: Iterable[Entry], before: Collection[Announced]) -> bool:
    """Whether its own node announces it now: one of that name that was killed is shown for a while."""
    return any(name == instance for name, _ in announced(entries).difference(before))
