"""Commands that are repeated, reordered, late and cut off, over the real engine: each is done once, and none is lost.

`test_commands.py` has who is answered what; here the orders are carried out, on a disk, and the AppManager is restarted
in their middle. The model knows which version and configuration each module has, and which of its versions are kept.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Collection, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec import structs

from appmanager.provisioning.commands import WAITING_MOST, Answer, Commands
from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind, Step
from appmanager.provisioning.outcome import Outcome
from appmanager.provisioning.plan import Order, Plan
from appmanager.provisioning.recovery import VERSIONS_KEPT, recover
from appmanager.store.record import Record
from appmanager.store.tree import write_whole
from appmanager.store.versions import Versions
from gridlink.errors import Busy, Refused, StartFailed
from tests.appmanager.packed.making import files_of, packed
from tests.appmanager.provisioning.plain_host import PlainHost
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk
from tests.appmanager.provisioning.stories import LAYOUT

T = TypeVar("T")
MODULES, VERSIONS, KEPT, WATT = ("lamp", "meter"), ("1.0.0", "2.0.0", "3.0.0"), VERSIONS_KEPT, 40
BAD = "bad"  # of an order whose new version isn't healthy
Glbs = dict[tuple[str, str], tuple[bytes, str]]
"""By module and version: the file, and its digest."""


@dataclass
class Installed:
    """What the model knows of a module: its version and configuration, and those that are kept, the oldest first."""

    now: tuple[str, int] | None = None
    kept: list[tuple[str, int]] = field(default_factory=list)

    def after(self, order: Order, version: str) -> Installed | None:
        """What an order makes of it; None: it is refused."""
        if order.kind is Kind.INSTALL:
            return Installed((version, WATT)) if self.now is None else None
        if self.now is None:
            return None
        if order.kind is Kind.UPDATE:
            return Installed((version, self.now[1]), [*self.kept, self.now][-KEPT:])
        if order.kind is Kind.CONFIGURE:
            return Installed((self.now[0], (order.settings or {})["watt"]), self.kept)
        if order.kind is Kind.UNINSTALL:
            return Installed()
        return Installed(self.kept[-1], [*self.kept[:-1], self.now][-KEPT:]) if self.kept else None


class Gated(PlainHost):
    """A host whose every step waits until it is let go."""

    def __init__(self, disk: SimulatedDisk, glbs: Glbs) -> None:
        super().__init__(disk, LAYOUT)
        self._files = {digest: glb for glb, digest in glbs.values()}
        self.gates: list[asyncio.Future[None]] = []
        self.moved = asyncio.Event()  # a step waits now

    async def receive(self, plan: Plan, into: Path) -> None:
        await self._met(Step.RECEIVE)
        write_whole(self.disk, into, self._files[plan.order.digest])

    async def watch(self, plan: Plan) -> None:
        await super().watch(plan)
        if plan.order.who == BAD:
            raise StartFailed("it isn't healthy")

    async def _met(self, step: Step) -> None:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        self.moved.set()
        try:
            await gate
        finally:
            if gate in self.gates:
                self.gates.remove(gate)


class Desk:
    """One life of an AppManager: what comes in is admitted, carried out one by one a module, and told."""

    def __init__(self, disk: SimulatedDisk, glbs: Glbs) -> None:
        self.disk, self.now_s = disk, 0.0
        self.recovered = recover(disk, LAYOUT, 0.0)
        self.host = Gated(disk, glbs)
        self.host.boot()
        self.engine = Engine(disk, LAYOUT, self.host, versions_kept=KEPT)
        self.commands = Commands()
        self.tasks: set[asyncio.Task[None]] = set()
        self.told: list[Outcome] = []

    def submit(self, order: Order) -> tuple[Answer, Outcome | None]:
        self.told += self.commands.expire(self.now_s)
        recalled = None if self.commands.knows(order.id) else self.engine.recall(order.id)
        admission = self.commands.submit(order, self.now_s, recalled)
        if admission.answer is Answer.START:
            task = asyncio.ensure_future(self._carry(order))  # noqa: TID251
            self.tasks.add(task)
            task.add_done_callback(self._ended)
        return admission.answer, admission.outcome

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self.host.moved.set()

    async def _carry(self, order: Order | None) -> None:
        while order is not None:
            outcome = await self.engine.run(order)
            expired, order = self.commands.ended(outcome, self.now_s)
            self.told += [outcome, *expired]

    async def settle(self) -> None:
        """Returns when all that is carried out waits to be let go."""
        async with asyncio.timeout(10):
            while len(self.tasks) > len(self.host.gates):
                self.host.moved.clear()
                await self.host.moved.wait()

    async def let_go(self, chance: random.Random) -> None:
        """One of them takes its next step."""
        gate = chance.choice(self.host.gates)
        self.host.gates.remove(gate)
        gate.set_result(None)
        await self.settle()

    async def cut(self) -> None:
        """It ends in the middle of whatever it does."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Asked(RuleBasedStateMachine):
    """Operators whose messages come late, twice and in any order, and an AppManager that is cut off."""

    glbs: Glbs

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.chance = random.Random(1)
        self.model = {module: Installed() for module in MODULES}
        self.posted: dict[str, Order] = {}
        self.accepted: set[str] = set()  # and not ended yet
        self.ends: dict[str, End] = {}  # on record
        self.expired: set[str] = set()
        self.desk = self._do(self._opened(SimulatedDisk()))

    def teardown(self) -> None:
        self._do(self._all_done())
        self._hear()
        assert not self.accepted, "lost"
        self.loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def _opened(self, disk: SimulatedDisk) -> Desk:
        if not disk.kind(LAYOUT.managed):
            disk.put(LAYOUT.managed / ".keep", b"")
        return Desk(disk, self.glbs)

    async def _all_done(self) -> None:
        await self.desk.settle()
        while self.desk.host.gates:
            await self.desk.let_go(self.chance)

    @rule(
        kind=st.sampled_from([*Kind, Kind.INSTALL, Kind.UPDATE]),
        module=st.sampled_from(MODULES),
        version=st.sampled_from(VERSIONS),
        watt=st.integers(1, 99),
        who=st.sampled_from(("", "", BAD)),
        expires_s=st.sampled_from((5.0, 500.0)),
    )
    def post(self, kind: Kind, module: str, version: str, watt: int, who: str, expires_s: float) -> None:
        digest = self.glbs[module, version][1] if kind in (Kind.INSTALL, Kind.UPDATE) else ""
        changed = {"watt": watt} if kind is Kind.CONFIGURE else None
        one = Order(f"{len(self.posted)}", kind, module, digest=digest, settings=changed, who=who, expires_s=expires_s)
        self.posted[one.id] = one
        self._deliver(one)

    @precondition(lambda self: self.posted)
    @rule(data=st.data())
    def comes_again(self, data: st.DataObject) -> None:
        self._deliver(self.posted[data.draw(st.sampled_from(sorted(self.posted)))])

    def _deliver(self, one: Order) -> None:
        answer, outcome = None, None
        waiting = [self.posted[other].module for other in self.accepted].count(one.module) - 1

        async def submit() -> tuple[Answer, Outcome | None]:
            found = self.desk.submit(one)
            await self.desk.settle()
            return found

        try:
            answer, outcome = self._do(submit())
        except Busy:
            assert waiting >= WAITING_MOST
        self._hear()
        if answer is Answer.ENDED:
            assert outcome is not None
            assert outcome.end is self.ends.get(one.id, End.REFUSED)
            assert one.id in self.ends or one.id in self.expired
        elif answer is Answer.KNOWN:
            assert one.id in self.accepted
        elif answer is not None and one.id not in self.ends:  # it may have ended at once
            self.accepted.add(one.id)

    @precondition(lambda self: self.accepted or self.ends)
    @rule(data=st.data())
    def another_has_the_same_id(self, data: st.DataObject) -> None:
        one = self.posted[data.draw(st.sampled_from(sorted({*self.accepted, *self.ends})))]
        other = Kind.UNINSTALL if one.kind is not Kind.UNINSTALL else Kind.ROLLBACK
        with pytest.raises(Refused, match="another command"):
            self.desk.submit(structs.replace(one, kind=other, digest=""))

    @precondition(lambda self: self.desk.host.gates)
    @rule(steps=st.integers(1, 12))
    def steps_are_taken(self, steps: int) -> None:
        async def taken() -> None:
            for _ in range(steps):
                if self.desk.host.gates:
                    await self.desk.let_go(self.chance)

        self._do(taken())
        self._hear()

    @rule(passes_s=st.sampled_from((1.0, 10.0)))
    def time_passes(self, passes_s: float) -> None:
        self.desk.now_s += passes_s
        self.desk.told += self.desk.commands.expire(self.desk.now_s)
        self._hear()

    @rule(power=st.booleans())
    def the_appmanager_is_cut_off(self, power: bool) -> None:
        running = {order.id for order in self.desk.commands.current()}
        self._do(self.desk.cut())
        disk = self.desk.disk.after_cut(self.chance) if power else self.desk.disk
        self.desk = self._do(self._opened(disk))
        on_record = {entry.id: End(entry.outcome) for entry in Record(disk, LAYOUT.record).entries()}
        for one in sorted(running):
            if one in on_record:
                self._ended(self.posted[one], on_record[one], "it was cut off")
        resumed = [one.resume for one in self.desk.recovered if one.resume is not None]
        assert {one.id for one in resumed} <= running
        self.accepted, self.expired = {one.id for one in resumed}, set()  # those who waited ask again

        async def resume() -> None:
            for one in resumed:
                self.desk.submit(one)
            await self.desk.settle()

        self._do(resume())
        self._hear()

    def _hear(self) -> None:
        told, self.desk.told = self.desk.told, []
        for outcome in told:
            if "it expired" in outcome.reason:
                self.expired.add(outcome.id)
                self.accepted.discard(outcome.id)
            else:
                self._ended(self.posted[outcome.id], outcome.end, outcome.reason)

    def _ended(self, order: Order, end: End, reason: str) -> None:
        assert order.id not in self.ends, "done twice"
        self.ends[order.id] = end
        self.accepted.discard(order.id)
        version = next((v for (_, v), (_, digest) in self.glbs.items() if digest == order.digest), "")
        after = self.model[order.module].after(order, version)
        if after is None:
            assert end is End.REFUSED
        elif order.who == BAD and order.kind is not Kind.UNINSTALL:
            assert end is not End.DONE
        elif "cut off" not in reason:
            assert end is End.DONE, reason
        if end is End.DONE:
            assert after is not None
            self.model[order.module] = after

    @invariant()
    def the_disk_is_as_the_model_says(self) -> None:
        disk, at_work = self.desk.disk, {order.module for order in self.desk.commands.current()}
        for module in MODULES:
            if module not in at_work:
                self._check(disk, module)
        record = Record(disk, LAYOUT.record)
        record.verify()
        ids = [entry.id for entry in record.entries()]
        assert len(ids) == len(set(ids)), "twice on record"
        assert set(ids) <= set(self.ends) | self.accepted

    def _check(self, disk: SimulatedDisk, module: str) -> None:
        wanted = self.model[module]
        place = disk.tree(LAYOUT.place(module))
        assert _seen(place) == wanted.now
        running = self.desk.host.running.get(module)
        assert (running.version if running is not None else None) == (wanted.now[0] if wanted.now else None)
        kept = [
            _seen(disk.tree(LAYOUT.version(module, k.number) / "bundle")) for k in Versions(disk, LAYOUT).kept(module)
        ]
        assert kept == wanted.kept
        for name in ("staged", "incoming", "journal"):
            assert not _of(module, disk.tree(LAYOUT.own / name)), f"left in {name}"


def _seen(files: dict[str, bytes]) -> tuple[str, int] | None:
    """Version and configuration of a bundle."""
    if not files:
        return None
    return json.loads(files["module.json"])["version"], json.loads(files["config.json"])["watt"]


def _of(module: str, files: Collection[str]) -> list[str]:
    return [path for path in files if path.partition("/")[0].partition(".")[0] == module]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> type[Asked]:
    """The state machine, with its bundles packed."""
    glbs: Glbs = {}
    for module in MODULES:
        for version in VERSIONS:
            manifest = json.dumps({"name": module, "version": version, "entry": "lamp:Lamp"}).encode()
            files = files_of(version) | {"module.json": manifest}
            glbs[module, version] = packed(tmp_path_factory.mktemp("bundle"), files)
    return type("AskedOfThese", (Asked,), {"glbs": glbs})


def test_commands_that_come_in_any_way_are_done_once_and_none_is_lost(machine: type[Asked]) -> None:
    """Links are lost, operators impatient, and the power fails."""
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_same_for_longer(machine: type[Asked]) -> None:
    """Rare orders of events need many tries."""
    run_state_machine_as_test(machine, settings=settings(max_examples=2000, stateful_step_count=80, deadline=None))
