"""The bundles that an AppManager manages, and what runs of each: begun, ended and announced, in every mode."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from appmanager.in_node import NodeChild
from appmanager.in_process import ProcessChild
from appmanager.link import Exited, GuardianLink
from appmanager.moving import other_name, processes_of
from appmanager.offences import Offence, Offences, as_moved
from appmanager.operated import Operated
from appmanager.touching import Touching
from gridlink.errors import GridlinkError, Refused
from gridlink.lifecycle import State
from gridlink.node.admission import read_free, refusal
from gridlink.node.bundle import durable_topics, read_bundle
from gridlink.node.plan import Choice, Planned, Policy, plan
from gridlink.registry import Entry

if TYPE_CHECKING:
    from appmanager.durable_store import DurableStore
    from appmanager.store.layout import Layout
    from gridlink.proxies.site import Operator

UNPLANNED_GRACE_S = 8.0
ANSWER_S = 1.0  # of the time to start, for hearing what became of it


class KeptOut(NamedTuple):
    """Why a module is kept out of the node, and why it runs in mode `fork` instead; empty where it isn't."""

    blocked: str
    moved: str


Child = NodeChild | ProcessChild


class Children(Operated):
    """An AppManager's bundles. What is public here is for provisioning: see appmanager.module_host."""

    def __init__(self) -> None:
        self._link = GuardianLink(self.config.control_fds, self._exited, self._offended)
        self._planned: list[Planned] = []
        self._children: dict[str, Child] = {}  # in order of start
        self._processes: dict[str, ProcessChild] = {}  # by the name of the process
        self._policy = Policy()
        self._offences = Offences(self)
        self._users: Mapping[str, str] = {}  # of the operating system, by module
        self._mended = asyncio.Event()  # what a former AppManager was doing is finished: the record is ours
        self.moving: set[str] = set()  # modules that a command is for which is being carried out
        self.touched = Touching()
        self.operators: tuple[Operator, ...] = ()  # who may have software changed; none: anyone
        self.transfer_bytes_per_s = 0.0  # of bundles from a store; 0: as fast as it goes

    def under_way(self) -> frozenset[str]:
        """Modules that something is being done to."""
        return self.touched.modules() | self.moving

    @property
    def planned(self) -> Sequence[Planned]:
        """The bundles of the managed directory."""
        return tuple(self._planned)

    def find(self, name: str) -> Planned | None:
        """The bundle of that name."""
        return next((planned for planned in self._planned if planned.name == name), None)

    def child(self, name: str) -> Child | None:
        """What runs of it, or has failed to."""
        return self._children.get(name)

    def layout(self) -> Layout:
        """Where provisioning keeps what."""
        from appmanager.store.layout import Layout  # noqa: PLC0415 - with the first command

        states = {name: self.data_dir.parent / name / ".states" for name in self._users}
        return Layout(Path(self.config.managed), states)

    def durable_store(self) -> DurableStore:
        """What starts the site's store when it is first asked for: `await manager.durable_store().started()`."""
        from appmanager.durable_store import DurableStore  # noqa: PLC0415 - where something is durable

        return DurableStore(Path(self.config.managed), self.hosting.site_file, self._link)

    def plan_of(self, directory: Path, name: str, choice: Choice | None = None) -> Planned:
        """How the bundle in a directory would run here. Raises Refused: it may not; ManifestInvalid."""
        others = [(one.directory, one.manifest) for one in self._planned if one.name != name and one.manifest]
        policy = self._policy
        if choice is not None:
            policy = structs.replace(policy, chosen={**policy.chosen, name: choice})
        found = plan([*others, (directory, read_bundle(directory).manifest)], policy)[-1]
        found = apart(found, self._users, self._policy.processes)
        if found.refused:
            raise Refused(f"{name}: {found.refused}")
        if found.manifest is not None and found.manifest.durable:
            self.durable_store().check(name)
        return found

    def own_mib(self, name: str) -> float:
        """The memory that what runs of a bundle was promised, and gives back when it ends."""
        planned, child = self.find(name), self._children.get(name)
        if planned is None or planned.manifest is None or child is None or child.state is not State.RUNNING:
            return 0.0
        return planned.manifest.resources.memory_mib or 0.0

    def admit(self, to: Planned, own_mib: float = 0.0) -> None:
        """Raises Refused, with the numbers, where what a bundle needs isn't free beside the `own_mib` it gives back."""
        needs_mib = to.manifest.resources.memory_mib if to.manifest is not None else None
        free = read_free() if needs_mib is not None else None
        why = refusal(needs_mib, free, {}, own_mib) if needs_mib is not None and free is not None else ""
        if why:
            raise Refused(f"{to.name}: {why}")

    def let_in(self, name: str) -> KeptOut:
        """Another version of a module may be in the node, whatever a former one did; `keep_out` takes that back."""
        moved = dict(self._policy.moved)
        former = KeptOut(self.hosting.blocked.pop(name, ""), moved.pop(name, ""))
        self._policy = structs.replace(self._policy, moved=moved)
        return former

    def keep_out(self, name: str, former: KeptOut) -> None:
        """Takes `let_in` back: that version is to run again."""
        if former.blocked:
            self.hosting.blocked[name] = former.blocked
        if former.moved:
            self._policy = structs.replace(self._policy, moved={**self._policy.moved, name: former.moved})

    def forgive(self, name: str) -> None:
        """What the guardian knows that a version of the module did, another one is not to answer for."""
        if name not in self.hosting.blocked and name not in self._policy.moved:
            self._link.forgive(name)

    def put(self, planned: Planned) -> None:
        """Has the bundle among those that are managed."""
        where = next((n for n, one in enumerate(self._planned) if one.name == planned.name), None)
        if where is None:
            self._planned.append(planned)
        else:
            self._planned[where] = planned

    def forget(self, name: str) -> None:
        """The bundle is managed no more."""
        self._planned = [one for one in self._planned if one.name != name]
        self._children.pop(name, None)

    async def forget_child(self, name: str) -> None:
        """Nothing runs of it any more."""
        child = self._children.pop(name, None)
        if child is not None:
            if isinstance(child, ProcessChild):
                self._processes.pop(child.name, None)
            await self.hosting.release(child.instance)

    def begin(self, planned: Planned, follows: str, start_within_s: float = 0.0) -> Child:
        """Starts a bundle beside the instance that it follows, which waits so long; 0: as the module says."""
        return self._begin(planned, {}, follows, start_within_s)

    def take_child(self, name: str, child: Child) -> None:
        """It is what runs of the bundle from now on."""
        self._children[name] = child

    async def start_anew(self, planned: Planned, within_s: float) -> str:
        """Starts a bundle of which nothing runs; why it doesn't run then, or nothing."""
        await self.hosting.release(f"{planned.name}@{self.hosting.node}")  # it may be announced: as stopped, or refused
        child = self._start(planned, {})
        if isinstance(child, NodeChild):
            child.host_within_s = max(child.host_within_s, within_s - ANSWER_S)
        await self.settled(child, within_s)
        child = self._children[planned.name]  # another one where it can't live in a node
        return "" if child.state is State.RUNNING else f"it is {child.state}: {child.reason}"

    async def settled(self, child: Child, within_s: float) -> str:
        """Why a child didn't get to run within so long; empty where it runs."""
        try:
            async with asyncio.timeout(within_s):
                await child.settled.wait()
        except TimeoutError:
            return f"it did not start within {within_s:.3g} s"
        return "" if child.state is State.RUNNING else f"it is {child.state}: {child.reason}"

    async def end(self, child: Child, within_s: float, *, at_once: bool = False) -> None:
        """Ends what runs of a bundle, and forgets it; where that fails it is logged: whoever follows runs already.

        `at_once`: a process of its own is killed.
        """
        try:
            await (child.kill(within_s) if at_once and isinstance(child, ProcessChild) else child.stop(within_s))
        except (GridlinkError, TimeoutError) as error:
            self.log.error("%s was not stopped in order: %s", child.instance, error)  # noqa: TRY400 - it says it all
        if isinstance(child, ProcessChild):
            self._processes.pop(child.name, None)
        await self.hosting.release(child.instance)

    async def announce(self, name: str, state: State, reason: str) -> None:
        """Tells the site of a bundle that doesn't run."""
        planned = self.find(name)
        if planned is not None:
            await self._announce(planned, state, reason)

    def moved_unasked(self, module: str, why: str, who: str, failed: str = "") -> None:
        """Has a move put on record that nobody has commanded, and why it `failed` if it has. `who` had it done.

        Afterwards: a disk that is slow, or has died, must not keep a module that hangs where it is.
        """
        self.tasks.spawn(self._on_record(module, why, who, failed), name=f"record of {module}")

    async def _on_record(self, module: str, why: str, who: str, failed: str) -> None:
        await self._mended.wait()
        await (await self.operating()).runs.done_unasked("move", module, why, who, failed)

    def _states(self) -> Sequence[tuple[str, State]]:
        return [(planned.name, self._state(planned.name, planned.refused)[0]) for planned in self._planned]

    def _state(self, name: str, refused: str, note: str = "") -> tuple[State, str]:
        if refused:
            return State.FAILED, refused
        child = self._children.get(name)
        return (child.state, child.reason or note) if child is not None else (State.STOPPED, "not started yet")

    async def _elsewhere(self, planned: Planned, why: str) -> None:
        """Starts a bundle that can't live in the node in a process of its own, where there is a bus for it."""
        if not self.hosting.url:
            return
        self.log.warning("%s runs in mode fork: %s", planned.name, why)
        moved = structs.replace(planned, mode="fork", note=f"it can't live in a node: {why}")
        self._planned = [moved if one.name == planned.name else one for one in self._planned]
        await self._start(moved, {}).settled.wait()

    def _start(self, planned: Planned, running: Mapping[str, str]) -> Child:
        child = self._children[planned.name] = self._begin(planned, running)
        return child

    def _begin(
        self, planned: Planned, running: Mapping[str, str], follows: str = "", start_within_s: float = 0.0
    ) -> Child:
        """A child of its bundle, beside the one that it `follows`; it takes over what is `running` in its mode."""
        child: Child
        if planned.manifest is not None and (planned.manifest.durable or durable_topics(planned.directory / "managed")):
            self._want_store(planned.name)
        if planned.mode == "node":
            elsewhere = None if follows else partial(self._elsewhere, planned)
            child = NodeChild(self, planned, elsewhere, follows=follows, start_within_s=start_within_s)
        else:
            child = self._process(planned, running, follows, start_within_s)
        child.task = self.tasks.spawn(child.run(), name=planned.name)
        return child

    def _want_store(self, name: str) -> None:
        """A NodeManager's own bundles may want it, too. Where it can't be had, the module waits for it."""
        try:
            self.durable_store().needed()
        except GridlinkError as error:
            self.log.error("%s finds no store for its durable topics: %s", name, error)  # noqa: TRY400

    def _process(
        self, planned: Planned, running: Mapping[str, str], follows: str, start_within_s: float
    ) -> ProcessChild:
        own = processes_of(planned.name, running)
        name = next((process for process, mode in own.items() if mode == planned.mode), "")
        for other in own.keys() - {name}:
            self.log.warning("%s runs beside %s since before this node did: it is stopped", other, name)
            self._link.stop(other, UNPLANNED_GRACE_S)
        former = self._children.get(planned.name)
        taken = former.name if follows and isinstance(former, ProcessChild) else ""
        logs, user = self._logs(), self._users.get(planned.name, "")
        arguments = self, self._link, planned, logs, self.config.json_logs, bool(name), user
        name = name or other_name(planned.name, taken)
        child = ProcessChild(*arguments, name=name, follows=follows, start_within_s=start_within_s)
        child.left_out = self._offences.left_out(planned.name)
        child.hung = self._offences.hung(planned.name)
        self._processes[child.name] = child
        return child

    def _logs(self) -> Path:
        return Path(self.config.managed) / ".gridlink" / "logs"

    def take_out(self, name: str, why: str) -> bool:
        """A bundle of ours runs in mode fork from now on: it has ended the process of its NodeManager.

        Returns whether that is new.
        """
        planned, child = self.find(name), self._children.get(name)
        if planned is None or planned.mode != "node":
            return False
        if child is not None:
            child.cancel()
        self._policy = structs.replace(self._policy, moved={**self._policy.moved, name: why})
        self.put(as_moved(planned, why))
        self._start(as_moved(planned, why), {})
        return True

    def take_in(self, planned: Planned) -> bool:
        """Starts a bundle that lies in a NodeManager's own directory in a process of its own: it has ended that one's.

        It is none of the managed directory's: commands don't know it. Returns whether it was started.
        """
        if planned.name in self._children or self.find(planned.name) is not None:
            self.log.error("%s of %s does not run: a bundle of that name runs here", planned.name, planned.within)
            return False
        self._start(planned, {})
        return True

    def _offended(self, offence: Offence) -> None:
        self._offences.heard(offence)

    def _exited(self, exited: Exited) -> None:
        child = self._processes.get(exited.name)
        if child is not None:
            child.exited(exited)

    async def _announce_refused(self, planned: Planned) -> None:
        self.log.error("%s: %s", planned.directory.name, planned.refused)
        await self._announce(planned, State.FAILED, planned.refused)

    async def _announce(self, planned: Planned, state: State, reason: str) -> None:
        entry = Entry(
            name=planned.name,
            instance=f"{planned.name}@{self.hosting.node}",
            node=self.hosting.node,
            machine=self.hosting.machine,
            pid=0,
            version=planned.manifest.version if planned.manifest else "",
            mode=planned.mode,
            state=state,
            reason=reason,
            managed_by=(self.instance,),
        )
        await self.hosting.announce(entry)


def apart(planned: Planned, users: Mapping[str, str], processes: bool) -> Planned:
    """A bundle that is to run as another user needs a process of its own."""
    user = users.get(planned.name)
    if user is None or planned.mode != "node" or planned.refused:
        return planned
    if not processes:
        return structs.replace(
            planned, refused=f"it is to run as user {user!r}, so in a process of its own: not on a local bus"
        )
    return structs.replace(planned, mode="fork", note=f"it runs as user {user!r}, so in a process of its own")
