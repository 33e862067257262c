"""A record goes on though it is damaged: that part of it is put aside and kept, and the next entry says so.

A change of software must not wait for somebody who mends a file: that is when it is needed.
"""

from __future__ import annotations

import logging
from pathlib import Path

from appmanager.store.aside import DAMAGED, put_aside
from appmanager.store.disk import Disk
from appmanager.store.layout import Layout
from appmanager.store.record import MARK, PUT_ASIDE, Entry, Record, RecordDamaged
from appmanager.store.segments import Segments, named_in

log = logging.getLogger("gridlink.provisioning")


def append_anyhow(disk: Disk, layout: Layout, record: Record, entry: Entry) -> Entry:
    """Adds an entry, as `Record.append` does, and before it one for each part that had to be put aside.

    Raises OSError, EntryTooLong, and RecordDamaged where there is nothing left to put aside.
    """
    marks: list[Entry] = []
    while True:
        try:
            for mark in marks:  # one that is there already isn't added again
                record.append(mark)
            return record.append(entry)
        except RecordDamaged as error:
            marks += record.marks()  # what is put aside now may hold some
            marks.append(_put_aside(disk, layout, error, entry.at_s))


def _put_aside(disk: Disk, layout: Layout, error: RecordDamaged, at_s: float) -> Entry:
    """What is appended to, or the newest of the full ones, by which the chain would go on. Returns what says so."""
    path = layout.record if disk.kind(layout.record) else _newest_full(disk, layout, error)
    numbers = (name.removeprefix(f"{path.name}-") for name in disk.names(layout.own / DAMAGED))
    number = 1 + max((int(found) for found in numbers if found.isdecimal()), default=0)
    aside = put_aside(disk, layout.own, path, f"{path.name}-{number}")
    reason = f"{error}: done, it is {aside}. A command on record there that is sent again is carried out again"
    log.error("the record goes on without a part: %s", reason)
    return Entry(f"{MARK} {aside.name}", MARK, "", PUT_ASIDE, reason, at_s=at_s)


def _newest_full(disk: Disk, layout: Layout, error: RecordDamaged) -> Path:
    full = Segments(disk, layout.record).full()
    if not full:
        raise error
    return full[-1]


def unreadable(disk: Disk, layout: Layout) -> str:
    """What of the newest part can't be read, if anything, without following the chain. Raises OSError."""
    for number, line in enumerate(Segments(disk, layout.record).lines(layout.record), 1):
        if line.endswith(b"\n") and named_in(line) is None:
            return f"{layout.record}:{number} can't be read: the next change puts the file aside"
    return ""
