"""The AppManager: brings up the bundles of a managed directory, each as its mode says, and keeps them running.

Processes are the guardian's; which of them are to be is decided here. Modules in an interpreter are a NodeManager's;
it is asked over the bus. Started in order of `uses`, stopped in reverse.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from appmanager.children import UNPLANNED_GRACE_S, Child, Children, apart
from appmanager.moving import MoveOrder, as_running, destination
from appmanager.provisioning.pending import pending
from appmanager.telling import keep_told
from gridlink.codec import encode
from gridlink.contract import Topic
from gridlink.errors import ConfigInvalid, GridlinkError, ManagedDirectoryInvalid, NoSuchInstance, Refused
from gridlink.health import TOPIC, ModuleCrashed, ModuleHung
from gridlink.lifecycle import State
from gridlink.message import message
from gridlink.module import request
from gridlink.node.admission import admitted, read_free
from gridlink.node.bring_down import bring_down
from gridlink.node.bring_up import bring_up
from gridlink.node.choices import put_choices_aside, read_choices, write_choices
from gridlink.node.plan import Choice, Planned, Policy, is_provisioned, read_plan

if TYPE_CHECKING:
    from appmanager.operating import Operating
    from appmanager.provisioning.outcome import Recovered

MOVED_WITHIN_S = 20.0


class Managed(Struct, frozen=True):
    """A bundle of the managed directory, and what became of it."""

    name: str
    directory: str
    mode: str
    state: State
    reason: str


class Status(Struct, frozen=True):
    """The managed directory as a whole."""

    managed: str
    running: int
    failed: int
    settled: bool  # every bundle has been started, or given up, at least once


class AppManager(Children):
    """Supervises this machine's modules."""

    roles = ("appmanager",)
    publishes = (
        *Children.publishes,
        Topic(TOPIC, moduleHung=ModuleHung, moduleCrashed=ModuleCrashed),
    )
    stop_within_s = 60.0  # whoever ends it says how much of that there is

    def __init__(self) -> None:
        super().__init__()
        self._settled = asyncio.Event()
        self._operating: Operating | None = None
        self._recovered: list[Recovered] = []
        self._resumes = False

    async def start(self) -> None:
        """Opens the link to the guardian and begins to bring the bundles up."""
        managed = Path(self.config.managed)
        self._policy = self._read_policy()
        await self._link.open()
        self.tasks.spawn(self._link.listen(), name="guardian")
        if pending(self.config.managed):
            await self._mend()
            # an install that was finished just now may have one
            self._policy = replace(self._policy, chosen=self._read_choices())
        self._mended.set()
        tried = {one.outcome.module for one in self._recovered if one.outcome is not None and one.tried}
        offences = [replace(one, moves=one.moves and one.module not in tried) for one in self.config.offences]
        self._offences.tell(offences)
        self._planned = read_plan(managed, self._policy)
        self._planned = [apart(planned, self._users, self._policy.processes) for planned in self._planned]
        if not self._planned and not is_provisioned(managed):
            self._link.close()
            raise ManagedDirectoryInvalid(f"{self.config.managed} holds no bundle")
        self._offences.put_on_record(offences)
        self.tasks.spawn(self._bring_up(), name="bring up")
        self.tasks.spawn(keep_told(self._states, self._link.status), name="telling")

    async def _mend(self) -> None:
        from appmanager.mending import mended  # noqa: PLC0415 - after a power cut

        self._resumes = True
        try:
            whys = {**self.hosting.blocked, **self._policy.moved}
            self._recovered = await mended(self.layout(), self._link, whys)
        except OSError as error:  # what runs is to run all the same
            self.log.error("what was being done to modules can't be looked up: %s", error)  # noqa: TRY400
        for one in self._recovered:
            if one.outcome is not None and one.tried:  # the old version is in place, which did nothing
                self.let_in(one.outcome.module)
                self.forgive(one.outcome.module)

    async def stop(self) -> None:
        """Stops the modules in reverse of their start."""
        await bring_down(self._children, self.stop_left_s, self.log)
        self._link.close()

    @request("list")
    async def list(self) -> list[Managed]:
        """The bundles of the managed directory and their states."""
        return [Managed(p.name, str(p.directory), p.mode, *self._state(p.name, p.refused)) for p in self._planned]

    @request("status")
    async def status(self) -> Status:
        """How many of the bundles run."""
        states = [self._state(p.name, p.refused)[0] for p in self._planned]
        running, failed = states.count(State.RUNNING), states.count(State.FAILED)
        return Status(self.config.managed, running, failed, self._settled.is_set())

    @request("move")
    async def move(self, order: MoveOrder) -> Managed:
        """Runs a bundle in another mode, with its state and what is on its way to it. Answers once it has settled.

        Refused, and as it was before, where it can't run there.
        """
        if not (order.force and self._is_ours(order)):
            return await (await self.operating()).move(order)
        self.check_managed(order.name)
        if order.name in self.touched:
            raise Refused(f"{order.name} is on its way already: wait until it is RUNNING, then move it again")
        self.touched.begin(order.name, "a move")
        who = f"watchdog of {message().source}"
        try:
            managed = await self.moved(order)
        except (GridlinkError, OSError) as error:  # a TimeoutError is one
            self.moved_unasked(order.name, order.reason, who, str(error))
            raise
        finally:
            self.touched.end(order.name, "a move")
        self.moved_unasked(order.name, order.reason, who)
        return managed

    def _is_ours(self, order: MoveOrder) -> bool:
        """Whether a NodeManager asks that this AppManager has started: those move what hangs, and sign nothing."""
        asked = message()
        found = self.registry.find(instance=asked.source, managed_by=self.instance)
        content, node = encode([order.name, order.mode, order.reason]), asked.source.partition("@")[2]
        return any("host" in entry.requests for entry in found) and self.hosting.warrants.holds(
            node, self.instance, "move", content, asked.id
        )

    async def moved(self, order: MoveOrder) -> Managed:
        """Does what `move` asks for, of a module that nothing else is being done to. Raises Refused."""
        where = self._index(order.name)
        one = self._planned[where]
        to = apart(destination(one, order, self._planned, self._policy), self._users, self._policy.processes)
        child = self._children.get(order.name)
        if (to.mode, to.into) != (one.mode, one.into) or child is None or child.state is not State.RUNNING:
            await self._change_over(one, to, order)
        self._planned[self._index(order.name)] = to
        return self.managed(to)

    def managed(self, to: Planned) -> Managed:
        """A bundle, and what became of it."""
        return Managed(to.name, str(to.directory), to.mode, *self._state(to.name, to.refused, to.note))

    async def operating(self) -> Operating:
        """See Operated. Imported in a thread: the modules beside this one go on meanwhile."""
        if self._operating is None:
            found = await asyncio.to_thread(import_module, "appmanager.operating")  # with the first command
            self._operating = self._operating or found.Operating(self)
        return self._operating

    def check_managed(self, name: str) -> None:
        """Raises NoSuchInstance for a bundle that isn't here."""
        self._index(name)

    def _index(self, name: str) -> int:
        where = next((n for n, planned in enumerate(self._planned) if planned.name == name), None)
        if where is None:
            known = ", ".join(planned.name for planned in self._planned)
            raise NoSuchInstance(f"{self.instance} doesn't manage {name}: it manages {known}")
        return where

    async def _change_over(self, one: Planned, to: Planned, order: MoveOrder) -> None:
        """Starts the bundle where it is to run; what runs of it ends once that is RUNNING, else it goes on."""
        self.check_there(to, self.own_mib(to.name) if order.force else 0.0)  # forced, it ends before it runs there
        why = order.reason or "an operator asked for it"
        self.log.warning("%s moves from mode %s to %s: %s", one.name, one.mode, to.mode, why)
        former, child = self._children.get(one.name), None
        if former is not None and former.state is State.RUNNING:
            child = self._begin(to, {}, follows=former.instance)
            failed = await self._why_not(child)
            if failed:
                await self._end(child)
                if not order.force:
                    await self._back(one, former)
                    raise Refused(f"{one.name} stays in mode {one.mode}: in mode {to.mode} {failed}")
                child = None
        if child is None:
            if former is not None:
                await self._end(former)
                former = None
            else:
                await self.hosting.release(f"{one.name}@{self.hosting.node}")  # it was announced as refused
            child = self._begin(to, {})
            await child.settled.wait()
        self._children[one.name] = child
        if not order.force:
            self._remember(to)
        if former is not None:
            await self._end(former)

    def plan_chosen(self, directory: Path, name: str, choice: Choice | None) -> Planned:
        """How a bundle would run here that an operator wants to run so. Raises Refused, where `move` would too."""
        found = self.plan_of(directory, name, choice)
        if choice is None:
            return found
        order = MoveOrder(name, choice.mode, choice.into)
        to = apart(destination(found, order, self._planned, self._policy), self._users, self._policy.processes)
        if to.mode != choice.mode:
            raise Refused(f"{name} can't run in mode {choice.mode}: {to.note}")
        self.check_there(to, self.own_mib(name))
        return to

    def check_there(self, to: Planned, own_mib: float) -> None:
        """Raises Refused where there is no such NodeManager, or no memory beside the `own_mib` that it gives back."""
        if to.mode == "node" and not self.registry.find(name=to.into, managed_by=self.instance):
            found = self.registry.find(managed_by=self.instance)
            known = ", ".join(entry.name for entry in found if "host" in entry.requests) or "none"
            raise Refused(f"{to.name}: no NodeManager {to.into} is RUNNING that {self.instance} has started: {known}")
        self.admit(to, own_mib)

    async def _why_not(self, child: Child) -> str:
        """Why a child didn't get to run; empty where it runs."""
        return await self.settled(child, _half_of_what_is_left())

    async def _end(self, child: Child) -> None:
        await self.end(child, _half_of_what_is_left())

    async def _back(self, one: Planned, former: Child) -> None:
        """What was held goes on; where it can't, the bundle is started anew where it was."""
        try:
            await self.hosting.resume(former.instance)
        except GridlinkError as error:
            self.log.error("%s does not go on: %s: it is started anew", former.instance, error)  # noqa: TRY400
            await self._end(former)
            self._start(one, {})

    def is_chosen(self, name: str) -> bool:
        """Whether an operator has said how a module is to run."""
        return name in self._policy.chosen

    def choose(self, name: str, choice: Choice) -> None:
        """Writes down that an operator wants a module so. Raises OSError: it holds only until the next start."""
        choices = {**self._policy.chosen, name: choice}
        here = {planned.name for planned in self._planned}
        choices = {name: choice for name, choice in choices.items() if name in here}
        self._policy = replace(self._policy, chosen=choices)
        own = Path(self.config.managed) / ".gridlink"
        try:
            write_choices(own, choices)
        except IsADirectoryError as error:
            self.log.error("%s: it is %s", error, put_choices_aside(own))  # noqa: TRY400
            write_choices(own, choices)

    def _remember(self, to: Planned) -> None:
        try:
            self.choose(to.name, Choice(_mode(to.mode), to.into))
        except OSError as error:
            self.log.error("%s runs in mode %s, but not after a restart: %s", to.name, to.mode, error)  # noqa: TRY400

    def _read_policy(self) -> Policy:
        """How bundles are to run here: operators', the site's and the guardian's word."""
        config, modes, untrusted = self.config, {}, "fork"
        if self.hosting.site_file:
            from gridlink.proxies.site import read_site_file  # noqa: PLC0415 - where a site has one

            document = read_site_file(Path(self.hosting.site_file)).document
            self._users, modes, untrusted = document.users, dict(document.hosting.modes), document.hosting.untrusted
            self.transfer_bytes_per_s, self.operators = document.transfer.bytes_per_s, document.operators
        return Policy(
            config.mode,
            config.nodemanager,
            processes=bool(self.hosting.url),
            moved={**config.moved, **self._offences.moved(config.outside)},
            chosen=self._read_choices(),
            modes=modes,
            untrusted=untrusted,
        )

    def _read_choices(self) -> dict[str, Choice]:
        """Where they can't be read, modules run as their manifests and the site say: the node has to start."""
        own = Path(self.config.managed) / ".gridlink"
        try:
            return read_choices(own)
        except (ConfigInvalid, OSError) as error:
            self.log.error("%s: what operators chose is lost, it is %s", error, put_choices_aside(own))  # noqa: TRY400
            return {}

    async def _bring_up(self) -> None:
        running = await self._link.children()
        self._planned = [as_running(planned, running) for planned in self._planned]
        adopted = self._offences.adopt(self.config.outside)
        known = {planned.name for planned in (*self._planned, *adopted) if not planned.refused}
        for name in [name for name in running if name.partition("-")[0] not in known]:
            self.log.warning("%s runs since before this node did, and is no bundle here any more: it is stopped", name)
            self._link.stop(name, UNPLANNED_GRACE_S)
        for name in sorted(set(self.config.watched) - {planned.name for planned in (*self._planned, *adopted)}):
            self.log.warning("watchdog.json: modules.%s: no bundle has that name, so these limits are nobody's", name)
        self._planned = admitted(self._planned, read_free(), [name.partition("-")[0] for name in running])
        for planned in self._planned:
            if planned.refused:
                await self._announce_refused(planned)
        for planned in adopted:
            self._start(planned, running)
        await bring_up(self._planned, lambda planned: self._start(planned, running), self.registry, self.tasks)
        self._settled.set()
        if self._resumes:
            await (await self.operating()).resume(self._recovered)
        now = await self.status()
        self.log.info("%d of %d bundles are RUNNING", now.running, len(self._planned))


def _half_of_what_is_left() -> float:
    left_s = message().time_left_s()
    return MOVED_WITHIN_S if left_s is None else left_s / 2


def _mode(text: str) -> Literal["node", "fork", "process"]:
    return "node" if text == "node" else "fork" if text == "fork" else "process"
