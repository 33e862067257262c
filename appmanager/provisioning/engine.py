"""Carries commands out, step by step: each is in the journal before it is begun, and undone when one of them fails.

One command a module at a time; several modules at once. Who asks twice, and who waits, is the business of `Commands`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from appmanager.packed.limits import Limits
from appmanager.provisioning.blocking import in_thread, said
from appmanager.provisioning.carrying import Carrying, Tools
from appmanager.provisioning.change import Change
from appmanager.provisioning.host import Host
from appmanager.provisioning.machine import End
from appmanager.provisioning.outcome import Outcome, Progress, outcome_of
from appmanager.provisioning.plan import Order, Plan, read, spelled
from appmanager.provisioning.planner import Planner
from appmanager.provisioning.recovery import VERSIONS_KEPT, change_of, recover_module
from appmanager.store.disk import Disk
from appmanager.store.journal import Journal
from appmanager.store.keeping_on import append_anyhow
from appmanager.store.layout import Layout
from appmanager.store.record import Entry, Record
from gridlink.errors import Busy, GridlinkError, Refused

if TYPE_CHECKING:
    from appmanager.provisioning.rehearsal import Rehearsed

T = TypeVar("T")


class Engine:
    """Of one managed directory. Cancelling `run` leaves a journal, as a power cut would: `recover` mends that."""

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        host: Host,
        *,
        protected: Collection[str] = (),
        limits: Callable[[], Limits] = Limits,
        versions_kept: int = VERSIONS_KEPT,
        report: Callable[[Progress], None] = lambda progress: None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._disk, self._layout = disk, layout
        self._limits, self._versions_kept, self._wall_s = limits, versions_kept, wall_s
        self._planner = Planner(disk, layout, protected)
        self._journal = Journal(disk, layout)
        self.record = Record(disk, layout.record)
        """To be looked into; `put_on_record` adds to it."""
        self._tools = Tools(disk, layout, host, self._journal, report)
        self._shared = asyncio.Lock()  # of what all modules have in common: the record, directories that are made
        self._at_work: set[str] = set()
        self._rehearses = asyncio.Lock()

    async def run(self, order: Order) -> Outcome:
        """Carries an order out, whatever becomes of it. Raises Busy: something is being done to that module."""
        if order.module in self._at_work:
            raise Busy(f"{order.module}: another command is being carried out: wait for its end")
        self._at_work.add(order.module)
        try:
            return await self._run(order)
        finally:
            self._at_work.discard(order.module)

    async def dry_run(self, order: Order, host: Host, at_hand: bool = True) -> Rehearsed:
        """What would become of an order up to its preflight, tried on a copy; one at a time. See `rehearse`.

        `host`: who is asked, so that nobody else hears of it. `at_hand`: its bundle can be looked at. Raises Busy;
        Refused: what was done last is to be finished first, which a dry run doesn't.
        """
        from appmanager.provisioning.rehearsal import rehearse  # noqa: PLC0415 - with the first dry run

        async with self._rehearses:
            if order.module in self._at_work:
                raise Busy(f"{order.module}: another command is being carried out: ask again when it has ended")
            if order.module in await in_thread(self._journal.modules):
                raise Refused(
                    f"{order.module}: what was done last isn't finished: the next command, or the next start, does that"
                )
            layout = replace(self._layout, dry=True)
            return await rehearse(self._disk, layout, host, self._planner, self._limits, order, at_hand)

    async def finish(self, module: str) -> bool:
        """Finishes or undoes what was done last to a module, and isn't tidied, say; whether there was something.

        Not while `run` is at it. Raises OSError, GridlinkError: it stays as it is.
        """
        if module not in await in_thread(self._journal.modules):
            return False
        await self._alone(lambda: recover_module(self._disk, self._layout, self.record, module, self._wall_s()))
        return True

    async def refuse(self, order: Order, reason: str) -> Outcome:
        """The outcome of an order that isn't carried out, on record: sent again later, it gets that."""
        return await self._ended(Outcome(order.id, order.module, order.kind, End.REFUSED, reason), order, {})

    async def broken(self, order: Order, reason: str) -> Outcome:
        """The outcome of an order that a defect of ours has cut off: `run` has raised it.

        It is on record, unless a journal of it is there: then whoever mends that knows the end.
        """
        outcome = Outcome(order.id, order.module, order.kind, End.BROKEN, reason)
        try:
            if known := await in_thread(lambda: self.recall(order.id)):
                return known  # it had ended
            if await in_thread(lambda: self._is_journalled(order)):
                return outcome
            return await self._ended(outcome, order, {})
        except Exception as error:  # noqa: BLE001 - the same defect may be in the way here: whoever waits is to hear
            return replace(outcome, reason=f"{reason}; not on record: {said(error)}")

    async def put_on_record(self, entry: Entry) -> None:
        """Also what others have done to modules. Raises OSError, EntryTooLong."""
        await self._alone(lambda: append_anyhow(self._disk, self._layout, self.record, entry))

    def recall(self, id: str) -> Outcome | None:
        """The outcome of a command that is on record. Blocks: reads the record. Raises OSError, Refused."""
        entry = self.record.find(id)
        return None if entry is None else outcome_of(entry)

    async def _run(self, order: Order) -> Outcome:
        try:
            if await self.finish(order.module) and (known := await in_thread(lambda: self.recall(order.id))):
                return known  # it was this very one that had been cut off
            plan = await in_thread(lambda: self._planner.plan(order))
            await self._alone(lambda: self._begin(plan))
        except (GridlinkError, OSError) as error:
            return await self.refuse(order, said(error))
        outcome = await Carrying(self._tools, plan, partial(self._change, plan)).carry_out()
        if outcome.end is End.BROKEN:
            return outcome  # the journal stays: whoever mends it knows the end, and puts it on record
        said_so = await self._ended(outcome, order, plan.digests)
        left = outcome.step is not None or said_so.reason != outcome.reason  # not tidied, not on record
        if outcome.end is not End.DONE or not left:
            await self._closed(order.module)
        return said_so

    def _is_journalled(self, order: Order) -> bool:
        """Whether what is being done to the module is that order, and not one before it that was cut off."""
        journalled = self._journal.read(order.module)
        return journalled is not None and read(journalled.plan).order.id == order.id

    def _begin(self, plan: Plan) -> None:
        try:
            self._journal.begin(plan.module, spelled(plan))
        except OSError:
            with suppress(OSError):  # it may be there, and nobody is told so: it must not be found at the next start
                self._journal.end(plan.module)
            raise

    def _change(self, plan: Plan, progress: Callable[[int], None]) -> Change:
        return change_of(self._disk, self._layout, plan, self._wall_s(), self._limits(), self._versions_kept, progress)

    async def _closed(self, module: str) -> None:
        with suppress(OSError):  # the next command, or the next start, finds it, and finds that all is done
            await in_thread(lambda: self._journal.end(module))

    async def _ended(self, outcome: Outcome, order: Order, digests: dict[str, str]) -> Outcome:
        """Puts the outcome on record; what keeps it from that is said with it."""
        at_s = self._wall_s()
        entry = Entry(
            order.id,
            order.kind,
            order.module,
            outcome.end,
            outcome.reason,
            order.who,
            digests,
            at_s,
            signed=order.signed,
        )
        try:
            await self.put_on_record(entry)
        except (GridlinkError, OSError) as error:
            reason = f"{outcome.reason}; not on record: {said(error)}".removeprefix("; ")
            return replace(outcome, reason=reason)
        return outcome

    async def _alone(self, work: Callable[[], T]) -> T:
        async with self._shared:
            return await in_thread(work)
