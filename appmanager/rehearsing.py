"""Dry runs of an AppManager: what would become of a command, and what that doesn't say.

Nobody but whoever asks hears of one: no event, nothing on record, and nothing left on the disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import structs

from appmanager.module_host import ModuleHost
from appmanager.orders import Ended, RunOrder, Word
from appmanager.permission import Asker
from appmanager.provisioning.blocking import in_thread, said
from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import STEPS, Kind
from appmanager.provisioning.plan import Order
from appmanager.running import STEPS_OF, Runner
from appmanager.store.disk import Disk
from appmanager.store.incoming import durable_bytes
from appmanager.transfer.reference import reference_in
from gridlink.bus.durable.settings import DOMAIN
from gridlink.errors import Busy, GridlinkError, Refused

if TYPE_CHECKING:
    from appmanager.appmanager import AppManager

MOST = 8  # at once
KEPT_S = 60.0  # an outcome that nobody has come back for
NOT_HERE = (
    "not checked, since its bundle isn't here: whether it is whole, its version, platform, libraries, contracts, what "
    "it uses, its memory and its import"
)
NOT_ASKED = "not asked, since that would change it: whether the module's own configure() takes them"
Key = tuple[str, Kind, str]


class Rehearsing:
    """Of one AppManager."""

    def __init__(self, manager: AppManager, engine: Engine, disk: Disk, runner: Runner) -> None:
        self._manager, self._engine, self._disk, self._runner = manager, engine, disk, runner
        self._host = ModuleHost(manager, disk, lambda *_: None)  # a bundle comes, and nobody is told of it
        self._told: dict[Key, asyncio.Future[Ended]] = {}
        self._ended_s: dict[Key, float] = {}

    async def begin(self, order: Order, check: Callable[[], None]) -> asyncio.Future[Ended]:
        """What would become of a command: begun once, however often it is asked for until it is told.

        Raises Busy, and what `check` raises of an order that isn't signed, as the command would.
        """
        now_s = time.monotonic()
        for key in [key for key, ended_s in self._ended_s.items() if now_s - ended_s > KEPT_S]:
            self._forget(key)
        key = _key(order)
        if key not in self._told:
            if len(self._told) >= MOST:
                raise Busy(f"{MOST} dry runs are under way here: ask again")
            told: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
            if (refused := _refused(order.id, order.module, order.kind, check, bool(order.signed))) is not None:
                told.set_result(refused)
                return told
            self._told[key] = told
            self._manager.tasks.spawn(self._run(key, order), name=f"dry run: {order.kind} {order.module}")
        return self._told[key]

    def answered(self, order: Order) -> None:
        """Whoever asked has been told; if that was the outcome, it is forgotten."""
        self._forget(_key(order))

    def _forget(self, key: Key) -> None:
        if key in self._ended_s:
            del self._told[key], self._ended_s[key]

    async def _run(self, key: Key, order: Order) -> None:
        try:
            ended = await self._rehearsed(order)
        except (GridlinkError, OSError) as error:
            ended = _ended(order, "refused", said(error))
        except Exception as error:  # a defect of ours: whoever waits is to hear of it
            self._manager.log.exception("dry run: %s %s", order.kind, order.module)
            ended = _ended(order, "broken", said(error))
        self._ended_s[key] = time.monotonic()
        self._told[key].set_result(ended)

    async def _rehearsed(self, order: Order) -> Ended:
        source = await in_thread(lambda: self._at_hand(order))
        tried = structs.replace(order, source=source or order.source)
        found = await self._engine.dry_run(tried, self._host, at_hand=source is not None)
        if found.reason:
            step = found.step.value if found.step is not None else ""
            refused = _ended(order, "refused", found.reason)
            return structs.replace(refused, step=step, was=found.was, becomes=found.becomes, check=found.check)
        notes: tuple[str, ...] = ()
        if source is None:
            notes = (NOT_HERE,)
        elif order.kind is Kind.CONFIGURE:
            notes = (NOT_ASKED,)
        elif order.kind is Kind.UNINSTALL:
            notes = self._runner.missed(order.module)
        steps = tuple(step.value for step in STEPS[order.kind])
        return structs.replace(_ended(order, "dry run"), was=found.was, becomes=found.becomes, steps=steps, notes=notes)

    def _at_hand(self, order: Order) -> str | None:
        """Where its bundle is: what has come of it already, a path, the site's own store; None: far away."""
        if order.kind not in (Kind.INSTALL, Kind.UPDATE):
            return ""
        if not order.source:
            return None  # it would be sent to a store first
        reference = reference_in(order.source)
        if reference is None:
            return order.source
        here = self._manager.layout().incoming(order.module)
        if durable_bytes(self._disk, here, order.digest) == reference.size_bytes:
            return str(here)
        return order.source if reference.domain == DOMAIN else None

    def run(self, word: Word, order: RunOrder, asker: Asker) -> Ended:
        """What would become of start, stop, restart or kill. Raises Busy, and Refused as the command would."""
        module, manager = order.module, self._manager

        def check() -> None:
            self._runner.check(module, word, order.yes)
            if module in manager.under_way():
                raise Busy(f"{module}: another command is being carried out: wait for its end")

        refused = _refused(order.id, module, word, check, bool(asker.nkey))
        if refused is None and word in ("start", "restart"):
            refused = _refused(order.id, module, word, lambda: self._runner.check_start(word, module), True)
        if refused is not None:
            return refused
        notes = self._runner.missed(module) if word in ("stop", "kill") else ()
        return Ended(order.id, module, word, "dry run", steps=STEPS_OF[word], notes=notes)


def _key(order: Order) -> Key:
    return order.id, order.kind, order.module


def _ended(order: Order, end: str, reason: str = "") -> Ended:
    return Ended(order.id, order.module, order.kind.value, end, reason)  # type: ignore[arg-type]


def _refused(id: str, module: str, word: Word | Kind, check: Callable[[], None], outcome: bool) -> Ended | None:
    """The refusal of what a check raises, where that is an `outcome`; None where it passes. Raises it, else."""
    try:
        check()
    except Refused as error:
        if not outcome:
            raise
        return Ended(id, module, str(word), "refused", str(error))  # type: ignore[arg-type]
    return None
