"""Carries operators' commands out: the engine of provisioning, with this AppManager as its host.

Loaded with the first command. Whoever asks waits for the outcome as long as the request lasts, and asks again then.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from appmanager.inventory import inventory
from appmanager.keeping import Keeping
from appmanager.module_host import ModuleHost
from appmanager.operated import TOPIC
from appmanager.orders import (
    Begun,
    BundleOrder,
    ConfigureOrder,
    Ended,
    History,
    HistoryOrder,
    Inventory,
    InventoryOrder,
    RollbackOrder,
    RunOrder,
    UninstallOrder,
    Word,
)
from appmanager.packed.limits import limits_on
from appmanager.permission import Asker, Command, asker_of
from appmanager.provisioning.blocking import in_own_thread, in_thread, said
from appmanager.provisioning.commands import Answer, Commands
from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind, Step
from appmanager.provisioning.outcome import Outcome, Progress, Recovered, percent_of
from appmanager.provisioning.plan import Order, going_on, read_order, spelled_order, timed
from appmanager.provisioning.time_left import moment
from appmanager.recorded import history
from appmanager.running import Runner
from appmanager.runs import Runs
from appmanager.store.disk import RealDisk
from appmanager.store.record import Entry
from appmanager.store.waiting import Waiting
from appmanager.turns import Turns
from gridlink.errors import Busy, GridlinkError, Refused
from gridlink.message import message

if TYPE_CHECKING:
    from appmanager.appmanager import AppManager, Managed
    from appmanager.moving import MoveOrder
    from appmanager.rehearsing import Rehearsing

PROTECTED = ("appmanager", "nodemanager")
ANSWER_IN_TIME = 0.8  # of a request's time; the rest is for the answer
WAIT_S = 60.0  # where the request has no limit
TOO_LATE = "it expired while it waited and its node was restarted, by this machine's clock: ask again"


class Operating:
    """Of one AppManager."""

    def __init__(self, manager: AppManager) -> None:
        self._manager = manager
        managed, disk = Path(manager.config.managed), RealDisk()
        layout = manager.layout()
        self._host = ModuleHost(manager, disk, self._received)
        self._protected = protected = (*PROTECTED, manager.instance.partition("@")[0])
        self._engine = Engine(
            disk, layout, self._host, protected=protected, limits=lambda: limits_on(managed), report=self._report
        )
        self._commands = Commands()
        self._in_order = asyncio.Lock()  # of taking commands in
        self._record = self._engine.record
        self._runner = Runner(manager, protected)
        self._checks = Turns("signatures are checked")
        self._rehearsing: Rehearsing | None = None
        self._keeping = Keeping(Waiting(disk, layout.waiting), manager.log)
        self.runs = Runs(manager, self._record, self._keeping, self._engine.put_on_record)
        self._outcomes: dict[str, asyncio.Future[Ended]] = {}
        self._waited: dict[str, Order] = {}  # commands that are kept on the disk until they have ended, by their ids
        self._last: dict[str, str] = {}  # the id of the command that ended last, by module

    async def _asker(self, type: str, order: Command) -> Asker:
        return await asker_of(self._manager, type, order, self._checks)

    async def bundle(self, word: Word, order: BundleOrder) -> Ended:
        """Install, update."""
        asker = await self._asker(word, order)
        fields = ("digest", "source", "config", "settings", "older", "mode", "into")
        known = _known(Kind(word), order, asker, **{name: getattr(order, name) for name in fields})
        return await self._ask(known, order.dry_run)

    async def configure(self, order: ConfigureOrder) -> Ended:
        """Other values."""
        asker = await self._asker("configure", order)
        known = _known(Kind.CONFIGURE, order, asker, config=order.config, settings=order.settings)
        return await self._ask(known, order.dry_run)

    async def uninstall(self, order: UninstallOrder) -> Ended:
        """Remove."""
        asker = await self._asker("uninstall", order)
        known = _known(Kind.UNINSTALL, order, asker, purge=order.purge)
        return await self._ask(known, order.dry_run, lambda: self._runner.check(order.module, "uninstall", order.yes))

    async def rollback(self, order: RollbackOrder) -> Ended:
        """Back to a version that is kept."""
        asker = await self._asker("rollback", order)
        known = _known(Kind.ROLLBACK, order, asker, to=order.to, keep_state=order.keep_state)
        return await self._ask(known, order.dry_run)

    async def run(self, word: Word, order: RunOrder) -> Ended:
        """Start, stop, restart, kill. Raises Busy: something else is being done to that module."""
        module, yes = order.module, order.yes
        asker = await self._asker(word, order)
        if order.dry_run:
            return self._dry_runs().run(word, order, asker)
        told = await self.runs.run(
            word,
            order.id,
            module,
            asker,
            lambda: self._runner.check(module, word, yes),
            lambda: self._runner.run(word, module),
        )
        return await _in_time(told, Ended(order.id, module, word, "under way"))

    async def move(self, order: MoveOrder) -> Managed:
        """Another mode, see AppManager.move. Raises Busy, NoSuchInstance, Refused."""
        asker, name = await self._asker("move", order), order.name
        if asker.nkey and not order.id:
            raise Refused(f"move of {name}: expected an id in a signed command, by which it is done once, got none")

        async def do() -> str:
            await self._engine.finish(name)  # an install that isn't tidied would write its mode over this one, later
            await self._manager.moved(order)
            return ""

        known_as = order.id or secrets.token_hex(8)
        check = partial(self._manager.check_managed, name)
        told = await self.runs.run("move", known_as, name, asker, check, do)
        ended, planned = await asyncio.shield(told), self._manager.find(name)
        if ended.end != "done" or planned is None:
            raise Refused(ended.reason or f"{name} isn't managed any more")
        return self._manager.managed(planned)

    async def history(self, order: HistoryOrder) -> History:
        """The record. Raises RecordDamaged with the line."""
        return await in_own_thread(lambda: history(RealDisk(), self._manager.layout(), self._record, order))

    async def inventory(self, order: InventoryOrder) -> Inventory:
        """What there is, and which command ended last."""
        found = await inventory(self._manager, self._record, self._protected, order)
        under_way = {*self._manager.under_way(), *(order.module for order in self._commands.current())}
        last = {name: f"{found.last.get(name, '')} {self._last.get(name, '')}" for name in {*found.last, *self._last}}
        return structs.replace(found, last=last, under_way=tuple(sorted(under_way)))

    async def resume(self, recovered: list[Recovered]) -> None:
        """Goes on with what a former AppManager had begun or taken in, and tells what became of the rest."""
        for one in recovered:
            if one.outcome is not None:
                self._manager.log.warning("%s: %s: %s", one.outcome.module, one.outcome.end, one.outcome.reason)
                self._publish("ended", _ended(one.outcome))
            if one.resume is not None:
                await self._resubmit(going_on(one.resume, moment()))
        for kept in await self._keeping.all():
            if kept.what == "run":
                await self.runs.cut_off(kept.document)
                continue
            try:
                order = read_order(kept.document)
            except ValueError as error:  # a ValidationError
                self._manager.log.error("a command that waited is of another release: %s", error)  # noqa: TRY400
                continue
            await self._resubmit(going_on(order, moment()), waited=True)

    async def _resubmit(self, order: Order, *, waited: bool = False) -> None:
        """A command that was cut off, or `waited`: if it has ended it is on record, and isn't done again.

        One that can't go on now stays as it is on the disk, for the next start: no other one is held up by it.
        """
        recalled, unread = found = await self._recalled(order.id)
        if unread:
            self._manager.log.error("%s %s is left for the next start: %s", order.kind, order.module, unread)
            return
        if waited:
            self._waited[order.id] = order
            if recalled is None and order.expires_s <= 0 and not self._commands.knows(order.id):
                self._refuse(order, TOO_LATE)
                return
        try:
            told = await self._submit(order, found=found)
        except Busy as error:
            self._waited.pop(order.id, None)
            self._manager.log.error("%s %s is left for the next start: %s", order.kind, order.module, error)  # noqa: TRY400
            return
        except GridlinkError as error:  # its id is another command's, which has its outcome
            self._manager.log.error("%s %s is given up: %s", order.kind, order.module, error)  # noqa: TRY400
        else:
            if not told.done():
                self._manager.log.warning("%s %s goes on: its node had ended meanwhile", order.kind, order.module)
                return
        if self._waited.pop(order.id, None) is not None:
            await self._keeping.remove(order.id)

    def _dry_runs(self) -> Rehearsing:
        if self._rehearsing is None:
            from appmanager.rehearsing import Rehearsing  # noqa: PLC0415 - with the first dry run

            self._rehearsing = Rehearsing(self._manager, self._engine, RealDisk(), self._runner)
        return self._rehearsing

    async def _ask(self, order: Order, dry_run: bool = False, check: Callable[[], None] = lambda: None) -> Ended:
        if dry_run:
            told = await self._dry_runs().begin(order, check)
            ended = await _in_time(told, Ended(order.id, order.module, order.kind.value, "under way"))
            self._dry_runs().answered(order)
            return ended
        known = await self._submit(order, check)
        return await _in_time(known, Ended(order.id, order.module, order.kind.value, "under way"))

    async def _submit(
        self, order: Order, check: Callable[[], None] = lambda: None, found: tuple[Outcome | None, str] | None = None
    ) -> asyncio.Future[Ended]:
        """Its outcome, when there is one. Where it waits, it is on the disk when this returns. `found`: on record.

        Raises Busy, Refused, and what `check` raises of a command that is new; of a signed one that is its outcome.
        """
        for expired in self._commands.expire(time.monotonic()):
            self._tell(expired, expired=True)
        async with self._in_order:
            recalled, unread = found or await self._recalled(order.id)
            known = recalled is not None or self._commands.knows(order.id)
            try:
                if unread:
                    raise Refused(unread)
                if not known:
                    check()
                admission = self._commands.submit(order, time.monotonic(), recalled)
            except GridlinkError as error:
                if not order.signed or known:  # known: the id is another command's
                    raise
                return self._refuse(order, str(error))
        if admission.outcome is not None and order.id not in self._outcomes:
            told: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
            told.set_result(_ended(admission.outcome))
            return told
        told = self._outcomes.setdefault(order.id, asyncio.get_running_loop().create_future())
        if admission.answer is Answer.START:
            self._manager.tasks.spawn(self._carry(order), name=f"{order.kind} {order.module}")
        if admission.answer is Answer.WAIT:
            self._waited[order.id] = order
            await self._keeping.add(order.id, "order", spelled_order(timed(order, moment())))
        return told

    async def _recalled(self, id: str) -> tuple[Outcome | None, str]:
        """The outcome that is on record, of a command that isn't remembered; or why that can't be told."""
        if self._commands.knows(id):
            return None, ""
        try:
            return await in_thread(lambda: self._engine.recall(id)), ""
        except OSError as error:
            return None, f"whether it was done before can't be told, the record can't be read: {said(error)}"

    def _refuse(self, order: Order, reason: str) -> asyncio.Future[Ended]:
        """A command that is refused: from now on that is its outcome, and told once it is on record."""
        self._commands.refused(order, Outcome(order.id, order.module, order.kind, End.REFUSED, reason))
        told = self._outcomes[order.id] = asyncio.get_running_loop().create_future()

        async def record() -> None:
            self._tell(await self._engine.refuse(order, reason))

        self._manager.tasks.spawn(record(), name=f"{order.kind} {order.module}")
        return told

    async def _carry(self, order: Order | None) -> None:
        while order is not None:
            outcome = await self._carried_out(order)
            expired, order = self._commands.ended(outcome, time.monotonic())
            self._tell(outcome)
            for one in expired:
                self._tell(one, expired=True)

    async def _carried_out(self, order: Order) -> Outcome:
        moving = self._manager.moving
        if order.module in self._manager.under_way():
            return await self._engine.refuse(order, "something else is being done to it: ask again when that has ended")
        moving.add(order.module)
        try:
            return await self._engine.run(timed(order, moment()))
        except Exception as error:  # a defect of ours: whoever waits is to hear of it
            self._manager.log.exception("%s %s", order.kind, order.module)
            return await self._engine.broken(order, said(error))
        finally:
            moving.discard(order.module)
            self._host.ended(order.module)

    def _tell(self, outcome: Outcome, *, expired: bool = False) -> None:
        ended = _ended(outcome)
        if outcome.id in self._waited and outcome.end is not End.BROKEN:
            order = self._waited.pop(outcome.id)
            self._manager.tasks.spawn(
                self._waits_no_more(order, outcome, expired), name=f"{outcome.kind} {outcome.module}"
            )
        self._last[outcome.module] = outcome.id
        told = self._outcomes.pop(outcome.id, None)
        if told is not None:
            told.set_result(ended)
        level = self._manager.log.info if outcome.end is End.DONE else self._manager.log.warning
        level("%s %s: %s %s", outcome.kind, outcome.module, outcome.end, outcome.reason)
        self._publish("ended", ended)

    async def _waits_no_more(self, order: Order, outcome: Outcome, expired: bool) -> None:
        """What has ended is on record, one that expired too, before it is kept no more."""
        if expired:
            entry = Entry(
                outcome.id,
                outcome.kind,
                outcome.module,
                outcome.end,
                outcome.reason,
                order.who,
                at_s=time.time(),
                signed=order.signed,
            )
            try:
                await self._engine.put_on_record(entry)
            except (GridlinkError, OSError) as error:
                self._manager.log.error("%s: not on record: %s", outcome.reason, said(error))  # noqa: TRY400
                return
        await self._keeping.remove(outcome.id)

    def _report(self, progress: Progress) -> None:
        self._publish("step", Begun(**{**asdict(progress), "kind": progress.kind.value, "step": progress.step.value}))

    def _received(self, order: Order, received_bytes: int, of_bytes: int, waits: str) -> None:
        percent = percent_of(order.kind, Step.RECEIVE, received_bytes / of_bytes if of_bytes else 0.0)
        step = Progress(order.id, order.module, order.kind, Step.RECEIVE, percent, received_bytes, of_bytes, waits)
        self._report(step)
        if waits:
            self._manager.log.warning("%s %s waits: %s", order.kind, order.module, waits)

    def _publish(self, type: str, what: Begun | Ended) -> None:
        self._manager.tasks.spawn(self._manager.bus.publish(TOPIC, type, what), name=f"{TOPIC}.{type}")


def _known(
    kind: Kind, order: BundleOrder | ConfigureOrder | UninstallOrder | RollbackOrder, asker: Asker, **more: Any
) -> Order:
    return Order(order.id, kind, order.module, who=asker.who, signed=asker.nkey, expires_s=order.expires_s, **more)


def _ended(outcome: Outcome) -> Ended:
    step = outcome.step.value if outcome.step is not None else ""
    return Ended(
        outcome.id,
        outcome.module,
        outcome.kind.value,
        outcome.end.value,
        outcome.reason,
        step,
        outcome.was,
        outcome.becomes,
    )


async def _in_time(told: asyncio.Future[Ended], otherwise: Ended) -> Ended:
    """The outcome, if it comes while whoever asks still waits."""
    left_s = message().time_left_s()
    try:
        async with asyncio.timeout(WAIT_S if left_s is None else left_s * ANSWER_IN_TIME):
            return await asyncio.shield(told)
    except TimeoutError:
        return otherwise
