"""What is on record, as `history` answers it."""

from __future__ import annotations

from dataclasses import asdict

from msgspec import structs

from appmanager.orders import History, HistoryOrder, Recorded
from appmanager.store.disk import Disk
from appmanager.store.keeping_on import unreadable
from appmanager.store.layout import Layout
from appmanager.store.record import Record

MOST = 500


def history(disk: Disk, layout: Layout, record: Record, order: HistoryOrder) -> History:
    """The last entries; followed from the beginning where that is asked for. Blocks. Raises RecordDamaged, OSError."""
    chain = record.verify() if order.verify else None
    found = []
    for entry in record.newest(max(1, min(order.last, MOST)), order.module):
        fields = asdict(entry)
        del fields["before"]
        found.append(Recorded(**fields))
    told = History(tuple(found), 0 if order.verify else None, damaged=unreadable(disk, layout))
    if chain is None:
        return told
    first, count = chain.first, chain.last.number - chain.first.number + 1
    return structs.replace(told, verified=count, begins=first.number, before=first.before)
