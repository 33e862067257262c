"""What provisioning asks of an AppManager: modules are held, replaced, watched and brought back, in every mode.

A version follows another as a module follows itself when it moves (gridlink.node.succession): what it is sent meanwhile
is kept, and handled by whichever comes to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from appmanager.announced import Announced, announced, is_new
from appmanager.in_node import NodeChild
from appmanager.in_process import ProcessChild
from appmanager.packed.candidate import Candidate, read_candidate
from appmanager.packed.checks import ALL, Digests, verify
from appmanager.packed.contents import Header
from appmanager.packed.host_process import ask
from appmanager.packed.names import CONTENTS
from appmanager.postponing import POSTPONED_S, Postponement
from appmanager.preflight.preflight import preflight
from appmanager.provisioning.blocking import in_own_thread
from appmanager.provisioning.machine import Kind, Step
from appmanager.provisioning.plan import Plan
from appmanager.receiving import Received, Receiver
from appmanager.running import STOPPED
from appmanager.site_look import look
from appmanager.start_time import ALONE_S, start_within_s
from appmanager.store.disk import Disk
from appmanager.window import AGAIN_S, ENDED, LOOK_S, ChildEnded, Window
from gridlink.errors import GridlinkError, NoSuchInstance, Refused, RequestTimeout, StartFailed
from gridlink.lifecycle import State
from gridlink.node.bundle import read_bundle
from gridlink.node.plan import Planned

if TYPE_CHECKING:
    from appmanager.appmanager import AppManager
    from appmanager.children import Child, KeptOut

BY = "a command"  # touches what runs
START_S = 16.0  # less than a held module waits for its follower
END_S = 15.0
SILENT_S = 20.0  # for all answers of a module that is to be held
HEALTH_S = 2.0
LATE_S = 0.3  # later than the process: for one that can't say that it has been too long
GONE_WITHIN_S = 5.0


class ModuleHost:
    """Keeps appmanager.provisioning.host.Host. `received` hears of what has come of a bundle."""

    def __init__(self, manager: AppManager, disk: Disk, received: Received) -> None:
        self._manager, self._receiver = manager, Receiver(manager, disk, received)
        self._held: dict[str, Child] = {}  # that wait for whoever follows them
        self._was: dict[str, tuple[Planned, bool]] = {}  # what there was before the command, and whether it was to run
        self._remarks: dict[str, str] = {}  # that are to be told at the end
        self._let_in: dict[str, KeptOut] = {}  # for what the former version did
        self._start_within_s: dict[str, float] = {}  # of versions that others wait for

    async def receive(self, plan: Plan, into: Path) -> None:
        """See Host."""
        await self._receiver.receive(plan, into)

    async def preflight(self, plan: Plan, staged: Path) -> None:
        """See Host."""
        name, kind = plan.module, plan.kind
        self._forget_former(name)
        if kind is Kind.CONFIGURE:
            planned = self._manager.find(name)
            if planned is None or planned.manifest is None:
                raise Refused(f"{name} can't run at all: {planned.refused if planned is not None else 'it is gone'}")
            if self._starts_with_its_configuration(name):
                self._manager.admit(planned)
            needs_mib = planned.manifest.resources.memory_mib
            await in_own_thread(lambda: preflight(planned.directory, staged, memory_mib=needs_mib))
            return
        manifest = read_bundle(staged).manifest
        if manifest.name != name:
            raise Refused(f"the bundle is {manifest.name}, not {name}: say `gridlink {kind} {manifest.name}`")
        self._manager.plan_chosen(staged, name, plan.order.choice)
        tried = await in_own_thread(partial(preflight, staged, memory_mib=manifest.resources.memory_mib))
        child, documents = self._manager.child(name), tried.documents
        waits = child is not None and child.state not in (State.STOPPED, State.FAILED)
        self._start_within_s[name] = start_within_s(name, kind, tried.start_within_s, waits)
        header, checks = Header(1, name, manifest.version, "", "", {}), ALL
        if (staged / CONTENTS).exists():
            header = read_candidate(staged).header
        else:  # it was put there by hand once, so there is no list of its files
            checks = tuple(check for check in ALL if not isinstance(check, Digests))
        candidate = Candidate(staged, header, manifest, documents)
        older = plan.order.older or kind is Kind.ROLLBACK
        addresses = {*documents, *manifest.uses}
        own_mib = self._manager.own_mib(name)
        site = await look(self._manager.registry, self._manager.planned, name, addresses, older, own_mib)
        await in_own_thread(lambda: verify(checks, candidate, ask(), site))

    def _forget_former(self, name: str) -> None:
        """A command that ended broken has left what is gone since: nothing follows that any more."""
        for of in (self._held, self._was, self._let_in, self._start_within_s):
            of.pop(name, None)

    def ended(self, name: str) -> None:
        """The command has ended: others may touch what runs of the module."""
        self._manager.touched.end(name, BY)

    async def snapshot(self, plan: Plan) -> bytes | None:
        """See Host. Its node writes the checkpoint, and the engine finds it in its place."""
        name = plan.module
        await self._manager.touched.begin_after(name, BY)
        child, planned = self._manager.child(name), self._manager.find(name)
        if planned is not None:
            self._was[name] = planned, child is not None
        if child is None or child.state is not State.RUNNING:
            if child is not None:
                await self._manager.end(child, END_S)
                await self._manager.forget_child(name)
            return None
        try:
            async with asyncio.timeout(POSTPONED_S + SILENT_S):
                await self._wait_until_not_busy(child)
                await self._hold(name, child)
        except (RequestTimeout, NoSuchInstance, TimeoutError, ChildEnded) as error:
            await self._unasked(name, child, error)
        return None

    async def _unasked(self, name: str, child: Child, error: Exception) -> None:
        """It hangs, or has ended: it can't be asked for its state, and that is when somebody needs another version."""
        self._remarks[name] = f"{child.instance} did not answer, so its state is that of its last checkpoint"
        self._manager.log.warning("%s: %s", self._remarks[name], error)
        place = child.nodemanager if isinstance(child, NodeChild) else child.instance
        before = {one for one in announced(self._manager.registry.instances()) if one[0] == place}
        await self._manager.end(child, END_S)
        await self._manager.forget_child(name)
        if before and child.state is not State.STOPPED:  # whoever ends it didn't say that it has
            try:
                await self._gone(place, before)
            except TimeoutError as again:
                raise StartFailed(f"{child.instance} neither answers nor ends, nothing can follow: {again}") from error

    async def _wait_until_not_busy(self, child: Child) -> None:
        postponed = Postponement(child.instance, time.monotonic())
        while True:
            why = (await self._ask(child, "health", child.instance))["busy"]
            if not postponed.goes_on(why, time.monotonic()):
                return
            await asyncio.sleep(AGAIN_S)

    async def _hold(self, name: str, child: Child) -> None:
        await self._ask(child, *_hold(child))
        self._held[name] = child

    async def _ask(self, child: Child, question: str, payload: Any) -> Any:
        """What its node answers. Raises StartFailed as soon as it has ended: nobody would answer, for ASK_WITHIN_S."""
        return await Window(self._manager, child).answered(question, payload)

    async def stop(self, plan: Plan) -> None:
        """See Host."""
        name = plan.module
        await self._manager.touched.begin_after(name, BY)
        self._forget_former(name)
        child, planned = self._manager.child(name), self._manager.find(name)
        if planned is not None:
            self._was[name] = planned, child is not None
        if child is not None:
            await child.stop(END_S)
            await self._manager.forget_child(name)
            await self._gone(child.instance)

    async def _gone(self, instance: str, before: Collection[Announced] = ()) -> None:
        """Returns when the registry shows it no more, or none of those `before`. Raises TimeoutError."""
        by_s, registry = time.monotonic() + GONE_WITHIN_S, self._manager.registry
        while found := [entry for entry in registry.instances() if entry.instance == instance]:
            if before and announced(found).isdisjoint(before):
                return
            if time.monotonic() > by_s:
                raise TimeoutError(f"{instance} is still shown {GONE_WITHIN_S:g} s after its end: `gridlink kill`")
            await asyncio.sleep(0.02)

    async def start(self, plan: Plan, directory: Path, state: bytes | None) -> None:
        """See Host. The state lies where the node that starts the module finds it."""
        await self._manager.touched.begin_after(plan.module, BY)
        within_s = self._start_within_s.pop(plan.module, 0.0)
        if plan.kind is Kind.CONFIGURE:
            await self._take(plan.module)
            return
        if plan.digests.get("to") is None or plan.digests.get("to") != plan.digests.get("from"):
            self._let_in[plan.module] = self._manager.let_in(plan.module)  # other code deserves another chance
        choice = plan.order.choice
        await self._follow(self._manager.plan_chosen(directory, plan.module, choice), within_s)
        now = self._manager.find(plan.module)
        if choice is not None and now is not None and now.mode != choice.mode:
            raise StartFailed(f"{plan.module} can't run in mode {choice.mode}: {now.note}")

    async def _take(self, name: str) -> None:
        """Has the module take what its config.json says now; one that doesn't run is started with it."""
        child = self._manager.child(name)
        if child is not None and child.state is State.RUNNING:
            await self._manager.hosting.ask(child.instance, "configure", child.instance)
            return
        planned = self._manager.find(name)
        if planned is not None and child is not None and self._starts_with_its_configuration(name):
            await self._manager.end(child, END_S)
            await self._anew(planned)

    def _starts_with_its_configuration(self, name: str) -> bool:
        """Whether it has failed to run: what is stopped, or may not run, takes its configuration when it is started."""
        child = self._manager.child(name)
        return child is not None and child.state not in (State.RUNNING, State.STOPPED)

    async def _follow(self, to: Planned, start_within_s: float = 0.0) -> None:
        """Starts a version, from what is held of another where something is; that waits so long; 0: as the module says.

        Raises StartFailed: that is held on.
        """
        former = self._held.get(to.name)
        self._manager.put(to)
        if former is None:
            await self._anew(to, start_within_s)
            return
        child, why = await self._begun(to, former, start_within_s)
        if why and isinstance(child, NodeChild) and child.needs_process and self._manager.hosting.url:
            await self._drop(child, former)
            to = structs.replace(to, mode="fork", into="", note=f"it can't live in a node: {child.needs_process}")
            self._manager.put(to)
            child, why = await self._begun(to, former, start_within_s)
        if why:
            await self._drop(child, former)
            raise StartFailed(f"{to.name} {_version(to)}: {why}")
        self._manager.take_child(to.name, child)
        del self._held[to.name]
        await self._end_former(former, child)

    async def _begun(self, to: Planned, former: Child, start_within_s: float) -> tuple[Child, str]:
        before = announced(self._manager.registry.instances())
        child = self._manager.begin(to, former.instance, start_within_s)
        if not start_within_s or isinstance(child, NodeChild):  # a NodeManager's watchdog interrupts what takes longer
            return child, await self._manager.settled(child, START_S + start_within_s)
        await self._until_imported(child, before)
        return child, await self._manager.settled(child, start_within_s + LATE_S)

    async def _until_imported(self, child: Child, before: Collection[Announced]) -> None:
        """Returns when its own node announces it, as it does before it starts the module; or when it has settled."""
        by_s, registry = time.monotonic() + START_S, self._manager.registry
        while not is_new(child.instance, registry.instances(), before):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await child.settled.wait()
            if child.settled.is_set() or time.monotonic() > by_s:
                return

    async def _anew(self, to: Planned, start_within_s: float = 0.0) -> None:
        """Nobody waits for it: it has what it declares."""
        why = await self._manager.start_anew(to, max(START_S, min(start_within_s, ALONE_S)))
        if why:
            raise StartFailed(f"{to.name} {_version(to)}: {why}")

    async def _drop(self, child: Child, former: Child) -> None:
        """Ends what didn't start; in the same NodeManager that has been done already."""
        if _same_place(child, former) and child.state is not State.STARTING:
            child.cancel()
        else:
            await self._manager.end(child, END_S, at_once=True)

    async def _end_former(self, former: Child, child: Child) -> None:
        """The former version has it followed; in the same NodeManager it is gone by now."""
        if _same_place(child, former):
            former.cancel()
        else:
            await self._manager.end(former, END_S)

    async def watch(self, plan: Plan) -> None:
        """See Host."""
        child = self._manager.child(plan.module)
        by_s, window = time.monotonic() + HEALTH_S, None if child is None else Window(self._manager, child)
        if window is not None and child is not None and plan.kind is Kind.CONFIGURE and child.state is State.RUNNING:
            await window.opens()
        while child is not None and window is not None:
            if child.state is State.STOPPED and plan.kind is Kind.CONFIGURE:
                return  # an operator stopped it: it takes them when it is started
            if child.state is not State.RUNNING or child is not self._manager.child(plan.module):
                raise StartFailed(f"{plan.module} is {child.state} within {HEALTH_S:g} s: {child.reason}")
            if why := await self._unhealthy(child, window):
                raise StartFailed(f"{plan.module} isn't healthy: {why}")
            if time.monotonic() >= by_s:
                return
            await asyncio.sleep(AGAIN_S)

    async def _unhealthy(self, child: Child, window: Window) -> str:
        try:
            return (await window.health())["unhealthy"]
        except StartFailed:
            if window.is_silent and isinstance(child, ProcessChild):  # nobody can be asked to hold it
                await self._manager.end(child, END_S, at_once=True)
            raise

    async def abandon(self, plan: Plan, reached: Step) -> None:
        """See Host."""
        name = plan.module
        child = self._manager.child(name)
        if plan.kind in (Kind.CONFIGURE, Kind.UNINSTALL) or child is None or name in self._held:
            return
        if plan.kind is Kind.INSTALL:
            await self._manager.end(child, END_S)
            await self._manager.forget_child(name)
        elif reached not in (Step.SNAPSHOT, Step.SWITCH):
            try:
                if child.state in ENDED:
                    raise StartFailed(f"it is {child.state}")
                window = Window(self._manager, child)
                await window.opens()
                await window.while_alive(*_hold(child))
                self._held[name] = child
            except GridlinkError as error:
                self._manager.log.warning("%s is ended: it can't be held: %s", child.instance, error)
                await self._manager.end(child, END_S, at_once=isinstance(error, StartFailed))
                await self._manager.forget_child(name)

    async def go_back(self, plan: Plan, reached: Step, directory: Path, state: bytes | None) -> None:
        """See Host."""
        name = plan.module
        if name in self._let_in:
            self._manager.keep_out(name, self._let_in.pop(name))
        if reached in (Step.START, Step.WATCH):
            self._manager.forgive(name)
        if plan.kind is Kind.INSTALL:
            self._manager.forget(name)
            return
        if plan.kind is Kind.CONFIGURE:
            await self._take(name)
            return
        if name not in self._was:
            return  # it wasn't touched
        was, ran = self._was.pop(name)
        self._manager.put(was)
        if was.manifest is None:
            await self._can_not_run(was)
            return
        former, child = self._held.get(name), self._manager.child(name)
        if former is None:
            if child is None and ran:
                await self._anew(was)
            elif child is None:
                stays, why = (State.FAILED, was.refused) if was.refused else (State.STOPPED, STOPPED)
                await self._manager.announce(name, stays, why)
            return
        if former is child and isinstance(former, ProcessChild) and reached is not Step.WATCH:
            del self._held[name]
            await self._manager.hosting.resume(former.instance)
            return
        try:
            await self._follow(was)
        except GridlinkError:
            await self._manager.end(self._held.pop(name), END_S)
            await self._manager.forget_child(name)
            await self._anew(was)

    async def _can_not_run(self, was: Planned) -> None:
        """What was in place before can't be read: that is told of it, as before."""
        for child in (self._held.pop(was.name, None), self._manager.child(was.name)):
            if child is not None:
                await self._manager.end(child, END_S)
        await self._manager.forget_child(was.name)
        await self._manager.announce(was.name, State.FAILED, was.refused)

    def remark(self, plan: Plan) -> str:
        """See Host."""
        return self._remarks.pop(plan.module, "")

    async def settle(self, plan: Plan) -> None:
        """See Host."""
        self._was.pop(plan.module, None)
        if self._let_in.pop(plan.module, None) is not None:
            self._manager.forgive(plan.module)
        self.ended(plan.module)
        if plan.kind is Kind.UNINSTALL:
            self._manager.forget(plan.module)
        if plan.order.choice is not None:
            self._manager.choose(plan.module, plan.order.choice)  # last: the disk may refuse it


def _hold(child: Child) -> tuple[str, dict[str, str]]:
    return "hold", {"instance": child.instance, "follower": ""}


def _version(planned: Planned) -> str:
    return planned.manifest.version if planned.manifest is not None else ""


def _same_place(one: Child, other: Child) -> bool:
    """Whether both are in the interpreter of the same NodeManager."""
    return isinstance(one, NodeChild) and isinstance(other, NodeChild) and one.nodemanager == other.nodemanager
