"""A node: one bus connection, one registry, and the instances that share them. An `async with` that ends in reverse.

The order of ending: instances (last started first), the registry's leave, the connection.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from gridlink.address import NODE
from gridlink.bus.protocol import Bus
from gridlink.clock import SiteClock
from gridlink.codec import encode
from gridlink.contract import Contract, Described, contract_of, describe
from gridlink.errors import GridlinkError, ModuleInvalid, Refused, StartFailed
from gridlink.lifecycle import State
from gridlink.module.counters import Counters
from gridlink.module.instance import Instance
from gridlink.module.module import Environment, HostSpec, Loaded, ModuleClock
from gridlink.module.retry import Retry
from gridlink.module.sender import Sender
from gridlink.module.steps import Tell, in_one_step
from gridlink.module.warrants import OF_A_NODE, Warrants, key_of
from gridlink.node import discovery
from gridlink.node.about import About
from gridlink.node.configuration import Accepted, Configurator, Configured
from gridlink.node.namesake import refuse_namesake
from gridlink.proxies import Around, Proxy, Tracing
from gridlink.registry import Entry, Registry
from gridlink.tasks import ContainedTasks

if TYPE_CHECKING:
    from gridlink.bus.durable.topics import DurableTopics
    from gridlink.bus.raw import Raw
    from gridlink.node.checkpoints import Keeper
    from gridlink.node.replacement import Replacing
    from gridlink.node.succession import Following
    from gridlink.proxies.site import SiteFile

log = logging.getLogger("gridlink.node")
ASK_WITHIN_S = 15.0  # a node


class Node:
    """Hosts instances on one bus. Keeps gridlink.module.Hosting for the managers among them."""

    def __init__(
        self, bus: Bus, machine: str, *, proxies: Sequence[Proxy] = (), site_file: SiteFile | None = None
    ) -> None:
        self.node, self.site = bus.node, bus.site
        self.url = bus.url
        self.bus, self.machine = bus, machine
        self.clock = SiteClock(self._lead_changed)
        self.registry = Registry(bus, machine, self.clock)
        self.instances: dict[str, Instance] = {}
        self._retry = Retry(self.registry.reach.idempotent, bus.connected, self.registry.reach.twice_elsewhere)
        self._proxies: tuple[Proxy, ...] = (*proxies, Tracing())
        self._site_file = site_file
        self.site_file = "" if site_file is None else str(site_file.path)
        bus.own_share = self.registry.reach.own_share
        bus.on_reconnect = self.registry.rejoin
        bus.on_topology = self.registry.beat
        self._about = About(self)
        self._started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.blocked: dict[str, str] = {}  # not to be here again, and why; empty: it runs elsewhere
        self.on_step: Tell = _ignore  # told which module's code has the loop while it starts
        self.tell_guardian: Callable[[str, str], None] = _nobody
        self.on_full: Callable[[str], None] = _ignore
        self.keeper: Keeper | None = None  # of its instances' states
        self.states, self.checkpoint_s = "", 30.0
        self.accepted = ""
        self.warrants = Warrants(self.node)
        self.configurator = Configurator(self._tell_reason)

    async def __aenter__(self) -> Node:
        try:
            await refuse_namesake(self.bus)
        except BaseException:
            await self.bus.aclose()
            raise
        await self.registry.__aenter__()
        self.registry.on_beat = self.configurator.look
        await self._about.open()
        await self.bus.answer_all(discovery.SUBJECTS, self._discovered)
        await self.bus.allow_taps()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stops the instances in reverse, leaves the site and closes the bus. May be called twice."""
        self.bus.on_reconnect = self.bus.on_topology = None  # whoever leaves doesn't join again
        for name in reversed(list(self.instances)):
            await self.release(name)
        await self.configurator.aclose()
        await self._about.aclose()
        await self.registry.aclose()
        await self.bus.aclose()

    async def host(self, spec: HostSpec) -> Entry:
        """See gridlink.module.Hosting."""
        name = f"{spec.manifest.name}@{self.node}"
        former = self.instances.get(name)
        if former is not None and (spec.follows != name or not former.is_held):
            raise ModuleInvalid(f"{name} is hosted here already: names are unique on a node")
        if spec.manifest.name in self.blocked:
            raise ModuleInvalid(self.blocked[spec.manifest.name] or "it runs in a process of its own")
        try:
            loaded = in_one_step(self.on_step, name, spec.load)
            target, context = loaded.target, loaded.context()
            contract = context.run(contract_of, target)
            described = context.run(describe, contract)
            configured = Configured(spec, target, context, Accepted(Path(self.accepted)) if self.accepted else None)
            configured.for_start()
            entry = self._entry(spec, target, contract, described)
            await self.registry.put(entry, described.schemas)
            try:
                await self._start(spec, loaded, contract, configured.value, context)
            except StartFailed as error:
                if spec.start_within_s or not configured.instead(error):  # who waits goes on instead
                    raise
                await self._start(spec, loaded, contract, configured.value, context)
        except BaseException:
            await self.registry.drop(name)
            raise
        configured.keep()
        if name in self.instances:  # it may have been released meanwhile
            self.configurator.add(self.instances[name], configured)
        running = structs.replace(entry, state=State.RUNNING, reason=configured.reason)
        await self.registry.put(running)
        context.run(log.info, "%s is RUNNING", name)  # in its own name
        return running

    async def _start(self, spec: HostSpec, loaded: Loaded, contract: Contract, config: Any, context: Context) -> None:
        name, counters = f"{spec.manifest.name}@{self.node}", Counters(hung=spec.hung)
        proxies = self._proxies_of(name, spec, loaded, contract, counters)
        durable = await self._durable(spec, contract)
        kept = durable.publisher if durable is not None else None
        sender = Sender(self.bus, name, proxies, contract.published, counters, kept, self._retry)
        environment = structs.replace(self._environment(name, spec, config, sender), durable_topics=durable)
        instance = Instance(loaded.target, contract, environment, self.bus, proxies, counters, self.on_step, context)
        instance.start_within_s = spec.start_within_s if spec.follows else 0.0
        former, self.instances[name] = self.instances.get(name), instance
        succession = await self._following(spec, instance, former)
        if self.keeper is not None and instance.has_snapshot:
            instance.before_stop = self.keeper.keep_last
            self.keeper.give(instance)
        try:
            await instance.start()
        except BaseException as error:
            self.instances.pop(name, None)  # it may have been released meanwhile
            if former is not None:
                self.instances[name] = former  # it keeps what comes, for whoever follows next
            if self.keeper is not None and instance.state_to_restore is not None and isinstance(error, GridlinkError):
                self.keeper.failed(instance, error)
            raise
        if succession is not None:
            await succession.go_on(instance)

    async def _following(
        self, spec: HostSpec, instance: Instance, former: Instance | None
    ) -> Following | Replacing | None:
        """Has the instance that this one follows held: its state is on disk then."""
        if not spec.follows:
            return None
        if former is not None:
            from gridlink.node.replacement import Replacing  # noqa: PLC0415 - while a module is updated

            return await Replacing.of(former, instance)
        from gridlink.node.succession import Following  # noqa: PLC0415 - while a module moves

        succession = Following(self.bus, spec.follows, instance, self.warrants)
        try:
            await succession.begin()
        except BaseException:
            self.instances.pop(instance.name, None)
            raise
        return succession

    async def _durable(self, spec: HostSpec, contract: Contract) -> DurableTopics | None:
        """The durable topics of a module; None, and nothing of JetStream is loaded, where it declares none."""
        if not spec.manifest.durable:
            return None
        from gridlink.node.durable import durable_topics  # noqa: PLC0415 - see above

        return await durable_topics(self.bus, spec.manifest, contract, self._site_file)

    async def release(self, instance: str, within_s: float = math.inf) -> None:
        """See gridlink.module.Hosting."""
        self.configurator.remove(instance)
        running = self.instances.get(instance)
        if running is not None:
            await self.registry.put_state(instance, State.STOPPING)
            await running.stop(within_s)
            self.instances.pop(instance, None)
            from gridlink.node.leftovers import end_leftovers  # noqa: PLC0415 - where a module ends

            end_leftovers(instance, running.environment.directory)
            log.info("%s is STOPPED", instance)
        await self.registry.drop(instance)

    async def sizes(self, instances: Iterable[str]) -> dict[str, int]:
        """See gridlink.module.Hosting."""
        from gridlink.node.footprint.objects import objects_of  # noqa: PLC0415 - where memory is short

        here = [self.instances[name] for name in instances if name in self.instances]
        found = [await objects_of(one.name, one.roots(), one.environment.directory, limit_s=1.0) for one in here]
        return {one.instance: one.size_bytes for one in found}

    async def resume(self, instance: str) -> None:
        """See gridlink.module.Hosting."""
        from gridlink.node.succession import resume  # noqa: PLC0415 - while a module moves

        await resume(self.bus, instance, self.warrants)

    async def ask(self, instance: str, question: str, payload: Any) -> Any:
        """See gridlink.module.Hosting."""
        sender = Sender(self.bus, f"{NODE}@{self.node}")
        node = instance.partition("@")[2]
        to, warrant = f"{NODE}@{node}", ""
        if question in OF_A_NODE:
            warrant = self.warrants.of(key_of(question, node), to, question, encode(payload))
        return await sender.request(to, question, payload, timeout_s=ASK_WITHIN_S, id=warrant)

    def raw(self) -> Raw:
        """See gridlink.module.Hosting."""
        if not self.bus.url:
            raise Refused(f"node {self.node} has a local bus, and no store: leave --bus local out, or use a path here")
        from gridlink.bus.nats import NatsBus  # noqa: PLC0415 - loaded long ago: there is a URL

        if not isinstance(self.bus, NatsBus):
            raise Refused(f"a store is reached over NATS, got {type(self.bus).__name__}")
        return self.bus.raw()

    def counters(self, instance: str) -> Counters | None:
        """See gridlink.module.Hosting."""
        running = self.instances.get(instance)
        return running.counters if running is not None else None

    async def announce(self, entry: Entry) -> None:
        """See gridlink.module.Hosting."""
        await self.registry.put(entry)

    def _entry(self, spec: HostSpec, target: Any, contract: Contract, described: Described) -> Entry:
        name = spec.manifest.name
        return Entry(
            name=name,
            instance=f"{name}@{self.node}",
            node=self.node,
            machine=self.machine,
            pid=os.getpid(),
            version=spec.manifest.version,
            mode=spec.mode,
            state=State.STARTING,
            reason=spec.note,
            roles=contract.roles,
            idempotent=spec.manifest.idempotent,
            topics=tuple(contract.published),
            description=(target.__doc__ or "").strip().partition("\n")[0],
            requests=described.requests,
            publishes=described.publishes,
            subscribes=described.subscribes,
            managed_by=spec.managed_by,
        )

    async def configure(self, instance: str, document: Any) -> None:
        """See gridlink.module.Hosting."""
        await self.configurator.apply(instance, document)

    async def _tell_reason(self, instance: str, reason: str) -> None:
        for entry in self.registry.instances():
            if entry.instance == instance:
                await self.registry.put(structs.replace(entry, reason=reason))

    def _proxies_of(
        self, name: str, spec: HostSpec, loaded: Loaded, contract: Contract, counters: Counters
    ) -> tuple[Proxy, ...]:
        if self._site_file is None:
            return self._proxies
        around = Around(
            site=self.site,
            instance=name,
            roles=contract.roles,
            refused=counters.count_refused,
            failed=counters.count_error,
            behind=self.registry.reach.behind,
            knows=self.registry.knows,
        )
        return (*self._site_file.proxies(around, spec.directory, loaded.call), *self._proxies)

    def _environment(self, name: str, spec: HostSpec, config: Any, sender: Sender) -> Environment:
        try:
            spec.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartFailed(f"its directory {spec.data_dir} can't be made: {error}") from error
        return Environment(
            instance=name,
            manifest=spec.manifest,
            config=config,
            bus=sender,
            clock=ModuleClock(self.clock, name),
            registry=self.registry,
            tasks=ContainedTasks(name),
            log=logging.LoggerAdapter(logging.getLogger(f"module.{spec.manifest.name}")),
            directory=spec.directory,
            data_dir=spec.data_dir,
            hosting=self,
        )

    def _discovered(self, asked: str) -> list[bytes]:
        running = [
            discovery.Service(role, entry, self.instances[entry.instance].counters, self._started, self.registry.boot)
            for entry in self.registry.instances()
            if entry.instance in self.instances and entry.state is State.RUNNING
            for role in entry.roles
        ]
        return discovery.answers(asked, running, self.site)

    def _lead_changed(self) -> None:
        self.registry.lead_changed()


def _nobody(_: str, __: str) -> None:
    """There is no guardian to tell."""


def _ignore(_: str) -> None:
    """Nobody needs to know."""
