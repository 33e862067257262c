"""One command on its way: takes its steps, and undoes them when one fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from appmanager.provisioning.blocking import in_thread, said
from appmanager.provisioning.change import Change
from appmanager.provisioning.host import Host
from appmanager.provisioning.machine import TOUCHES, End, Event, Step, advance, first
from appmanager.provisioning.outcome import Outcome, Progress, percent_of
from appmanager.provisioning.plan import Plan
from appmanager.store.disk import Disk
from appmanager.store.incoming import forget_but
from appmanager.store.journal import Journal, JournalUncertain
from appmanager.store.layout import Layout
from appmanager.store.tree import read_whole
from gridlink.errors import RequestTimeout

PROGRESS_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Tools:
    """What every command of a managed directory works with."""

    disk: Disk
    layout: Layout
    host: Host
    journal: Journal
    report: Callable[[Progress], None]


class Carrying:
    """One command on its way."""

    def __init__(self, tools: Tools, plan: Plan, change: Callable[[Callable[[int], None]], Change]) -> None:
        """`change` makes the work on the disk, given what to call with the bytes done."""
        self._disk, self._layout, self._host = tools.disk, tools.layout, tools.host
        self._journal, self._report = tools.journal, tools.report
        self._plan, self._becomes = plan, plan.becomes
        self._begun: list[Step] = []
        self._step = first(plan.kind)
        self._expired = False  # while it was receiving
        self._loop, self._done_bytes = asyncio.get_running_loop(), 0
        self._change = change(self._moved)

    async def carry_out(self) -> Outcome:
        """Takes all steps, or undoes them."""
        state: Step | End = self._step
        why = ""
        while isinstance(state, Step):
            self._step = state
            try:
                await self._take(state)
                event = Event.OK
            except Exception as error:  # noqa: BLE001 - whatever a step raises, the old version has to come back
                event, why = Event.FAILED, said(error)
                if state not in self._begun:
                    state = self._not_begun(state, error)
            failed = state
            state = advance(self._plan.kind, state, event)
            if event is Event.FAILED:
                return await self._failed(state, failed, why)
        return self._outcome(End.DONE, "", None)

    def _not_begun(self, step: Step, error: Exception) -> Step:
        """The step that failed where the record of the next one couldn't be written: the one before, as a rule."""
        if step is Step.TIDY or not self._begun or (step is Step.COMMIT and isinstance(error, JournalUncertain)):
            return step
        return self._begun[-1]

    async def _failed(self, state: Step | End, failed: Step, why: str) -> Outcome:
        if state is End.DONE:
            return self._outcome(state, f"not tidied yet: {why}", failed)
        if state is End.BROKEN:
            return self._outcome(state, f"{why}: the next start tells which version stays", failed)
        touched = not TOUCHES.isdisjoint(self._begun)
        try:
            if touched:
                self._say(step=Step.UNDO)
                await self._quietly(self._host.abandon(self._plan, failed))
            await in_thread(self._undo)
        except OSError as error:
            return self._outcome(End.BROKEN, f"{why}; the disk refuses to go back: {said(error)}", failed)
        if not touched:
            return self._outcome(End.REFUSED, why, failed)
        back = await self._quietly(self._go_back(failed))
        return self._outcome(End.ROLLED_BACK, why + back, failed)

    async def _go_back(self, failed: Step) -> None:
        state = await in_thread(self._read_state)
        await self._host.go_back(self._plan, failed, self._layout.place(self._plan.place), state)

    async def _quietly(self, asked: Coroutine[Any, Any, None]) -> str:
        """Asks the host for something on the way back; what it raises is said, and keeps nothing from going on."""
        try:
            await asked
        except Exception as error:  # noqa: BLE001 - see above
            return f"; and going back: {said(error)}"
        return ""

    def _undo(self) -> None:
        if self._expired:  # nothing was done but receiving: who asks again goes on where it was
            forget_but(self._disk, self._layout.incoming(self._plan.module).parent, self._journal.modules())
            return
        with contextlib.suppress(OSError):  # a full disk: what was begun is in the journal, and can be undone twice
            self._journal.write(self._plan.module, Step.UNDO)
        self._change.undo(frozenset(self._begun))

    def _read_state(self) -> bytes | None:
        path = self._layout.state(self._plan.module)
        return read_whole(self._disk, path) if self._disk.kind(path) else None

    async def _take(self, step: Step) -> None:
        await in_thread(lambda: self._journal.write(self._plan.module, step))
        self._begun.append(step)
        self._say()
        plan, change, host = self._plan, self._change, self._host
        match step:
            case Step.RECEIVE:
                await self._receive()
            case Step.STAGE:
                self._becomes = await in_thread(change.stage)
            case Step.PREFLIGHT:
                await host.preflight(plan, change.staged)
            case Step.SNAPSHOT:
                await in_thread(change.prepare)
                state = await host.snapshot(plan)
                await in_thread(lambda: change.keep(state))
            case Step.STOP:
                await host.stop(plan)
            case Step.SWITCH:
                await in_thread(change.switch)
            case Step.START:
                kept = await in_thread(change.state)
                await host.start(plan, self._layout.place(plan.place), kept)
            case Step.WATCH:
                await host.watch(plan)
            case Step.TIDY:
                await host.settle(plan)
                await in_thread(change.tidy)
            case _:
                return  # COMMIT: that it is written down is all

    async def _receive(self) -> None:
        order = self._plan.order
        try:
            async with asyncio.timeout(order.expires_s):
                await self._host.receive(self._plan, self._layout.incoming(order.module))
        except TimeoutError as error:
            self._expired = True
            how = f"within {order.expires_s:g} s" if order.expires_s > 0 else "before its time was over"
            raise RequestTimeout(f"the bundle did not come {how}: ask again: what has come is kept") from error

    def _moved(self, done_bytes: int) -> None:
        """Called in the thread that works on the disk."""
        if done_bytes - self._done_bytes >= PROGRESS_BYTES:
            self._done_bytes = done_bytes
            self._loop.call_soon_threadsafe(self._say, done_bytes)

    def _say(self, done_bytes: int = 0, step: Step | None = None) -> None:
        percent, order = percent_of(self._plan.kind, self._step), self._plan.order
        self._report(Progress(order.id, order.module, order.kind, step or self._step, percent, done_bytes))

    def _outcome(self, end: End, reason: str, step: Step | None) -> Outcome:
        plan = self._plan
        reason = "; ".join(filter(None, (reason, self._host.remark(plan))))
        return Outcome(plan.order.id, plan.module, plan.kind, end, reason, step, plan.was, self._becomes)
