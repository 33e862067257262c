"""The registry's shell: announces this node, listens to the others, and answers who is there. Every node has all of it.

A Registry is an `async with`: it joins on entry (and knows its site within `JOIN_S` when the others answer) and leaves
cleanly at the end. An observer (a command) joins without being seen.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import structs

from gridlink import address
from gridlink.address import Address
from gridlink.bus.protocol import Answer, Bus, Subscription
from gridlink.clock import SiteClock
from gridlink.codec import codec
from gridlink.errors import AddressInvalid, GridlinkError, NoSuchInstance, PayloadInvalid, RequestTimeout
from gridlink.lifecycle import State
from gridlink.message import Message, check_timeout
from gridlink.registry.entry import KINDS, Announcement, Entry, Heartbeat, Leave, Sync, Update, encoded
from gridlink.registry.namesake import Namesake
from gridlink.registry.pulse import BEAT_S, Pulse
from gridlink.registry.reach import Reach
from gridlink.registry.view import Change, View
from gridlink.seldom import Seldom
from gridlink.tasks import Tasks

log = logging.getLogger("gridlink.registry")

JOIN_S = 1.0  # a joiner waits at most so long for the others
QUIET_S = 0.05  # and no longer than this once those that are known have answered
WATCH_DEPTH = 1024
EVERY = ""


class Registry:
    """What a node knows of its site. `observer`: it isn't announced itself."""

    def __init__(self, bus: Bus, machine: str, clock: SiteClock, *, observer: bool = False) -> None:
        self.boot = secrets.token_hex(4)
        self._bus, self._machine, self._clock, self._observer = bus, machine, clock, observer
        self._view = View()
        self._own: dict[str, Entry] = {}
        self._version = 0
        self._namesake = Namesake()
        self._schemas: dict[str, dict[str, Any]] = {}
        self.reach = Reach(bus.node, self._view.entries)
        self._watchers: dict[str, set[asyncio.Queue[Change]]] = {}  # by the instance that they watch; EVERY: all
        self._subscriptions: list[Subscription] = []
        self._ignored = Seldom()
        self._tasks = Tasks("registry")
        self._pulse = Pulse(self._beat)
        self.on_beat: Callable[[], None] = _nothing  # what is due each second; it may not raise
        self._heard: asyncio.Event = asyncio.Event()
        self._expected: set[str] = set()

    async def __aenter__(self) -> Registry:
        for kind in KINDS:
            self._subscriptions.append(await self._bus.subscribe(address.REGISTRY, kind, self))
        self._subscriptions.append(await self._bus.subscribe(_directly(self._bus.node), "announce", self))
        await self._say("sync", Sync(self._bus.node))
        if not self._observer:
            await self._announce()
            self._pulse.start()
        self._tasks.spawn(self._age(), name="ageing")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leaves the site cleanly; may be called twice."""
        self._pulse.stop()
        await self._tasks.aclose()
        subscriptions, self._subscriptions = self._subscriptions, []
        if subscriptions and not self._observer:
            await self._say("leave", Leave(self._bus.node, self.boot))
        for subscription in subscriptions:
            await subscription.aclose()

    def rejoin(self) -> None:
        """Announces this node and asks for the others again: the connection was lost meanwhile."""
        self._tasks.spawn(self._rejoin(), name="rejoin")

    def beat(self) -> None:
        """Says at once which version this node has: servers have come or gone, and who is behind them may lack it.

        Who does asks for it. (If each asked all for everything, a site of 50 nodes would send 2,450 announcements.)
        """
        if not self._observer:
            self._tasks.spawn(self._say("heartbeat", self._heartbeat()), name="heartbeat")

    async def _rejoin(self) -> None:
        await self._say("sync", Sync(self._bus.node))
        if not self._observer:
            await self._announce()

    async def joined(self, within_s: float = JOIN_S) -> None:
        """Waits until the nodes that are there have answered, at most `within_s`."""
        deadline_s = time.monotonic() + within_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            self._heard.clear()
            complete = bool(self._expected) and self._expected <= self._view.nodes.keys()
            try:
                async with asyncio.timeout(min(left_s, QUIET_S if complete else left_s)):
                    await self._heard.wait()
            except TimeoutError:
                return

    # What is known.

    def instances(self) -> list[Entry]:
        """Every instance of the site, by instance name."""
        return self._view.entries()

    def find(
        self,
        *,
        role: str | None = None,
        name: str | None = None,
        instance: str | None = None,
        managed_by: str | None = None,
    ) -> list[Entry]:
        """The RUNNING instances that have the role, bear the module's name, are the instance, or are managed by one."""
        return [
            entry
            for entry in self.instances()
            if entry.state is State.RUNNING
            and (role is None or role in entry.roles)
            and (name is None or entry.name == name)
            and (instance is None or entry.instance == instance)
            and (managed_by is None or managed_by in entry.managed_by)
        ]

    def knows(self, instance: str) -> bool:
        """Whether an instance of that name (`name@node`) is in the registry."""
        return any(instance in known.entries for known in self._view.nodes.values())

    async def watch(self, *instances: str) -> AsyncIterator[Change]:
        """Each change from now on, of these instances where some are named.

        A watcher that is `WATCH_DEPTH` changes behind loses the oldest.
        """
        with self._watching(*instances) as queue:
            while True:
                yield await queue.get()

    @contextmanager
    def _watching(self, *instances: str) -> Iterator[asyncio.Queue[Change]]:
        queue: asyncio.Queue[Change] = asyncio.Queue(WATCH_DEPTH)
        watched = instances or (EVERY,)
        for name in watched:
            self._watchers.setdefault(name, set()).add(queue)
        try:
            yield queue
        finally:
            for name in watched:
                self._watchers[name].discard(queue)
                if not self._watchers[name]:
                    del self._watchers[name]

    async def wait_for(
        self,
        *,
        role: str | None = None,
        name: str | None = None,
        instance: str | None = None,
        managed_by: str | None = None,
        timeout_s: float = 5.0,
    ) -> Entry:
        """A RUNNING instance with the role or name, as soon as there is one. Raises RequestTimeout, TimeoutInvalid."""
        check_timeout(timeout_s)
        watched = (instance,) if instance is not None else ()
        try:
            with self._watching(*watched) as queue:
                async with asyncio.timeout(timeout_s):
                    while not (found := self.find(role=role, name=name, instance=instance, managed_by=managed_by)):
                        await queue.get()
                    return found[0]
        except TimeoutError as error:
            what = f"role {role}" if role else f"instance {instance or name}"
            raise RequestTimeout(f"no {what} is RUNNING after {timeout_s:g} s: see `gridlink ls`") from error

    async def schema(self, digest: str, of: Entry) -> dict[str, Any]:
        """The JSON Schema with that digest; asked once of the node of the entry that names it."""
        known = self._schemas.get(digest)
        if known is None:
            message = Message(
                address=address.instance(f"{address.NODE}@{of.node}"),
                type="schema",
                payload=codec(str).encode(digest),
                source=f"{address.NODE}@{self._bus.node}",
                deadline_s=time.monotonic() + 2.0,
                wants_reply=True,
            )
            known = codec(dict[str, Any]).decode(await self._bus.request(message))
            self._schemas[digest] = known
        return known

    # What this node says of itself.

    async def put(self, entry: Entry, schemas: dict[str, dict[str, Any]] | None = None) -> None:
        """Announces an instance of this node, or its change."""
        self._schemas.update(schemas or {})
        if self._own.get(entry.instance) != entry:
            self._own[entry.instance] = entry
            await self._update(entries=(entry,))

    async def put_state(self, instance: str, state: State) -> None:
        """Announces that an instance of this node is in another state."""
        entry = self._own.get(instance)
        if entry is not None:
            await self.put(structs.replace(entry, state=state))

    async def drop(self, instance: str) -> None:
        """Announces that an instance of this node is no more."""
        if self._own.pop(instance, None) is not None:
            await self._update(gone=(instance,))

    def own_schema(self, digest: str) -> dict[str, Any]:
        """A schema for another node that asks. Raises NoSuchInstance where nothing here uses it."""
        if digest not in self._schemas:
            raise NoSuchInstance(f"no schema {digest} on node {self._bus.node}: its module may be gone")
        return self._schemas[digest]

    def lead_changed(self) -> None:
        """Tells the site at once that an instance of this node has set the time."""
        self.beat()

    async def _announce(self) -> None:
        self._version += 1
        news = self._announcement()
        self._notify(self._view.announced(news, time.monotonic()))
        await self._say("announce", news)

    async def _update(self, entries: tuple[Entry, ...] = (), gone: tuple[str, ...] = ()) -> None:
        self._version += 1
        news = Update(self._bus.node, self.boot, self._version, entries, gone)
        self._notify(self._view.updated(news, time.monotonic()))
        await self._say("update", news)

    async def _answer_sync(self, node: str) -> None:
        """Told as it is when it is sent: an update that overtook an older announcement would be lost on the node."""
        await self._say("announce", self._announcement(), _directly(node))

    def _announcement(self) -> Announcement:
        return Announcement(
            self._bus.node,
            self._machine,
            self.boot,
            self._version,
            tuple(self._own.values()),
            tuple(self._view.nodes),
            self._clock.reference(),
        )

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(self._bus.node, self.boot, self._version, self._clock.reference())

    def _beat(self) -> None:
        self.on_beat()
        self._clock.look()
        self._tasks.spawn(self._say("heartbeat", self._heartbeat()), name="heartbeat")

    async def _age(self) -> None:
        while True:
            await asyncio.sleep(self._view.ages_in_s(time.monotonic(), self._bus.node, BEAT_S))
            now_s, known = time.monotonic(), set(self._view.nodes)
            self._notify(self._view.aged(now_s, self._bus.node))
            self._expected -= known - self._view.nodes.keys()
            if self._namesake.aged(now_s):
                self._tell_of_namesake()

    async def _say(self, kind: str, what: Any, to: Address | None = None) -> None:
        message = Message(
            address=to or address.REGISTRY,
            type=kind,
            payload=encoded(what),
            source=f"{address.NODE}@{self._bus.node}",
        )
        try:
            await self._bus.publish(message)
        except GridlinkError as error:
            log.warning("the registry's %s was not sent: %s", kind, error)

    # What others say.

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        """Nothing is asked of the registry this way."""
        return NoSuchInstance("the registry answers no requests")

    def take_event(self, message: Message) -> None:
        """Takes in what another node, or our own bus, says on the registry's subjects."""
        try:
            what = codec(KINDS[message.type]).decode(message.payload)
            address.token(what.node, "node")
        except (PayloadInvalid, AddressInvalid) as error:
            if (more := self._ignored.more(time.monotonic())) is not None:
                log.warning("a registry message of %.80s is ignored: %s%s", message.source or "?", error, more)
            return
        if what.node == self._bus.node:
            self._meet_namesake(what)
            return
        now_s = time.monotonic()
        if isinstance(what, Announcement):
            self._notify(self._view.announced(what, now_s))
            self._expected.update(what.peers, (what.node,))
            self._expected.discard(self._bus.node)
            self._heard.set()
        elif isinstance(what, Update):
            self._notify(self._view.updated(what, now_s))
        elif isinstance(what, Heartbeat):
            self._pulse.heard()
            if self._view.heard(what, now_s):
                self._tasks.spawn(self._say("sync", Sync(self._bus.node, what.node)), name="sync")
        elif isinstance(what, Leave):
            self._expected.discard(what.node)
            self._notify(self._view.left(what))
        elif what.to in ("", self._bus.node) and not self._observer:
            self._tasks.spawn(self._answer_sync(what.node), name="sync")
        if isinstance(what, Announcement | Heartbeat) and what.clock is not None:
            self._clock.follow(what.clock)

    def _meet_namesake(self, what: Announcement | Update | Heartbeat | Leave | Sync) -> None:
        """Another process that says it is this node, or our own word by another way."""
        if isinstance(what, Sync) or what.boot == self.boot or self._observer:
            return
        if self._namesake.met(what, time.monotonic()):
            self._tell_of_namesake()

    def _tell_of_namesake(self) -> None:
        self._bus.refuses = self._namesake.said(self._bus.node)
        if self._bus.refuses:
            log.error("%s", self._bus.refuses)
        else:
            log.info("the other node called %s is gone: this one has its name for itself again", self._bus.node)

    def _notify(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self.reach.forget()
            for queue in (*self._watchers.get(EVERY, ()), *self._watchers.get(change.instance, ())):
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(change)


def _nothing() -> None:
    """Nothing is due."""


def _directly(node: str) -> Address:
    """Where one node's registry hears what is meant for it alone."""
    return address.instance(f"_registry@{node}")
